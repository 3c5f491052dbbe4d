"""Giving a task to a free seat."""

from __future__ import annotations

import random

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.ids import make_attempt_id
from ringmaster.model.states import AttemptState
from ringmaster.model.task import Task
from ringmaster.queue.obstacles import is_free_seat
from ringmaster.queue.quarantine import quarantine_task
from ringmaster.store import attempts, spawn_failures, tasks, workers
from ringmaster.store.connection import Connection


class Claim(msgspec.Struct, frozen=True):
    """A task and the attempt that now holds it."""

    task: Task
    attempt: Attempt


def claim_for_worker(conn: Connection, worker_id: str, token: str, *, rng: random.Random) -> Claim | None:
    """Take the first task that a worker's empty seat can work on; None when there is none or the seat is not free.

    The task row, the seat and the new attempt change in one transaction, each behind its own guard. A task
    whose row cannot be read is put aside with a decision, and the next one is taken.
    """
    worker = workers.worker_by_id(conn, worker_id)
    if not is_free_seat(worker):
        return None
    agent = worker.agent
    if spawn_failures.is_paused(conn, agent):
        return None
    while True:
        task = tasks.claim_task(conn, agent=agent, project_id=worker.project_id, capabilities=worker.capabilities)
        if task is None:
            return None
        if isinstance(task, Task):
            break
        quarantine_task(conn, task.id, words="has a row that cannot be read", detail=task.detail, rng=rng)
    attempt = new_attempt(task, worker_id=worker.id, agent=agent, token=token, now=conn.now)
    attempts.insert_attempt(conn, attempt)
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
