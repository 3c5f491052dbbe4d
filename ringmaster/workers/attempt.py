"""One attempt from its claim to the end of its seat: each step can be entered again after any crash."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import trio

from ringmaster.agents.base import NOTHING_SPENT, Agent, AgentEnd, AgentReport, ExplicitReport
from ringmaster.agents.command import CommandAgent
from ringmaster.agents.registry import agent_for
from ringmaster.agents.verdict import Verdict, outcome_of
from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.output.files import read_tail
from ringmaster.output.reports import read_shown_report
from ringmaster.proc.job_files import ExitReason, JobExit, JobLost
from ringmaster.queue import report as reporting
from ringmaster.queue.costs import Costs, note_costs
from ringmaster.queue.decide import pause_project
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.workers.agent_step import (
    checkout_changes,
    explicit_report,
    run_agent,
    run_setup,
)
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.conversation import CostsSoFar, costs_of, note_costs_so_far
from ringmaster.workers.metering import metered
from ringmaster.workers.preparing import Bench, is_impostor, open_bench, prepare_workspace, read_rows
from ringmaster.workers.room import excuse_for_room, refuse_without_room
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.collect import Collected, collect
from ringmaster.workspace.environment import CacheKind

log = logging.getLogger("ringmaster.attempt")
OUTPUT_TAIL_BYTES = 4_000


async def work_on_attempt(sur: Surroundings, attempt_id: str, control: AttemptControl) -> None:
    """Bring a `running` attempt to `validating` or to its end.

    Cancellation stops at the next await and leaves what runs running: the next daemon goes on from there.
    Raises RingmasterError for what went wrong outside the agent's work, LEASE_LOST included; ProjectTrouble
    where no attempt of the project can go on. What runs then is the caller's to end.
    """
    rows = await sur.store.read(read_rows, attempt_id)
    if rows.attempt.is_cancel_requested:
        control.request(Outcome.CANCELLED, "cancelled by a person")
    if control.wanted is not None and not rows.attempt.base_commit:
        # It has no workspace, so nothing ran in one.
        return await end_attempt(sur, rows.attempt, control.wanted, control.reason)
    bench = await open_bench(sur, rows)
    agent = agent_of(sur, bench)
    bench = await prepare_workspace(sur, bench, rows.before)
    if await is_setup_broken(sur, bench, control):
        return
    await judge(sur, bench, control, agent, await run_agent(sur, bench, control, agent))
    control.give_up_seat()


def agent_of(sur: Surroundings, bench: Bench) -> Agent:
    """The agent of an attempt. Raises NOT_FOUND when settings do not name it any more and it has not run."""
    try:
        return agent_for(bench.attempt.agent, sur.settings)
    except RingmasterError:
        if not (bench.directory / "agent" / "run.json").exists():
            raise
        # Settings no longer name its kind. It runs, or has run: what any program leaves can be read.
        return CommandAgent(name=bench.attempt.agent)


async def is_setup_broken(sur: Surroundings, bench: Bench, control: AttemptControl) -> bool:
    """Run the set-up; when it fails the attempt is interrupted, the project paused and a person asked once.

    Raises DISK_FULL while there is no room to run it: one that failed then shows nothing, and is run again.
    """
    directory = bench.directory / "setup"
    if bench.project.config.setup and not (directory / "run.json").exists():
        refuse_without_room(sur.paths)
    ended = await run_setup(sur, bench, control, directory, bench.workspace, CacheKind.AGENT)
    if ended is None or (isinstance(ended, JobExit) and ended.reason is ExitReason.EXITED and ended.code == 0):
        return False
    is_ended_from_outside = isinstance(ended, JobLost) or ended.reason in (ExitReason.ESTOP, ExitReason.CANCELLED)
    if control.wanted is not None or is_ended_from_outside:
        outcome = control.wanted or Outcome.INTERRUPTED
        await end_attempt(sur, bench.attempt, outcome, control.reason or "interrupted during set-up")
        return True
    assert isinstance(ended, JobExit)
    refuse_without_room(sur.paths, directory)
    words = setup_words(ended)
    detail = await trio.to_thread.run_sync(_tail_of_setup, directory)
    await sur.store.write_essential(_interrupt_for_setup, bench.attempt, words, detail, sur)
    return True


def _tail_of_setup(directory: Path) -> str:
    return read_tail(directory / "stderr", OUTPUT_TAIL_BYTES) or read_tail(directory / "stdout", OUTPUT_TAIL_BYTES)


def setup_words(ended: JobExit) -> str:
    """Why a set-up did not succeed, in one line."""
    if ended.reason is ExitReason.EXITED:
        return f"set-up ended with exit status {ended.code}" if ended.signal is None else "set-up was killed"
    if ended.reason is ExitReason.WALL_CLOCK:
        return "set-up took longer than its limit"
    return f"set-up did not run: {ended.error or ended.reason}"


def _interrupt_for_setup(conn: Connection, attempt: Attempt, words: str, detail: str, sur: Surroundings) -> None:
    pause_project(
        conn,
        attempt.project_id,
        DecisionKind.SETUP_FAILED,
        question=f"set-up of {attempt.project_id} fails: mend it, then resume the project",
        reason=words,
        detail=detail,
        rng=sur.rng,
    )
    reporting.end_attempt(conn, attempt.id, attempt.token, Outcome.INTERRUPTED, words, rng=sur.rng)


async def judge(sur: Surroundings, bench: Bench, control: AttemptControl, agent: Agent, end: AgentEnd) -> None:
    """Read the evidence, bring the work over, and hand the attempt on or end it."""
    report = await trio.to_thread.run_sync(read_shown_report, agent, end, bench.directory / "agent", bench.task.model)
    row = await sur.store.read(attempts.attempt_by_id, bench.attempt.id)
    is_wanted = control.wanted is not None or row.is_cancel_requested
    end, report = await metered(sur, bench, agent, end, report, is_wanted=is_wanted)
    await judge_report(sur, bench, control, agent, end, report, explicit_report(row))


async def judge_report(
    sur: Surroundings,
    bench: Bench,
    control: AttemptControl,
    agent: Agent,
    end: AgentEnd,
    report: AgentReport,
    explicit: ExplicitReport | None,
) -> None:
    """As `judge`, for evidence that was read before. explicit: what was said over the socket."""
    collected = await collect_work(sur, bench, agent, report)
    row = await sur.store.read(attempts.attempt_by_id, bench.attempt.id)
    if end.reason == "cancelled" and report.is_final and control.wanted is None and not row.is_cancel_requested:
        # Nobody wanted it ended: it had said all and did not exit. That it was ended says nothing of its work.
        end = msgspec.structs.replace(end, reason="lingering")
    verdict = outcome_of(
        end,
        report,
        explicit,
        has_diff=not collected.is_empty,
        is_diff_needed=bench.task.is_diff_needed,
    )
    verdict = excuse_for_room(verdict, sur.paths)
    if verdict.outcome is Outcome.CANCELLED:
        # A job that was told to end says no more than that. Only a person's word, which is in the row, cancels a task.
        outcome = Outcome.CANCELLED if row.is_cancel_requested else Outcome.INTERRUPTED
        words = "cancelled by a person" if row.is_cancel_requested else "its agent was ended from outside"
        verdict = msgspec.structs.replace(verdict, outcome=outcome, reason=control.reason or words)
    facts = await _facts(bench, end, report, collected, verdict)
    before = await sur.store.read(attempts.salvaged_of_task, bench.task.id)
    costs = costs_of(report, [a for a in before if a.number < bench.attempt.number], sur.now())
    await _apply(sur, bench.attempt, verdict, collected, facts, costs)


async def collect_work(sur: Surroundings, bench: Bench, agent: Agent, report: AgentReport) -> Collected:
    """Bring the attempt's commits into the daemon's repository; the agent's leftovers become a commit.

    Raises RingmasterError, also (WRONG_STATE) for a workspace that is no directory any more.
    """
    if is_impostor(bench.workspace):
        # The next attempt moves it aside and begins with a new one.
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"its workspace {bench.workspace} is no directory any more: what it had committed there is gone",
            f"rmctl attempt show {bench.attempt.id}",
        )
    summary = report.summary.strip().splitlines()[0][:72] if report.summary.strip() else ""
    message = f"{summary or bench.task.title}\n\n{agent.trailer}\n"
    async with sur.repository_lock(bench.project.id):
        return await collect(
            bench.bare,
            bench.workspace,
            bench.attempt.id,
            bench.attempt.base_commit,
            bench.attempt.branch,
            message,
            at=bench.attempt.started_at,
            ignore_patterns=bench.project.config.copy,
        )


async def _facts(
    bench: Bench, end: AgentEnd, report: AgentReport, collected: Collected, verdict: Verdict
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "summary": report.summary,
        "verdict": verdict.reason,
        "end": {"reason": end.reason, "code": end.code, "signal": end.signal},
        "diffstat": collected.diffstat,
        "files": [file.path for file in collected.files[:200]],
        "last_words": report.last_words[-OUTPUT_TAIL_BYTES:],
        "steps": report.steps,
    }
    if report.status == "needs_decision" and report.question.strip():
        facts["question"] = {"words": report.question, "detail": report.detail, "options": report.options}
    if report.usage:
        facts["usage"] = report.usage
    if report.spent != NOTHING_SPENT:
        facts["stated"] = msgspec.to_builtins(report.spent)
    if report.is_session_lost:
        facts["is_session_lost"] = True
    if report.denials:
        facts["denials"] = report.denials
    if collected.problems:
        facts["problems"] = [
            {"kind": str(problem.kind), "detail": problem.detail, "is_blocking": problem.is_blocking}
            for problem in collected.problems
        ]
    changed = await checkout_changes(bench)
    if changed:
        facts["checkout_changed"] = changed
    return facts


async def _apply(
    sur: Surroundings,
    attempt: Attempt,
    verdict: Verdict,
    collected: Collected,
    facts: dict[str, Any],
    costs: Costs,
) -> None:
    def settle(conn: Connection) -> None:
        note_costs(conn, attempt.id, attempt.token, costs)
        if verdict.kind == "validate":
            reporting.hand_over(conn, attempt.id, attempt.token, head_commit=collected.head, report=facts)
            return
        if verdict.kind == "done":
            _complete(conn, attempt, facts, sur)
            return
        assert verdict.outcome is not None
        reporting.end_attempt(
            conn,
            attempt.id,
            attempt.token,
            verdict.outcome,
            verdict.reason,
            rng=sur.rng,
            is_counted=verdict.is_counted,
            reset_at=verdict.reset_at,
            report=facts,
            head_commit="" if collected.is_empty else collected.head,
        )

    await sur.store.write_essential(settle)


def _complete(conn: Connection, attempt: Attempt, facts: dict[str, Any], sur: Surroundings) -> None:
    """Done without a diff, unless a person who cancelled was answered before."""
    if attempts.check_token(conn, attempt.id, attempt.token).is_cancel_requested:
        reporting.end_attempt(
            conn, attempt.id, attempt.token, Outcome.CANCELLED, "cancelled by a person", rng=sur.rng, report=facts
        )
    else:
        reporting.complete_without_diff(conn, attempt.id, attempt.token, facts)


async def end_attempt(
    sur: Surroundings, attempt: Attempt, outcome: Outcome, reason: str, *, costs: CostsSoFar | None = None
) -> None:
    """End an attempt; one that has ended already stays as it is. costs: what it came to, where nothing noted it yet."""

    def end(conn: Connection) -> None:
        note_costs_so_far(conn, attempt, costs)
        reporting.end_attempt(conn, attempt.id, attempt.token, outcome, reason, rng=sur.rng)

    try:
        await sur.store.write_essential(end)
    except RingmasterError as error:
        if error.kind is not ErrorKind.LEASE_LOST:
            raise
        log.info("attempt %s had ended before: %s", attempt.id, reason)
