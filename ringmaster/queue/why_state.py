"""What is done for a task now, and since when; or why it ended."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ringmaster.model.attempt import Attempt
from ringmaster.model.event import Event
from ringmaster.model.project import Project
from ringmaster.model.states import TaskState
from ringmaster.model.task import Task
from ringmaster.model.worker import HAND
from ringmaster.protocol.task import ReceiptView, TaskView
from ringmaster.protocol.why import Doing, Ending
from ringmaster.queue.next_step import parked_command
from ringmaster.queue.why_causes import data_of
from ringmaster.store import attempts
from ringmaster.store.connection import Connection

LANE_LIMIT = 1000
JOBS = {"setup": "its set-up runs", "agent": "its agent works", "gate": "its gate runs"}


def doing_of(conn: Connection, task: Task, attempt: Attempt, recent: Sequence[Event]) -> Doing:
    """What the newest attempt of a task does. recent: its events, the newest first."""
    job = next((event for event in recent if event.type in ("attempt.job_started", "attempt.job_ended")), None)
    is_at_work = job is not None and job.type == "attempt.job_started" and job.attempt_id == attempt.id
    kind = str(data_of(job).get("kind", "")) if is_at_work and job is not None else ""
    cause = job if is_at_work else _last_move(attempt, recent)
    place = _place_in_lane(conn, attempt) if attempt.state == "validating" else 0
    words, command = _doing_words(task, attempt, place)
    detail = next((said for name, said in JOBS.items() if kind.startswith(name)), "")
    return Doing(
        words=words if not detail or (attempt.state == "running" and kind == "agent") else f"{words}; {detail}",
        attempt_id=attempt.id,
        since_at=cause.at if cause is not None else attempt.started_at,
        seq=cause.seq if cause is not None else None,
        agent=attempt.agent,
        worker_id=attempt.worker_id,
        job=kind,
        place=place,
        command=command,
    )


def _last_move(attempt: Attempt, recent: Sequence[Event]) -> Event | None:
    moves = ("task.validating", "task.landing", "attempt.started", "attempt.pulled", "attempt.accepted")
    return next((event for event in recent if event.type in moves and event.attempt_id == attempt.id), None)


def _place_in_lane(conn: Connection, attempt: Attempt) -> int:
    lane = attempts.lane(conn, attempt.project_id, LANE_LIMIT)
    return lane.index(attempt.id) + 1 if attempt.id in lane else 0


def _doing_words(task: Task, attempt: Attempt, place: int) -> tuple[str, str]:
    if attempt.is_cancel_requested:
        return f"attempt {attempt.id} is being ended, then it is cancelled", ""
    if task.state is TaskState.RUNNING:
        if attempt.agent == HAND:
            return f"{attempt.worker_id} works on it by hand", f"rmctl attempt show {attempt.id}"
        return f"attempt {attempt.id} works on it", f"rmctl logs {attempt.id} -f"
    if task.state is TaskState.LANDING:
        return f"attempt {attempt.id} is landing", ""
    after = f", {place - 1} before it" if place > 1 else ""
    command = f"rmctl logs {attempt.id} --stream gate -f"
    return f"attempt {attempt.id} is in the lane for gate and landing{after}", command


def ending_of(
    view: TaskView,
    project: Project | None,
    attempt: Attempt | None,
    recent: Sequence[Event],
    receipts: tuple[ReceiptView, ...],
) -> Ending:
    """Why a task ended. recent: its events, the newest first."""
    task = view.task
    ends = ("task.done", "task.failed", "task.cancelled", "task.restored")
    cause = next((event for event in recent if event.type in ends), None)
    words, command = _ending_words(view, project)
    return Ending(
        words=words,
        ended_at=cause.at if cause is not None else task.updated_at,
        seq=cause.seq if cause is not None else None,
        attempt_id=attempt.id if attempt is not None else "",
        outcome=str(attempt.outcome or "") if attempt is not None else "",
        reason=attempt.reason if attempt is not None else "",
        receipts=receipts,
        command=command,
    )


def _ending_words(view: TaskView, project: Project | None) -> tuple[str, str]:
    task = view.task
    if task.state is TaskState.FAILED:
        return "its attempts are used up", f"rmctl retry {task.id}"
    if task.state is TaskState.CANCELLED:
        return "it is cancelled; to take it up again", f"rmctl retry {task.id}"
    if view.is_parked and project is not None:
        return "landed, not yet in your checkout", parked_command(project)
    if task.landed_commit:
        where = f"git -C {shlex.quote(project.path)} show {task.landed_commit[:12]}" if project is not None else ""
        return f"nothing; it has landed as {task.landed_commit[:12]}", where
    how = {"children": ": its children are", "unneeded": ": it was not needed any more"}.get(task.done_by, "")
    return f"nothing; it is done{how}", ""
