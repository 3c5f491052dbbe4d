"""One project's lane: merge, gate and land what waits, one after another, in order of priority and arrival."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import trio

from ringmaster.bus import Wakeup
from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.receipt import GateResult, Receipt
from ringmaster.proc.job_files import read_spec
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import pause_project
from ringmaster.queue.quarantine import quarantine_failing
from ringmaster.store import attempts, receipts
from ringmaster.store.connection import Connection
from ringmaster.workers.attempt import end_attempt, tail_of
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.gate import GateRun, commit_of_label, find_receipt, last_gate_job, run_gate
from ringmaster.workers.landing import finish_landing, land_commit
from ringmaster.workers.preparing import Bench, open_bench, read_rows
from ringmaster.workers.restacking import restack
from ringmaster.workers.review import find_concerns, question_about
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.git import run_git
from ringmaster.workspace.merge import (
    Conflict,
    History,
    LandingCommit,
    NothingToLand,
    make_landing_commit,
    prepare_gate_checkout,
)
from ringmaster.workspace.repository import Tip, TipState, ensure_repository, tip_for

log = logging.getLogger("ringmaster.lane")
OUTPUT_TAIL_BYTES = 16_000
TRIES = 5
"""How often a landing is made anew because the target moved while its gate ran, before others have their turn."""


async def run_lane(
    sur: Surroundings, project_id: str, wakeup: Wakeup, control_of: Callable[[str], AttemptControl]
) -> None:
    """Serve the project's lane for ever. Cancellation: between awaits, as a crash would be."""
    while True:
        attempt = None
        if not sur.paths.estop.exists() and not sur.store.is_degraded:
            attempt = await sur.store.read(attempts.next_in_lane, project_id)
        if attempt is None:
            await wakeup.wait()
            continue
        await _serve(sur, attempt, control_of(attempt.id), wakeup)


async def _serve(sur: Surroundings, attempt: Attempt, control: AttemptControl, wakeup: Wakeup) -> None:
    """Take one attempt a step further; this is an attempt's boundary for exceptions."""
    try:
        is_done = await validate_and_land(sur, attempt.id, control)
    except RingmasterError as error:
        if error.kind is ErrorKind.LEASE_LOST:
            log.info("%s", error.message)
            return
        if error.kind in (ErrorKind.DISK_FULL, ErrorKind.STOPPING):
            await wakeup.wait()
            return
        await _stop_lane(sur, attempt, error)
        return
    except Exception as error:
        # A row or a file that nobody foresaw: it takes neither the lane nor the daemon along.
        log.exception("attempt %s in the lane", attempt.id)
        words = f"internal error: {type(error).__name__}: {error}"[:500]
        await sur.store.write_essential(quarantine_failing, attempt, words, rng=sur.rng)
        return
    if not is_done and control.wanted is not None:
        await end_attempt(sur, attempt, control.wanted, control.reason)
    elif not is_done:
        await wakeup.wait()


async def _stop_lane(sur: Surroundings, attempt: Attempt, error: RingmasterError) -> None:
    """The lane cannot work for a reason outside the attempt (a deleted target, a repository that is gone)."""
    log.warning("lane of %s: %s", attempt.project_id, error.message)

    def pause(conn: Connection) -> None:
        pause_project(
            conn,
            attempt.project_id,
            DecisionKind.TARGET_MOVED,
            question=f"{attempt.project_id} cannot land: {error.message}",
            reason=error.message,
            detail=error.hint,
            rng=sur.rng,
        )

    await sur.store.write_essential(pause)
    await end_attempt(sur, attempt, Outcome.INTERRUPTED, error.message)


async def validate_and_land(sur: Surroundings, attempt_id: str, control: AttemptControl) -> bool:
    """Merge, gate and land one attempt. True when it has ended or waits for a person; False to look again.

    Raises RingmasterError for what is not the attempt's fault.
    """
    rows = await sur.store.read(read_rows, attempt_id)
    if rows.attempt.is_cancel_requested and rows.attempt.state == "validating":
        control.request(Outcome.CANCELLED, "cancelled by a person")
    if control.wanted is not None and rows.attempt.state == "validating":
        return False
    bench = await open_bench(sur, rows)
    if bench.attempt.state == "landing":
        return await finish_landing(sur, bench)
    for _ in range(TRIES):
        is_settled = await _try_once(sur, bench, control)
        if is_settled is not None:
            return is_settled
    return False


async def _try_once(sur: Surroundings, bench: Bench, control: AttemptControl) -> bool | None:
    """One merge, gate and landing; None when the target moved meanwhile and it is worth another try."""
    checkout = sur.paths.gate_checkout(bench.project.id)
    checkout.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with sur.repository_lock(bench.project.id):
        await ensure_repository(bench.bare, bench.user)
        tip = await tip_for(bench.bare, bench.user, bench.project.target)
    if tip.state is TipState.DIVERGED:
        restacked = await restack(sur, bench, control, checkout, tip)
        return None if restacked else control.wanted is None
    made = await _make_commit(sur, bench, tip.commit, checkout)
    if isinstance(made, Conflict):
        files = ", ".join(made.files[:5]) or "unrelated histories"
        await end_attempt(sur, bench.attempt, Outcome.CONFLICT, f"does not merge onto {tip.commit[:12]}: {files}")
        return True
    if isinstance(made, NothingToLand):
        await end_attempt(sur, bench.attempt, Outcome.NO_CHANGES, f"{tip.commit[:12]} has this work already")
        return True
    run = await _gate(sur, bench, control, checkout, made.commit)
    if run is None and bench.project.config.gate:
        return False
    if run is not None and not run.is_green:
        return await _red(sur, bench, control, checkout, tip, run)
    if not bench.attempt.is_accepted:
        base_job = await _base_job(sur, bench, tip.commit)
        concerns = await find_concerns(sur, bench, tip=tip.commit, commit=made.commit, run=run, base_job=base_job)
        if concerns:
            kind, question, detail = question_about(bench.task.id, concerns)
            await sur.store.write_essential(
                reporting.wait_for_person,
                bench.attempt.id,
                bench.attempt.token,
                kind,
                question=question,
                detail=detail,
                rng=sur.rng,
            )
            return True
    return await land_commit(sur, bench, tip, made.commit)


async def _make_commit(
    sur: Surroundings, bench: Bench, tip: str, checkout: Path
) -> LandingCommit | Conflict | NothingToLand:
    """The commit that will land. Its dates are the attempt's, so that a repeat gives the same commit.

    A gate job of an earlier daemon may still run on exactly this commit: then its checkout is left alone.
    """
    task, attempt = bench.task, bench.attempt
    running = await _running_gate(sur, bench)
    if running is not None and running[1] == tip:
        return LandingCommit(commit=running[0], tree="")
    summary = str(attempt.report.get("summary", "")).strip()
    message = f"{task.title}\n\n{summary}\n" if summary and summary != task.title else f"{task.title}\n"
    trailers = {"Ringmaster-Task": task.id, "Ringmaster-Attempt": attempt.id}
    trailer = _agent_trailer(bench)
    async with sur.repository_lock(bench.project.id):
        return await make_landing_commit(
            bench.bare,
            checkout,
            attempt.id,
            tip,
            attempt.head_commit,
            history=History(bench.project.config.history),
            message=message,
            trailers={**trailers, **trailer},
            at=attempt.lane_at,
            cache_paths=bench.project.config.cache,
        )


def _agent_trailer(bench: Bench) -> dict[str, str]:
    words = "scripted (recorded steps, no model)" if bench.attempt.agent == "scripted" else bench.attempt.agent
    return {"Agent": words}


async def _running_gate(sur: Surroundings, bench: Bench) -> tuple[str, str] | None:
    """The commit that a gate job of this attempt runs or ran on without a receipt, and the tip it was made on."""
    _, newest = await trio.to_thread.run_sync(last_gate_job, bench.directory)
    spec = await trio.to_thread.run_sync(read_spec, newest) if newest is not None else None
    if spec is None or spec.instance != sur.instance_id:
        return None
    commit = commit_of_label(spec.label)
    if await sur.store.read(receipts.receipt_of_commit, bench.project.id, commit, bench.project.config.gate):
        return None
    parents = (await run_git("rev-list", "--parents", "-n1", commit, git_dir=bench.bare, ok=(0, 128))).text.split()
    return (commit, parents[1]) if len(parents) > 1 else None


async def _gate(
    sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, commit: str
) -> GateRun | None:
    if not bench.project.config.gate:
        return None
    found = await find_receipt(sur, bench, commit)
    if found is not None:
        if found.commit != commit:
            found = await _note_reuse(sur, bench, found, commit)
        return GateRun(found)
    return await run_gate(sur, bench, control, checkout, commit)


async def _note_reuse(sur: Surroundings, bench: Bench, found: Receipt, commit: str) -> Receipt:
    def note(conn: Connection) -> None:
        conn.emit(
            "gate.reused",
            project_id=bench.project.id,
            task_id=bench.task.id,
            attempt_id=bench.attempt.id,
            data={"commit": commit, "receipt_of": found.commit, "tree": found.tree},
        )

    await sur.store.write_essential(note)
    return found


async def _base_job(sur: Surroundings, bench: Bench, tip: str) -> Path | None:
    found = await sur.store.read(receipts.receipt_of_commit, bench.project.id, tip, bench.project.config.gate)
    return sur.paths.state / found.job if found is not None and found.job else None


async def _red(
    sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, tip: Tip, run: GateRun
) -> bool:
    """The commit did not pass. Whose fault is it: the base's, if the base is red too."""
    output = tail_of(run.output, OUTPUT_TAIL_BYTES) + tail_of(Path(run.output).with_name("stderr"), 4_000)
    if run.is_setup or await _is_base_red(sur, bench, control, checkout, tip):
        if control.wanted is not None:
            return False
        kind = DecisionKind.SETUP_FAILED if run.is_setup else DecisionKind.BASE_RED
        where = (
            "set-up fails in the gate's checkout" if run.is_setup else f"the gate is red on {tip.commit[:12]} itself"
        )
        await sur.store.write_essential(_blame_base, bench.attempt, kind, where, run.words, output, sur)
        return True
    if control.wanted is not None:
        return False
    await sur.store.write_essential(
        reporting.end_attempt,
        bench.attempt.id,
        bench.attempt.token,
        Outcome.GATE_FAILED,
        run.words,
        rng=sur.rng,
        report={"gate_output": output},
    )
    return True


def _blame_base(
    conn: Connection,
    attempt: Attempt,
    kind: DecisionKind,
    where: str,
    words: str,
    output: str,
    sur: Surroundings,
) -> None:
    pause_project(
        conn,
        attempt.project_id,
        kind,
        question=f"{attempt.project_id} is paused: {where} ({words}); mend it, then resume",
        reason=where,
        detail=output,
        rng=sur.rng,
    )
    reporting.end_attempt(conn, attempt.id, attempt.token, Outcome.INTERRUPTED, where, rng=sur.rng)


async def _is_base_red(sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, tip: Tip) -> bool:
    """Whether the tip itself fails the gate. It is only run when the tip has no receipt."""
    known = await sur.store.read(receipts.receipt_of_commit, bench.project.id, tip.commit, bench.project.config.gate)
    if known is not None and known.result is GateResult.GREEN:
        return False
    await prepare_gate_checkout(bench.bare, checkout, tip.commit, bench.project.config.cache)
    run = await run_gate(sur, bench, control, checkout, tip.commit, prefix="base-gate")
    return run is not None and not run.is_green
