"""Keeping a task back: hold and release, and defer to a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import TaskState
from ringmaster.model.task import Task
from ringmaster.queue.blockers import block, count_move, unblock
from ringmaster.queue.changes import versions
from ringmaster.store import controls, tasks
from ringmaster.store.connection import Connection

NOTHING: Mapping[str, Any] = {}


def utc(at: float) -> str:
    """A time in words."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def hold_task(conn: Connection, task_id: str, *, message: str = "", actor: str) -> str:
    """Keep a task from being given out until somebody releases it; an attempt under way goes on.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when it is held already, done or cancelled.
    """
    task = tasks.row_by_id(conn, task_id).task
    set_hold(conn, task, message=message, actor=actor, more={"since": conn.next_seq})
    if task.state in (TaskState.RUNNING, TaskState.VALIDATING, TaskState.LANDING):
        return f"{task_id} is {task.state}, which goes on; it is held should it come back to the queue"
    return f"{task_id} is held: rmctl task release {task_id}"


def set_hold(conn: Connection, task: Task, *, message: str, actor: str, more: Mapping[str, Any] = NOTHING) -> None:
    """Hold a task and say so. more: for its event, see `queue.changes`. Raises WRONG_STATE."""
    if not controls.hold(conn, task.id):
        words = "held already" if task.held_at is not None else task.state
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"task {task.id} is {words}, so it cannot be held", f"rmctl task show {task.id}"
        )
    block(conn, task.id)
    told = {"reason": message, **versions(conn, task), **more}
    conn.emit("task.held", project_id=task.project_id, task_id=task.id, actor=actor, data=told)


def release_task(conn: Connection, task_id: str, *, actor: str) -> str:
    """Give a held task out again, and open a draft.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when it is neither held nor a draft.
    """
    task = tasks.row_by_id(conn, task_id).task
    if task.held_at is None and task.state is not TaskState.DRAFT:
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"task {task_id} is {task.state} and not held", f"rmctl task show {task_id}"
        )
    set_release(conn, task, is_draft=False, actor=actor, more={"since": conn.next_seq})
    after = tasks.row_by_id(conn, task_id).task
    left = f"; {after.open_blockers} more in its way: rmctl why {task_id}" if after.open_blockers else ""
    return f"{task_id} is released{left}"


def set_release(conn: Connection, task: Task, *, is_draft: bool, actor: str, more: Mapping[str, Any] = NOTHING) -> None:
    """Take a hold away, open a draft unless it is to stay one, and say so. more: for its event."""
    was_held = controls.release(conn, task.id)
    is_opened = task.state is TaskState.DRAFT and not is_draft
    if is_opened:
        tasks.move_task(conn, task.id, TaskState.DRAFT, TaskState.OPEN)
        # Before what follows from it: an epic whose children are over is done now.
        conn.emit("task.opened", project_id=task.project_id, task_id=task.id, actor=actor, data={"reason": "released"})
        count_move(conn, task.id, TaskState.DRAFT, TaskState.OPEN, actor=actor)
    if was_held:
        unblock(conn, task.id)
    told = {"was_held": was_held, "was_draft": is_opened, **versions(conn, task), **more}
    conn.emit("task.released", project_id=task.project_id, task_id=task.id, actor=actor, data=told)


def defer_task(conn: Connection, task_id: str, until_at: float, *, actor: str) -> str:
    """Give a task out not before a time; in words until when.

    Raises:
        RingmasterError: NOT_FOUND; USAGE for a time that has passed; WRONG_STATE unless it is open or a draft.
    """
    task = tasks.row_by_id(conn, task_id).task
    if until_at <= conn.now:
        raise RingmasterError(
            ErrorKind.USAGE, f"{utc(until_at)} has passed", f"to give it out now: rmctl retry {task_id}"
        )
    set_not_before(conn, task, until_at, actor=actor, more={"since": conn.next_seq})
    return f"{task_id} is not given out before {utc(until_at)}"


def set_not_before(
    conn: Connection, task: Task, until_at: float | None, *, actor: str, more: Mapping[str, Any] = NOTHING
) -> None:
    """Set or take away the time before which a task is not given out, and say so. Raises WRONG_STATE."""
    if not controls.defer(conn, task.id, until_at):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"task {task.id} is {task.state}, and only an open one can be deferred",
            f"rmctl task show {task.id}",
        )
    told = {"before": {"not_before_at": task.not_before_at}, "until_at": until_at, **versions(conn, task), **more}
    conn.emit("task.deferred", project_id=task.project_id, task_id=task.id, actor=actor, data=told)
