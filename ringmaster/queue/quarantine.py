"""Rows that cannot be worked on: put aside with a decision, so that they take nothing else along."""

from __future__ import annotations

import random

from ringmaster.model.decisions import DecisionKind
from ringmaster.queue.decide import open_decision, release_seat
from ringmaster.store import attempts, tasks
from ringmaster.store.attempts import PoisonedAttempt
from ringmaster.store.connection import Connection


def quarantine_task(
    conn: Connection, task_id: str, *, words: str, detail: str, rng: random.Random, attempt_id: str = ""
) -> str:
    """Put a task aside, whatever its row holds, and ask a person; the decision's id.

    words: what is wrong, to follow the task's id in a sentence.
    """
    project_id = tasks.row_by_id(conn, task_id).task.project_id
    tasks.quarantine_task(conn, task_id)
    names = {"project_id": project_id, "task_id": task_id, "attempt_id": attempt_id}
    conn.emit("task.failed", **names, data={"reason": words})
    return open_decision(
        conn,
        DecisionKind.POISONED,
        project_id=project_id,
        task_id=task_id,
        attempt_id=attempt_id,
        question=f"{task_id} {words} and was put aside: retry or cancel it?",
        detail=detail,
        rng=rng,
    )


def quarantine_attempt(conn: Connection, poisoned: PoisonedAttempt, *, rng: random.Random) -> str:
    """End an attempt whose row cannot be read and put its task aside; the decision's id."""
    attempts.end_poisoned(conn, poisoned.id, f"its row could not be read: {poisoned.words}")
    release_seat(conn, poisoned.worker_id, poisoned.id)
    return quarantine_task(
        conn,
        poisoned.task_id,
        words=f"has an attempt ({poisoned.id}) whose row cannot be read",
        detail=poisoned.words,
        rng=rng,
        attempt_id=poisoned.id,
    )
