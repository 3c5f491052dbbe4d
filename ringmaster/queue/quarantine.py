"""Rows that cannot be worked on: put aside with a decision, so that they take nothing else along."""

from __future__ import annotations

import random

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.states import ProjectState, TaskState
from ringmaster.queue.blockers import count_move
from ringmaster.queue.decide import open_decision, release_seat, withdraw_all
from ringmaster.store import attempts, projects, tasks
from ringmaster.store.attempts import PoisonedAttempt
from ringmaster.store.connection import Connection


def quarantine_task(
    conn: Connection, task_id: str, *, words: str, detail: str, rng: random.Random, attempt_id: str = ""
) -> str:
    """Put a task aside, whatever its row holds, and ask a person; the decision's id.

    words: what is wrong, to follow the task's id in a sentence.
    """
    task = tasks.row_by_id(conn, task_id).task
    project_id = task.project_id
    if tasks.quarantine_task(conn, task_id):
        count_move(conn, task_id, task.state, TaskState.FAILED)
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


def quarantine_failing(conn: Connection, attempt: Attempt, words: str, *, rng: random.Random) -> str:
    """End an attempt that made the daemon fail, whatever its task's row holds, and put the task aside.

    Returns the decision's id.
    """
    if attempts.end_poisoned(conn, attempt.id, words):
        conn.emit(
            "attempt.ended",
            project_id=attempt.project_id,
            task_id=attempt.task_id,
            attempt_id=attempt.id,
            worker_id=attempt.worker_id,
            data={"outcome": "interrupted", "reason": words},
        )
    release_seat(conn, attempt.worker_id, attempt.id)
    withdraw_all(conn, attempt.task_id, attempt_id=attempt.id, is_kept_question=True)
    return quarantine_task(
        conn, attempt.task_id, words="made the daemon fail", detail=words, rng=rng, attempt_id=attempt.id
    )


def pause_damaged_projects(conn: Connection) -> list[str]:
    """Give out nothing of a project whose row cannot be read; why, a line each."""
    found = []
    for project in projects.damaged_projects(conn):
        found.append(f"project {project.id}: {project.paused_reason}")
        if projects.set_project_state(conn, project.id, ProjectState.PAUSED, project.paused_reason):
            conn.emit("project.paused", project_id=project.id, data={"reason": project.paused_reason})
    return found
