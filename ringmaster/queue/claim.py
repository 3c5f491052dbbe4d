"""Giving a task to a free seat."""

from __future__ import annotations

import random

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.ids import make_attempt_id
from ringmaster.model.states import AttemptState
from ringmaster.model.task import Task
from ringmaster.model.worker import Worker
from ringmaster.protocol.why import Obstacle
from ringmaster.queue.blockers import tell_late
from ringmaster.queue.facts import find_late
from ringmaster.queue.labels import renew_demand
from ringmaster.queue.limits import Allowance
from ringmaster.queue.obstacles import is_free_seat
from ringmaster.queue.quarantine import quarantine_task
from ringmaster.store import attempts, seats, tasks, workers
from ringmaster.store.connection import Connection


class Claim(msgspec.Struct, frozen=True):
    """A task and the attempt that now holds it."""

    task: Task
    attempt: Attempt


LOOKS = 100
"""How often one claim looks again because of what it found in the row that it picked."""


def claim_for_worker(
    conn: Connection, worker_id: str, token: str, *, rng: random.Random, allowance: Allowance | None = None
) -> Claim | None:
    """Take the first task that a worker's empty seat can work on; None when there is none or the seat is not free.

    allowance: what may be given out, where more than one claim is made in the transaction.

    The task row, the seat and the new attempt change in one transaction, each behind its own guard. A task
    whose row cannot be read is put aside with a decision, and the next one is taken.
    """
    worker = workers.worker_by_id(conn, worker_id)
    if not is_free_seat(worker):
        return None
    agent = worker.agent
    if allowance is None:
        allowance = Allowance(conn)
    task = _take_task(conn, worker, allowance, rng)
    if task is None:
        return None
    attempt = new_attempt(task, worker_id=worker.id, agent=agent, token=token, now=conn.now)
    attempts.insert_attempt(conn, attempt)
    allowance.take(task, agent, attempt.id)
    workers.take_seat(conn, worker.id, attempt.id)
    conn.emit(
        "attempt.started",
        project_id=task.project_id,
        task_id=task.id,
        attempt_id=attempt.id,
        worker_id=worker.id,
        data={"agent": agent, "number": attempt.number},
    )
    return Claim(task, attempt)


def _take_task(conn: Connection, worker: Worker, allowance: Allowance, rng: random.Random) -> Task | None:
    """Move the first task that the seat may take to `running`."""
    agent = worker.agent
    gate = allowance.look(agent)
    if gate.is_agent_paused or allowance.keeps_agent(agent):
        return None
    if gate.next_due_at is not None and gate.next_due_at <= conn.now:
        # So that a retry whose time has come takes part.
        tasks.release_due(conn)
    is_looked_at = gate.has_labels or gate.has_budgets or gate.is_spreading or bool(allowance.bounds.labels)
    before = allowance.mended
    for _ in range(LOOKS):
        seat = seat_of(worker, allowance)
        seq = seats.next_place(conn, seat)
        if seq is None:
            return None
        if is_looked_at and not _may_take(conn, seq, agent, allowance):
            continue
        task = seats.take_place(conn, seq)
        if isinstance(task, Task):
            return task
        if task is None:
            return None
        quarantine_task(conn, task.id, words="has a row that cannot be read", detail=task.detail, rng=rng)
        allowance.mended += 1
    # Only what was mended is not found again: projects that were shut are, and would have no end.
    allowance.is_unfinished = allowance.is_unfinished or allowance.mended > before
    return None


def seat_of(worker: Worker, allowance: Allowance) -> seats.Seat:
    """What a seat offers now, by its own row and by what limits and budgets leave. `allowance` has looked for it."""
    gate = allowance.gate
    return seats.Seat(
        agent=worker.agent,
        project_id=worker.project_id,
        capabilities=worker.capabilities,
        full_labels=allowance.full_labels() if gate.has_labels or allowance.bounds.labels else None,
        shut=frozenset(allowance.shut_projects(worker.agent)) if gate.has_budgets else frozenset(),
    )


def held_by_budget(conn: Connection, worker: Worker, allowance: Allowance) -> Obstacle | None:
    """The budget that kept a claim from finding something, where without budgets it would have; else None."""
    if allowance.held_by_budget is None:
        return None
    seat = msgspec.structs.replace(seat_of(worker, allowance), shut=frozenset())
    is_there = seats.next_place(conn, seat) is not None
    return allowance.held_by_budget if is_there else None


def would_claim(conn: Connection, worker: Worker, allowance: Allowance) -> bool:
    """Whether a claim for the seat would find a task, by what no index has to be asked for. Changes nothing."""
    gate = allowance.look(worker.agent)
    if gate.is_agent_paused or allowance.keeps_agent(worker.agent):
        return False
    seq = seats.next_place(conn, seat_of(worker, allowance))
    if seq is None:
        return False
    task = seats.task_at(conn, seq) if gate.has_budgets or gate.is_spreading else None
    if task is None:
        return True
    is_late = gate.is_spreading and find_late(conn, task.id) is not None
    return not is_late and not (gate.has_budgets and allowance.refuses(task, worker.agent))


def _may_take(conn: Connection, seq: int, agent: str, allowance: Allowance) -> bool:
    """Look at the row that was picked for what no index knows. When False, the next pick is another one."""
    task = seats.task_at(conn, seq)
    if task is None:
        # It cannot be read: to be taken, and put aside.
        return True
    is_told = allowance.gate.is_spreading and tell_late(conn, task.id)
    if is_told or (allowance.bounds.labels and renew_demand(conn, task, seq, allowance.bounds.labels)):
        allowance.mended += 1
        return False
    return not (allowance.gate.has_budgets and allowance.refuses(task, agent))


def new_attempt(task: Task, *, worker_id: str, agent: str, token: str, now: float) -> Attempt:
    """The attempt that a claimed task begins with; `attempt_number` was counted up by the claim."""
    return Attempt(
        id=make_attempt_id(task.id, task.attempt_number),
        task_id=task.id,
        number=task.attempt_number,
        project_id=task.project_id,
        worker_id=worker_id,
        agent=agent,
        token=token,
        state=AttemptState.RUNNING,
        outcome=None,
        reason="",
        branch="",
        base_commit="",
        head_commit="",
        is_accepted=False,
        is_cancel_requested=False,
        landing=None,
        lane_at=None,
        report={},
        started_at=now,
        ended_at=None,
    )
