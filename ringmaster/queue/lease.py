"""Tasks that are pulled, and the leases of those who have pulled them. The rules are in docs/pulling.md."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import DecisionState, WorkerState
from ringmaster.model.worker import HAND, Worker
from ringmaster.queue.claim import Claim, claim_for_worker, held_by_budget, would_claim
from ringmaster.queue.control import spawn_worker
from ringmaster.queue.limits import UNBOUND, Allowance, Bounds
from ringmaster.queue.obstacles import of_queue
from ringmaster.settings import Paths
from ringmaster.store import accounts, attempts, decisions, leases, pauses, tasks, workers
from ringmaster.store.connection import Connection

START_GRACE_S = 60.0
"""What a lease has left at least when a daemon starts: while none ran, nobody could say that they live."""

STALL_S = 2.0
"""Who looks at a deadline so late stood still meanwhile: a daemon that was stopped, or that a debugger holds."""

Standing = Literal["preparing", "held", "handed_in", "run_out", "over"]


def left_after_start(left_s: float) -> float:
    """What is left of a lease for a daemon that starts. One that has run out stays so."""
    return max(left_s, START_GRACE_S) if left_s > 0 else 0.0


def standing_of(attempt: Attempt) -> Standing:
    """How a pulled attempt stands, by its row alone; `over`: whoever pulled it has no more part in it."""
    if attempt.state != "running":
        return "over"
    if attempt.lease_left_s is None:
        return "handed_in" if "said" in attempt.report else "preparing"
    return "held" if attempt.lease_left_s > 0 else "run_out"


def is_final(attempt: Attempt, status: str) -> bool:
    """Whether a report ends the work. That of an agent below a shim is a signal, unless it is handed back."""
    return attempt.lease_s > 0 and (attempt.agent == HAND or status == "interrupted")


def workspace_of(attempt: Attempt, paths: Paths) -> Path:
    """Where an attempt works. A pulled one has its own place: who pulled it may go on writing there for ever."""
    name = f"{attempt.task_id}-{attempt.number}" if attempt.lease_s > 0 else attempt.task_id
    return paths.workspace(attempt.project_id, name)


def branch_of(attempt: Attempt) -> str:
    """The branch that an attempt's workspace is on from the beginning."""
    return f"ringmaster/{attempt.task_id}-{attempt.number}"


class _Lease(msgspec.Struct):
    token: str
    lease_s: float
    deadline: float
    on_change: Callable[[], None]


class Leases:
    """The leases that run in this process, counted by a clock that never goes back. Pure: `now` is a parameter.

    Only what may come next is kept here; what is so is in the rows.
    """

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}

    def begin(self, attempt: Attempt, left_s: float, now: float, on_change: Callable[[], None]) -> None:
        """Count from now. on_change: called when there may be something new about the attempt."""
        self._leases[attempt.id] = _Lease(attempt.token, attempt.lease_s, now + left_s, on_change)

    def renew(self, attempt_id: str, token: str, now: float) -> bool:
        """Put the deadline off to the whole lease from now, if the token is right.

        Before the write that says so: whatever lets the lease run out is then queued behind that.
        """
        lease = self._leases.get(attempt_id)
        if lease is None or not hmac.compare_digest(lease.token.encode(), token.encode("utf-8", "surrogatepass")):
            return False
        lease.deadline = max(lease.deadline, now + lease.lease_s)
        lease.on_change()
        return True

    def pardon(self, attempt_id: str, now: float) -> bool:
        """Put the deadline off as a start does if it passed while nobody could be heard: the process stood still.

        A heartbeat sent meanwhile waits in the socket, behind the look at the deadline.
        """
        lease = self._leases[attempt_id]
        if now - lease.deadline < STALL_S:
            return False
        lease.deadline = now + START_GRACE_S
        return True

    def deadline(self, attempt_id: str) -> float:
        """When it runs out, by the clock of `now`; raises KeyError for one that was not begun."""
        return self._leases[attempt_id].deadline

    def end(self, attempt_id: str) -> None:
        """Count no longer."""
        self._leases.pop(attempt_id, None)

    def changed(self, attempt_id: str) -> None:
        """There may be something new in the row."""
        lease = self._leases.get(attempt_id)
        if lease is not None:
            lease.on_change()


def pull(
    conn: Connection,
    worker_id: str,
    token: str,
    *,
    lease_s: float,
    is_run: bool,
    max_running: int,
    actor: str,
    rng: random.Random,
    bounds: Bounds = UNBOUND,
) -> Claim | None:
    """Give the next task to a pulled worker; None when there is none for it now.

    worker_id: made as a seat for work by hand when it is not known; '' takes a free one of those.
    is_run: for `worker run`, which starts the worker's agent; work by hand otherwise.

    Raises:
        RingmasterError: WRONG_STATE for a seat that is taken or not pulled for; REFUSED for one that is paused
            or stopped, or work by hand that a budget or a pause of the queue keeps back; NOT_FOUND for one that is not
            known with `is_run`.
    """
    worker = _seat(conn, worker_id, is_run=is_run, actor=actor, rng=rng)
    _refuse_unfit(worker, is_run=is_run)
    paused = next(of_queue(pauses.queue_pause(conn)), None)
    if paused is not None and not is_run:
        raise RingmasterError(ErrorKind.REFUSED, f"{paused.words}: nothing is given out", paused.command)
    if paused is not None or worker.agent in accounts.resting_agents(conn):
        return None
    if attempts.count_running(conn) >= max_running:
        return None
    allowance = Allowance(conn, bounds)
    claim = claim_for_worker(conn, worker.id, token, rng=rng, allowance=allowance)
    if claim is None:
        held = held_by_budget(conn, worker, allowance)
        if held is not None and not is_run:
            # Who runs an agent in a loop waits for the day to end, as a seat of the dispatcher does.
            raise RingmasterError(ErrorKind.REFUSED, held.words, held.command)
        return None
    leases.make_pulled(conn, claim.attempt, lease_s)
    attempt = msgspec.structs.replace(claim.attempt, lease_s=lease_s)
    conn.emit(
        "attempt.pulled",
        project_id=attempt.project_id,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        worker_id=worker.id,
        actor=actor,
        data={"lease_s": lease_s},
    )
    return Claim(claim.task, attempt)


def _seat(conn: Connection, worker_id: str, *, is_run: bool, actor: str, rng: random.Random) -> Worker:
    name = worker_id or leases.free_hand_seat(conn, HAND)
    if name:
        try:
            return workers.worker_by_id(conn, name)
        except RingmasterError as error:
            if error.kind is not ErrorKind.NOT_FOUND or is_run:
                raise
    else:
        taken = {worker.id for worker in workers.all_workers(conn)}
        name = next(f"h{number}" for number in range(1, len(taken) + 2) if f"h{number}" not in taken)
    made = msgspec.structs.replace(any_hand_seat(conn.now), id=name)
    return workers.worker_by_id(conn, spawn_worker(conn, made, actor=actor))


def any_hand_seat(now: float) -> Worker:
    """The seat that is made for somebody who works by hand, without its name."""
    return Worker(
        id="",
        agent=HAND,
        command=(),
        project_id="",
        capabilities=(),
        state=WorkerState.ACTIVE,
        attempt_id="",
        created_at=now,
        is_pulled=True,
    )


def _refuse_unfit(worker: Worker, *, is_run: bool) -> None:
    if not worker.is_pulled:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"worker {worker.id} is given its tasks by the daemon",
            "pull for a name of your own: rmctl pull --worker NAME",
        )
    if is_run != (worker.agent != HAND):
        words = "has no agent to run" if is_run else f"runs {worker.agent}"
        hint = f"rmctl pull --worker {worker.id}" if is_run else f"rmctl worker run {worker.id}"
        raise RingmasterError(ErrorKind.WRONG_STATE, f"worker {worker.id} {words}", hint)
    if worker.state is not WorkerState.ACTIVE:
        raise RingmasterError(
            ErrorKind.REFUSED, f"worker {worker.id} is {worker.state}", f"rmctl worker start {worker.id}"
        )
    if worker.attempt_id:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"worker {worker.id} works on {worker.attempt_id}",
            "hand that in first: rmctl report, in its workspace; or pull for another name",
        )


def is_worth_pulling(conn: Connection, worker: Worker, max_running: int, bounds: Bounds = UNBOUND) -> bool:
    """Whether a pull for this seat would find a task now. Changes nothing."""
    if worker.attempt_id or worker.state is not WorkerState.ACTIVE or pauses.queue_pause(conn) is not None:
        return False
    if worker.agent in accounts.resting_agents(conn) or attempts.count_running(conn) >= max_running:
        return False
    allowance = Allowance(conn, bounds)
    if allowance.look(worker.agent).is_agent_paused or allowance.keeps_agent(worker.agent):
        # Before what is due, which a pull would not come to either: who waits would pull again and again.
        return False
    due_at = tasks.next_due_at(conn)
    if due_at is not None and due_at <= conn.now:
        # A pull releases what is due before it looks; with no seat of its own to fill, the dispatcher may not have.
        return True
    return would_claim(conn, worker, allowance)


def begin_lease(conn: Connection, attempt_id: str, token: str) -> Attempt:
    """The workspace is ready: from here the lease runs. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    if leases.begin_lease(conn, attempt):
        _emit(conn, "attempt.leased", attempt, lease_s=attempt.lease_s)
    return attempts.attempt_by_id(conn, attempt_id)


def check_holder(conn: Connection, attempt_id: str, token: str, paths: Paths) -> Attempt:
    """The attempt, if whoever shows this token may still speak for it.

    Raises:
        RingmasterError: NOT_FOUND; LEASE_LOST for a wrong or late token, saying where the work is.
    """
    attempt = attempts.attempt_by_id(conn, attempt_id)
    if not attempts.is_token(attempt, token):
        raise RingmasterError(
            ErrorKind.LEASE_LOST,
            f"this is not the token of attempt {attempt.id}, nothing was changed",
            "the token of what you pulled is in .git/ringmaster-attempt.json of its workspace",
        )
    if attempt.outcome is not None or standing_of(attempt) == "run_out":
        raise lost(attempt, paths)
    return attempt


def lost(attempt: Attempt, paths: Paths) -> RingmasterError:
    """What a late worker hears: what became of its attempt, and where its work lies."""
    if attempt.lease_s <= 0:
        return attempts.lease_lost(attempt)
    became = f"attempt {attempt.id} ended as {attempt.outcome}"
    if attempt.outcome is None:
        became = f"the lease of attempt {attempt.id} ran out"
    why = f" ({attempt.reason})" if attempt.reason else ""
    return RingmasterError(
        ErrorKind.LEASE_LOST,
        f"{became}{why}, nothing was changed; your work is in {workspace_of(attempt, paths)}",
        f"rmctl task show {attempt.task_id}",
    )


def heartbeat(conn: Connection, attempt_id: str, token: str, paths: Paths) -> Attempt:
    """Note that whoever pulled it lives; nothing for an attempt without a lease that runs. Raises LEASE_LOST."""
    attempt = check_holder(conn, attempt_id, token, paths)
    leases.renew_lease(conn, attempt)
    return attempts.attempt_by_id(conn, attempt_id)


def hand_in(conn: Connection, attempt_id: str, token: str, said: dict[str, str], paths: Paths) -> Attempt:
    """Take the final report of a pulled attempt, once: the same one again changes nothing.

    Raises:
        RingmasterError: NOT_FOUND; LEASE_LOST; WRONG_STATE for another report than the one that was taken.
    """
    attempt = attempts.attempt_by_id(conn, attempt_id)
    if attempts.is_token(attempt, token) and attempt.lease_left_s is None and "said" in attempt.report:
        if attempt.report["said"] == said:
            return attempt
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"attempt {attempt.id} was reported as {attempt.report['said'].get('status')} before, nothing was changed",
            f"rmctl task show {attempt.task_id}",
        )
    attempt = check_holder(conn, attempt_id, token, paths)
    if not leases.hand_in(conn, attempt, {**attempt.report, "said": said}):
        raise lost(attempt, paths)
    _emit(conn, "attempt.handed_in", attempt, **said)
    return attempts.attempt_by_id(conn, attempt_id)


def expire(conn: Connection, attempt_id: str, token: str) -> bool:
    """Let the lease run out, unless a report was first: False then. Raises LEASE_LOST when the attempt has ended."""
    attempt = attempts.check_token(conn, attempt_id, token)
    is_expired = leases.expire_lease(conn, attempt)
    if is_expired:
        _emit(conn, "attempt.lease_expired", attempt, lease_s=attempt.lease_s)
    return is_expired


def note_left(conn: Connection, attempt: Attempt, left_s: float) -> None:
    """Write down what is left for the next daemon."""
    leases.note_left(conn, attempt, left_s)


def has_open_question(conn: Connection, attempt: Attempt) -> bool:
    """Whether it asked something that nobody has answered."""
    found = decisions.decisions_of_task(conn, attempt.task_id)
    return any(one.attempt_id == attempt.id and one.state is DecisionState.OPEN for one in found)


def _emit(conn: Connection, type: str, attempt: Attempt, **data: str | float) -> None:
    conn.emit(
        type,
        project_id=attempt.project_id,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        worker_id=attempt.worker_id,
        data=data,
    )
