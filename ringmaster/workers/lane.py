"""One project's lane: merge, gate and land what waits, one after another, in order of priority and arrival."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import trio

from ringmaster.bus import Wakeup
from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.outcomes import Outcome
from ringmaster.model.receipt import GateResult, Receipt
from ringmaster.output.files import read_tail
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import DETAIL_LIMIT, pause_project
from ringmaster.store import attempts, decisions, receipts
from ringmaster.store.connection import Connection
from ringmaster.workers.attempt import end_attempt
from ringmaster.workers.checkout import read_standing_use, read_use, take_checkout
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.gate import GateRun, earlier_run, find_receipt, note_gate, run_gate
from ringmaster.workers.jobs import stop_jobs, unsettled_jobs
from ringmaster.workers.landing import finish_landing, land_commit
from ringmaster.workers.preparing import Bench, open_bench, read_rows
from ringmaster.workers.restacking import restack
from ringmaster.workers.review import accepted_lines, find_concerns, question_about
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workers.trouble import (
    DISK_RETRY_S,
    SETBACKS,
    cause_of,
    is_for_want_of_room,
    is_passing,
    noticing_full_disk,
    setback_pause_s,
    stop_lane,
)
from ringmaster.workspace.git import run_git
from ringmaster.workspace.merge import Conflict, History, LandingCommit, NothingToLand, make_landing_commit
from ringmaster.workspace.repository import Tip, TipState, ensure_repository, tip_for

log = logging.getLogger("ringmaster.lane")
OUTPUT_TAIL_BYTES = 16_000
TRIES = 5
"""How often a landing is made anew because the target moved while its gate ran, before the lane takes breath."""
BREATH_S = 1.0


async def run_lane(
    sur: Surroundings, project_id: str, wakeup: Wakeup, control_of: Callable[[str], AttemptControl]
) -> None:
    """Serve the project's lane for ever. Cancellation: between awaits, as a crash would be."""
    # Whose gate outlived the last daemon goes on before others: the checkout is its own until then.
    attempt = await _holder_of_checkout(sur, project_id)
    while True:
        if sur.paths.estop.exists() or sur.store.is_degraded:
            attempt = None
        elif attempt is None:
            attempt = await sur.store.read(attempts.next_in_lane, project_id)
        if attempt is None:
            await wakeup.wait()
            continue
        control = control_of(attempt.id)
        # It holds no seat: a wish about that one, which came as it was given up, is void.
        control.give_up_seat()
        control.is_served = True
        await _serve(sur, attempt, control, wakeup)
        control.is_served = False
        attempt = None


async def _holder_of_checkout(sur: Surroundings, project_id: str) -> Attempt | None:
    use = await read_use(sur.paths.gate_checkout(project_id))
    if use is None or not await trio.to_thread.run_sync(unsettled_jobs, sur.paths.attempt(use.attempt_id)):
        return None
    return await sur.store.read(_in_lane, use.attempt_id)


def _in_lane(conn: Connection, attempt_id: str) -> Attempt | None:
    state = conn.value(attempts.queries.state_of, (attempt_id,))
    return attempts.attempt_by_id(conn, attempt_id) if state in ("validating", "landing") else None


async def _serve(sur: Surroundings, attempt: Attempt, control: AttemptControl, wakeup: Wakeup) -> None:
    """Take one attempt a step further; this is an attempt's boundary for exceptions."""
    longest_s = math.inf
    try:
        is_done = await validate_and_land(sur, attempt.id, control)
        control.setbacks = 0
        if is_done is None:
            longest_s = BREATH_S
        elif not is_done and control.wanted is not None:
            await stop_jobs(sur, attempt.id)
            await end_attempt(sur, attempt, control.wanted, control.reason)
            return
    except Exception as raised:  # noqa: BLE001 - an attempt's boundary; `stop_lane` logs what is no foreseen error
        error = cause_of(raised)
        is_done, longest_s = False, DISK_RETRY_S
        if is_for_want_of_room(error, sur.paths.state):
            log.warning("lane of %s waits for room on the disk: %s", attempt.project_id, error)
        elif is_passing(error) and control.setbacks < SETBACKS:
            control.setbacks += 1
            log.warning("lane of %s tries again: %s", attempt.project_id, error)
            await trio.sleep(setback_pause_s(control.setbacks))
            return
        else:
            with noticing_full_disk():
                is_done = not await stop_lane(sur, attempt, error)
                longest_s = math.inf
    if not is_done:
        with trio.move_on_after(longest_s):
            await wakeup.wait()


async def validate_and_land(sur: Surroundings, attempt_id: str, control: AttemptControl) -> bool | None:
    """Merge, gate and land one attempt.

    True when it has ended or waits for a person; False to look again when something has happened; None when the
    target moves faster than gates run.
    Raises RingmasterError for what is not the attempt's fault.
    """
    for _ in range(TRIES):
        # Read anew each time: a person may have edited the project, or cancelled.
        rows = await sur.store.read(read_rows, attempt_id)
        if rows.attempt.state == "landing":
            return await finish_landing(sur, await open_bench(sur, rows, is_target_needed=False))
        if rows.attempt.state != "validating":
            return True
        if rows.attempt.is_cancel_requested:
            control.request(Outcome.CANCELLED, "cancelled by a person")
        if control.wanted is not None:
            return False
        is_settled = await _try_once(sur, await open_bench(sur, rows), control)
        if is_settled is not None:
            return is_settled
    return None


async def _try_once(sur: Surroundings, bench: Bench, control: AttemptControl) -> bool | None:
    """One merge, gate and landing; None when something moved meanwhile and it is worth another try."""
    checkout = sur.paths.gate_checkout(bench.project.id)
    checkout.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with sur.repository_lock(bench.project.id):
        await ensure_repository(bench.bare, bench.user)
        tip = await tip_for(bench.bare, bench.user, bench.project.target)
    if tip.state is TipState.DIVERGED:
        return await restack(sur, bench, control, checkout, tip)
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
        return await _red(sur, bench, control, checkout, tip, made.commit, run)
    if await _is_person_asked(sur, bench, tip, made.commit, run):
        return True
    return await land_commit(sur, bench, tip, made.commit)


async def _is_person_asked(sur: Surroundings, bench: Bench, tip: Tip, commit: str, run: GateRun | None) -> bool:
    """Ask a person about what only a person may let through, but for what was accepted of this very work before."""
    attempt = bench.attempt
    base_job = await _base_job(sur, bench, tip.commit)
    concerns = await find_concerns(sur, bench, tip=tip.commit, commit=commit, run=run, base_job=base_job)
    if not concerns:
        return False
    kind, question, detail = question_about(bench.task.id, concerns)
    accepted = await sur.store.read(accepted_lines, attempt.task_id, attempt.id)
    if accepted.issuperset(detail[-DETAIL_LIMIT:].splitlines()):
        return False
    await sur.store.write_essential(
        reporting.wait_for_person, attempt.id, attempt.token, kind, question=question, detail=detail, rng=sur.rng
    )
    return True


async def _make_commit(
    sur: Surroundings, bench: Bench, tip: str, checkout: Path
) -> LandingCommit | Conflict | NothingToLand:
    """The commit that will land, with the checkout standing on it. Its dates are the attempt's: a repeat is the same.

    Where a gate for it was begun on this tip, by this daemon or an earlier one, the checkout is left alone.
    """
    task, attempt = bench.task, bench.attempt
    use = await read_standing_use(checkout)
    if use is not None and use.attempt_id == attempt.id and use.work and await _stands_on(bench, use.work, tip):
        return LandingCommit(commit=use.work, tree="")
    await take_checkout(sur, checkout)
    summary = str(attempt.report.get("summary", "")).strip()
    message = f"{task.title}\n\n{summary}\n" if summary and summary != task.title else f"{task.title}\n"
    trailers = {"Ringmaster-Task": task.id, "Ringmaster-Attempt": attempt.id}
    trailer = _agent_trailer(bench)
    async with sur.repository_lock(bench.project.id):
        made = await make_landing_commit(
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
    if isinstance(made, LandingCommit):
        await note_gate(bench, checkout, made.commit, prefix="gate", work=made.commit)
    return made


async def _stands_on(bench: Bench, commit: str, tip: str) -> bool:
    parents = (await run_git("rev-list", "--parents", "-n1", commit, git_dir=bench.bare, ok=(0, 128))).text.split()
    return parents[1:2] == [tip]


def _agent_trailer(bench: Bench) -> dict[str, str]:
    words = "scripted (recorded steps, no model)" if bench.attempt.agent == "scripted" else bench.attempt.agent
    return {"Agent": words}


async def _gate(
    sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, commit: str
) -> GateRun | None:
    gate = bench.project.config.gate
    if not gate:
        return None
    found = await find_receipt(sur, bench, commit)
    if found is not None:
        if found.commit != commit:
            found = await _note_reuse(sur, bench, found, commit)
        return await earlier_run(sur, found)
    known = await sur.store.read(receipts.receipt_of_commit, bench.project.id, commit, gate)
    if known is not None and known.attempt_id == bench.attempt.id and known.result is not GateResult.INTERRUPTED:
        # Its own red run, after which the daemon died: what follows from it has still to be done.
        return await earlier_run(sur, known)
    return await run_gate(sur, bench, control, checkout, commit, work=commit)


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
    sur: Surroundings,
    bench: Bench,
    control: AttemptControl,
    checkout: Path,
    tip: Tip,
    commit: str,
    run: GateRun,
) -> bool:
    """The commit did not pass. Whose fault is it: the base's, if the base is red too."""
    output = await trio.to_thread.run_sync(_tail_of_gate, Path(run.output))
    is_base_red = run.is_setup or await _is_base_red(sur, bench, control, checkout, tip, run)
    if is_base_red is None or control.wanted is not None:
        return False
    if is_base_red:
        kind = DecisionKind.SETUP_FAILED if run.is_setup else DecisionKind.BASE_RED
        where = (
            "set-up fails in the gate's checkout" if run.is_setup else f"the gate is red on {tip.commit[:12]} itself"
        )
        await sur.store.write_essential(_blame_base, bench.attempt, kind, where, run.words, output, sur)
        return True
    await sur.store.write_essential(
        reporting.end_attempt,
        bench.attempt.id,
        bench.attempt.token,
        Outcome.GATE_FAILED,
        run.words,
        rng=sur.rng,
        report={"gate_output": output},
        failed_tests=run.receipt.tests_failed,
    )
    return True


def _tail_of_gate(stdout: Path) -> str:
    return read_tail(stdout, OUTPUT_TAIL_BYTES) + read_tail(stdout.with_name("stderr"), 4_000)


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


async def _is_base_red(
    sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, tip: Tip, run: GateRun
) -> bool | None:
    """Whether the tip itself fails the gate; None when that run was ended.

    It is only run where no receipt says so. run: the red one, on whose commit's behalf this is asked.
    """
    tree = (await run_git("rev-parse", f"{tip.commit}^{{tree}}", git_dir=bench.bare)).text
    known = await sur.store.read(_known_base, bench, tip.commit, tree)
    if known is not None:
        return known is not GateResult.GREEN
    base = await run_gate(
        sur,
        bench,
        control,
        checkout,
        tip.commit,
        prefix="base-gate",
        work=run.receipt.commit,
        known_failures=run.receipt.tests_failed,
    )
    return None if base is None else not base.is_green


def _known_base(conn: Connection, bench: Bench, commit: str, tree: str) -> GateResult | None:
    """What is known of the tip: a green receipt of it or its tree, or a red one that still holds.

    A red one holds for the attempt it was made for, and for others as long as a person is asked to mend the base:
    once they said that it is mended, it is measured anew.
    """
    gate = bench.project.config.gate
    found = receipts.receipt_of_commit(conn, bench.project.id, commit, gate)
    if found is None or found.result is GateResult.INTERRUPTED:
        green = receipts.green_receipt_of_tree(conn, bench.project.id, tree, gate)
        return GateResult.GREEN if green is not None else None
    is_asked = decisions.open_decision_of_project(conn, bench.project.id, DecisionKind.BASE_RED) is not None
    holds = found.result is GateResult.GREEN or found.attempt_id == bench.attempt.id or is_asked
    return found.result if holds else None
