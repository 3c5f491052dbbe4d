"""A pulled attempt: handed out, held under its lease, handed in or taken back. The rules are in docs/pulling.md."""

from __future__ import annotations

import fcntl
import logging
import math
import os
from pathlib import Path
from typing import Any, Literal

import msgspec
import trio

from ringmaster.agents.base import Agent, AgentEnd, AgentReport, ExplicitReport
from ringmaster.bus import Wakeup
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.worker import HAND
from ringmaster.proc.job import adopt_job, is_held
from ringmaster.proc.job_files import read_spec, write_durably, write_spec
from ringmaster.protocol.ticket import Ticket, ticket_file
from ringmaster.queue import lease, report
from ringmaster.store import attempts
from ringmaster.workers.agent_step import explicit_report, make_agent_spec, run_agent, write_prompt
from ringmaster.workers.attempt import agent_of, collect_work, end_attempt, is_setup_broken, judge, judge_report
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.jobs import emit_job, stop_jobs
from ringmaster.workers.preparing import Bench, open_bench, prepare_workspace, read_rows
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.snapshot import take_snapshot

log = logging.getLogger("ringmaster.pulled")

NOTE_LIMIT_S = 5.0
"""How long a daemon that stops waits for writing down what is left of a lease."""
SEALED = ".sealed"
"""Ends the name of a job's directory that was moved away from who held its lock and did not begin it."""
RUN_OUT = "its lease ran out: nobody had reported or sent a heartbeat"

Ending = Literal["begun", "handed_in", "unwanted", "run_out"]
Start = Literal["no", "soon", "yes"]
"""Whether the agent's job was begun; soon: its lock is held by somebody who is about to, or who was stopped."""


async def work_on_pulled(sur: Surroundings, attempt_id: str, control: AttemptControl) -> None:
    """Bring a pulled attempt from its claim to `validating` or its end, however long it is worked on by hand.

    Can be entered again after any crash; cancellation, and what is raised, as for `work_on_attempt`. A cancelled one
    writes down what is left of the lease.
    """
    rows = await sur.store.read(read_rows, attempt_id)
    if rows.attempt.is_cancel_requested:
        control.request(Outcome.CANCELLED, "cancelled by a person")
    if control.wanted is not None and not rows.attempt.base_commit:
        return await end_attempt(sur, rows.attempt, control.wanted, control.reason)
    bench = await open_bench(sur, rows)
    agent = agent_of(sur, bench)
    bench = await prepare_workspace(sur, bench, rows.before)
    if await is_setup_broken(sur, bench, control):
        return
    is_new = lease.standing_of(bench.attempt) == "preparing"
    if is_new:
        bench = await _hand_out(sur, bench, agent)
    ending = await wait_for_end(sur, bench, control, lease_left_s(sur, bench.attempt, is_new=is_new))
    if ending == "begun":
        # From here it is as if the daemon had started it.
        await judge(sur, bench, control, agent, await run_agent(sur, bench, control, agent))
    elif ending == "handed_in":
        await _judge_hand(sur, bench, control, agent)
    elif ending == "run_out":
        await _take_back(sur, bench, agent, Outcome.INTERRUPTED, RUN_OUT)
    else:
        await _take_back(sur, bench, agent, control.wanted or Outcome.INTERRUPTED, control.reason)
    control.give_up_seat()


def lease_left_s(sur: Surroundings, attempt: Attempt, *, is_new: bool) -> float:
    """What is left of a lease from now on, in seconds. is_new: it was given just now.

    A start gives a minute at least, for nobody can have been heard before it; an exec in place is no start.
    """
    left_s = attempt.lease_left_s or 0.0
    return left_s if is_new or sur.is_continued else lease.left_after_start(left_s)


def _job_directory(bench: Bench) -> Path | None:
    """Where the agent's job is begun by whoever pulled it; None for work by hand."""
    return None if bench.attempt.agent == HAND else bench.directory / "agent"


async def _hand_out(sur: Surroundings, bench: Bench, agent: Agent) -> Bench:
    """Make what whoever pulled it needs, and let the lease run. Raises RingmasterError, LEASE_LOST included."""
    directory = _job_directory(bench)
    if directory is None:
        await write_prompt(sur, bench)
    elif not (directory / "spec.json").exists():
        spec = await make_agent_spec(sur, bench, agent)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        await trio.to_thread.run_sync(write_spec, directory, spec)
    attempt = bench.attempt
    ticket = Ticket(attempt=attempt.id, task=attempt.task_id, token=attempt.token, socket=str(sur.paths.socket))
    await trio.to_thread.run_sync(write_durably, ticket_file(bench.workspace), msgspec.json.encode(ticket))
    row = await sur.store.write_essential(lease.begin_lease, attempt.id, attempt.token)
    return msgspec.structs.replace(bench, attempt=row)


async def wait_for_end(sur: Surroundings, bench: Bench, control: AttemptControl, left_s: float) -> Ending:
    """Wait until whoever pulled it has nothing more to say, or has begun its job. left_s: of the lease, from now.

    Cancellation writes down what is left. Raises LEASE_LOST for an attempt that somebody else has ended.
    """
    attempt, wakeup = bench.attempt, Wakeup()
    directory = _job_directory(bench)
    if directory is not None:
        spec = await trio.to_thread.run_sync(read_spec, directory)
        if spec is not None:
            control.awaits(directory, spec.nonce)
    sur.leases.begin(attempt, left_s, trio.current_time(), wakeup.set)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wake_on_wish, control, wakeup)
            ending = await _next_ending(sur, bench, control, directory, wakeup)
            nursery.cancel_scope.cancel()
        return ending
    finally:
        left_s = sur.leases.deadline(attempt.id) - trio.current_time()
        sur.leases.end(attempt.id)
        if trio.current_effective_deadline() == -math.inf:
            # The daemon stops. Running out is a write of its own, so something is always left.
            with trio.move_on_after(NOTE_LIMIT_S, shield=True):
                await sur.store.write_essential(lease.note_left, attempt, max(left_s, 0.001))


async def _wake_on_wish(control: AttemptControl, wakeup: Wakeup) -> None:
    await control.wished.wait()
    wakeup.set()


async def _next_ending(
    sur: Surroundings, bench: Bench, control: AttemptControl, directory: Path | None, wakeup: Wakeup
) -> Ending:
    attempt = bench.attempt
    while True:
        row = await sur.store.read(attempts.attempt_by_id, attempt.id)
        _take_wishes(row, control)
        standing = lease.standing_of(row)
        if standing == "over":
            raise attempts.lease_lost(row)
        start: Start = "no" if directory is None else await trio.to_thread.run_sync(_look, directory)
        if start == "yes":
            kind = "attempt.job_started"
            await sur.store.write_essential(emit_job, attempt, kind, "agent", str(directory), {})
            return "begun"
        if control.wanted is not None:
            return "unwanted"
        if standing == "handed_in":
            return "handed_in"
        if standing == "run_out":
            return "run_out"
        if sur.leases.pardon(attempt.id, trio.current_time()):
            continue
        if trio.current_time() >= sur.leases.deadline(attempt.id):
            if directory is None or await trio.to_thread.run_sync(_seal, directory):
                # A report whose write was queued before comes first: the row says so in the next round.
                await sur.store.write_essential(lease.expire, attempt.id, attempt.token)
            continue
        with trio.move_on_at(sur.leases.deadline(attempt.id)):
            if directory is None or start == "no":
                await wakeup.wait()
            else:
                await _wait_for_start(sur, directory, wakeup)


async def _wait_for_start(sur: Surroundings, directory: Path, wakeup: Wakeup) -> None:
    """Until a job that is about to begin has begun or was given up, or there may be something new in the row."""
    async with trio.open_nursery() as nursery:

        async def adopt() -> None:
            await adopt_job(directory, instance=sur.instance_id, roots=sur.roots())
            nursery.cancel_scope.cancel()

        nursery.start_soon(adopt)
        await wakeup.wait()
        nursery.cancel_scope.cancel()


def _take_wishes(row: Attempt, control: AttemptControl) -> None:
    """What the row says that its events said too, should they have been missed."""
    if row.is_cancel_requested:
        control.request(Outcome.CANCELLED, "cancelled by a person")
    said = row.report.get("said")
    if lease.standing_of(row) == "handed_in" and isinstance(said, dict) and said.get("status") == "interrupted":
        control.request(Outcome.INTERRUPTED, report.handed_back_words(said))


def _has_begun(directory: Path) -> bool:
    return (directory / "run.json").exists() or (directory / "exit.json").exists()


def _look(directory: Path) -> Start:
    """One look at the agent's job. Blocking."""
    if _has_begun(directory):
        return "yes"
    return "soon" if (directory / "spec.json").exists() and is_held(directory / "lock") else "no"


def _seal(directory: Path) -> bool:
    """See to it that a job can never begin; False when it has begun. Blocking.

    Its lock keeps others from it meanwhile. Whoever has that and does not begin may be stopped, and go on at any time:
    then the directory is moved away. A shim names its files by their whole path, and its child waits for run.json.
    May be repeated after a kill at any moment.
    """
    aside = directory.with_name(f"{directory.name}{SEALED}")
    if aside.exists():
        return _is_kept_away(directory, aside)
    try:
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _has_begun(directory):
            return False
        (directory / "spec.json").unlink(missing_ok=True)
    except BlockingIOError:
        if _has_begun(directory):
            return False
        log.warning("%s: its lock is held by somebody who did not begin it; it is moved to %s", directory, aside)
        directory.rename(aside)
        return _is_kept_away(directory, aside)
    finally:
        os.close(fd)
    return True


def _is_kept_away(directory: Path, aside: Path) -> bool:
    """Whether the moved job had not begun; one that had, in that very moment, is put back: its files are open."""
    if _has_begun(aside):
        aside.rename(directory)
        return False
    # Without it nobody takes the directory for a job that runs.
    (aside / "spec.json").unlink(missing_ok=True)
    return True


async def _judge_hand(sur: Surroundings, bench: Bench, control: AttemptControl, agent: Agent) -> None:
    """Judge what was handed in, as if an agent had ended well and said so."""
    row = await sur.store.read(attempts.attempt_by_id, bench.attempt.id)
    said = row.report.get("said")
    explicit = explicit_report(row)
    summary = str(said.get("summary", "")) if isinstance(said, dict) else ""
    is_done = isinstance(said, dict) and said.get("status") == "succeeded"
    if is_done and not await sur.store.read(lease.has_open_question, row):
        # What it asked has been answered while it was at work.
        explicit = ExplicitReport(status="succeeded", summary=summary)
    end = AgentEnd(reason="exited", code=0)
    await judge_report(sur, bench, control, agent, end, AgentReport(summary=summary), explicit)


async def _take_back(sur: Surroundings, bench: Bench, agent: Agent, outcome: Outcome, reason: str) -> None:
    """End an attempt whose worker has nothing more to say; what it has done is kept, and the next goes on from it."""
    directory = _job_directory(bench)
    if directory is not None:
        await trio.to_thread.run_sync(_seal, directory)
    await stop_jobs(sur, bench.attempt.id)
    head, facts = "", dict[str, Any]()
    try:
        async with sur.repository_lock(bench.project.id):
            snapshot = await take_snapshot(bench.bare, bench.workspace, bench.attempt.id, sur.now())
        collected = await collect_work(sur, bench, agent, AgentReport())
        head = "" if collected.is_empty else collected.head
        facts = {
            "snapshot": snapshot.ref,
            "diffstat": collected.diffstat,
            "files": [file.path for file in collected.files[:200]],
        }
    except (RingmasterError, OSError) as error:
        # Somebody may be writing there at this moment. The directory stays, and is kept whole before it goes.
        if isinstance(error, RingmasterError) and error.kind in (ErrorKind.DISK_FULL, ErrorKind.LEASE_LOST):
            raise
        log.warning("attempt %s: its work stays in %s alone: %s", bench.attempt.id, bench.workspace, error)
        facts = {"problems": [{"kind": "not_collected", "detail": str(error), "is_blocking": False}]}
    await sur.store.write_essential(
        report.end_attempt,
        bench.attempt.id,
        bench.attempt.token,
        outcome,
        reason,
        rng=sur.rng,
        report=facts,
        head_commit=head,
    )
