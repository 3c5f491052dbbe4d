"""The conversation an attempt's agent has, who pays for it, and what it came to."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import trio

from ringmaster.agents.base import NOTHING_SPENT, Account, Agent, AgentEnd, AgentReport, Run, Spent, spent_since
from ringmaster.agents.registry import agent_for, agent_names
from ringmaster.model.attempt import Attempt
from ringmaster.model.budget import is_cost
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import Task
from ringmaster.output.reports import read_shown_report
from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.job import Job
from ringmaster.proc.tail import open_tail
from ringmaster.queue.costs import Costs, begin_agent, note_costs
from ringmaster.settings import Settings
from ringmaster.store import attempts, spending
from ringmaster.store.connection import Connection
from ringmaster.workers.counting import counted
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.conversation")
LIMIT_PAUSE_S = 300.0
"""How long an account rests after a rate limit that does not say when it ends."""
LOGIN_PAUSE_S = 3600.0
"""How soon an account that was refused is tried again by itself; `rmctl agent test` does it at once."""
REFUSED = (401, 403)
LAST_BYTES = 8 * 1024 * 1024


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """session_id: '' for an agent that has none or names its own. is_resumed: an earlier attempt began it.

    budget_usd: what the task may still spend; None: no bound.
    """

    session_id: str = ""
    is_resumed: bool = False
    budget_usd: float | None = None


def find_payers(settings: Settings, environ: Mapping[str, str]) -> dict[str, Account]:
    """Who pays for each agent there is, where that is known. Blocking: reads small files."""
    found = {name: agent_for(name, settings).account(environ) for name in agent_names(settings)}
    return {name: account for name, account in found.items() if account is not None}


def earlier_session(before: Sequence[Attempt], agent: str, account_id: str) -> str:
    """The conversation to go on with: that of the newest attempt, if this agent had it on this account; else ''.

    The path is the task's and so the same, but for an attempt that was pulled. One that came to no conversation is
    passed over.
    """
    for attempt in reversed(before):
        if attempt.agent != agent or attempt.account != account_id or attempt.report.get("is_session_lost"):
            return ""
        if attempt.lease_s:
            return ""
        if attempt.session_id:
            return attempt.session_id
    return ""


def budget_left(task: Task, before: Sequence[Attempt]) -> float | None:
    """What a task may still spend; None where nothing bounds it.

    Raises:
        RingmasterError: REFUSED when nothing is left.
    """
    if task.limits.budget_usd is None:
        return None
    spent = sum(attempt.cost_usd for attempt in before)
    if spent >= task.limits.budget_usd:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{task.id} has spent ${spent:.2f} of its ${task.limits.budget_usd:.2f}",
            f"rmctl task edit {task.id} --budget USD, then: rmctl retry {task.id}",
        )
    return task.limits.budget_usd - spent


def least(one: float | None, other: float | None) -> float | None:
    """The lesser of two limits, of which each may be none."""
    return one if other is None else other if one is None else min(one, other)


async def open_conversation(sur: Surroundings, bench: Bench, agent: Agent) -> Conversation:
    """Choose the conversation, and note it and who pays in the attempt's row. Raises LEASE_LOST, REFUSED."""
    attempt = bench.attempt
    account = await trio.to_thread.run_sync(agent.account, os.environ)
    if account is None:
        sur.payers.pop(agent.name, None)
    else:
        sur.payers[agent.name] = account
    account_id = account.id if account is not None else ""
    session_id, budget_usd = "", None
    if agent.is_resumable:
        before = await sur.store.read(attempts.salvaged_of_task, attempt.task_id)
        earlier = [a for a in before if a.number < attempt.number]
        session_id = "" if attempt.lease_s else earlier_session(earlier, attempt.agent, account_id)
        budget_usd = least(budget_left(bench.task, earlier), await sur.store.read(spending.limit_of, attempt.id))
    chosen = Conversation(
        session_id=session_id or agent.new_session_id(sur.rng), is_resumed=bool(session_id), budget_usd=budget_usd
    )
    if account is not None or chosen.session_id or agent.is_resumable:
        await sur.store.write_essential(
            begin_agent,
            attempt,
            session_id=chosen.session_id,
            model=bench.task.model,
            account_id=account_id,
            agent=agent.name,
            label=account.label if account is not None else "",
        )
    return chosen


async def end_lingering(sur: Surroundings, agent: Agent, job: Job) -> None:
    """End the job once its agent has given its result and then neither goes on nor exits. Cancelled when it ends."""
    ended = trio.Event()
    # An adopted job may have written long ago and much: only its last lines say whether it has a result.
    start = max(0, _size(job.stdout) - LAST_BYTES)
    async with open_watcher() as watcher, open_tail(job.stdout, start, ended, watcher=watcher) as tail:
        is_final = False
        while True:
            with trio.move_on_after(sur.settings.limits.lingering_s if is_final else float("inf")) as scope:
                line = await tail.next_line()
            if scope.cancelled_caught:
                return job.cancel()
            if line is None:
                return
            is_final = agent.is_final(line.data)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def stated_before(before: Sequence[Attempt], session_id: str) -> Spent:
    """What the last attempt of this conversation stated when it ended."""
    for attempt in reversed(before):
        if session_id and attempt.session_id == session_id and "stated" in attempt.report:
            try:
                return msgspec.convert(attempt.report["stated"], Spent)
            except msgspec.ValidationError:
                break
    return NOTHING_SPENT


class CostsSoFar(msgspec.Struct, frozen=True):
    """Of an attempt whose output was not judged. stated: as its agent did, to count on from if its session goes on."""

    costs: Costs
    stated: Spent


async def costs_so_far(sur: Surroundings, attempt: Attempt) -> CostsSoFar | None:
    """What an attempt came to that ends before its output was judged; None where no agent of it has said anything.

    By what its output shows up to now: nothing that ran may be left. None too for rows and output that cannot be read.
    """
    directory = sur.paths.attempt(attempt.id) / "agent"
    if _size(directory / "stdout") == 0:
        return None
    try:
        row = await sur.store.read(attempts.attempt_by_id, attempt.id)
        agent = agent_for(row.agent, sur.settings)
        end = AgentEnd(reason="lost")
        report = await trio.to_thread.run_sync(read_shown_report, agent, end, directory, row.model)
        run = Run(model=row.model, since_at=row.started_at)
        _, report = await trio.to_thread.run_sync(counted, agent, directory, run, report)
        before = await sur.store.read(attempts.salvaged_of_task, row.task_id)
    except Exception as error:  # noqa: BLE001 - what the attempt ends for may be this very output: ending must not fail
        log.warning("attempt %s: what it cost is not known: %s: %s", attempt.id, type(error).__name__, error)
        return None
    costs = costs_of(report, [earlier for earlier in before if earlier.number < row.number], sur.now())
    return CostsSoFar(costs, report.spent)


def note_costs_so_far(conn: Connection, attempt: Attempt, found: CostsSoFar | None) -> None:
    """Note it in the row of an attempt that is about to end; nothing for one that has. Raises LEASE_LOST."""
    if found is None or conn.value(attempts.queries.state_of, (attempt.id,)) == "ended":
        return
    note_costs(conn, attempt.id, attempt.token, found.costs)
    if found.stated != NOTHING_SPENT:
        row = attempts.attempt_by_id(conn, attempt.id)
        attempts.set_report(conn, row, {**row.report, "stated": msgspec.to_builtins(found.stated)})


def costs_of(report: AgentReport, before: Sequence[Attempt], now: float) -> Costs:
    """What a run came to by its report, and whether its account must rest."""
    spent = spent_since(report.spent, stated_before(before, report.session_id))
    pause_until_at = None
    if report.status == "rate_limited":
        pause_until_at = max(report.reset_at or now + LIMIT_PAUSE_S, now + 1.0)
    elif report.api_status in REFUSED:
        pause_until_at = now + LOGIN_PAUSE_S
    is_odd = not is_cost(spent.cost_usd)
    return Costs(
        session_id=report.session_id,
        model=report.model,
        cost_usd=0.0 if is_odd else spent.cost_usd,
        # What a run told that was ended on the way lacks at least the model call it was in.
        is_told=not is_odd and report.is_final and (spent.cost_usd > 0 or not (spent.tokens_in or spent.tokens_out)),
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        pause_until_at=pause_until_at,
        pause_reason=report.summary[:300] if pause_until_at is not None else "",
    )
