"""What others look at in a task: what is in its way, and its children."""

from __future__ import annotations

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import TaskState
from ringmaster.store.connection import Connection, Value
from ringmaster.store.rows import decoder
from ringmaster.store.tasks import queries


class Standing(msgspec.Struct, frozen=True):
    """What others look at in a task to know whether it is in their way."""

    id: str
    project_id: str
    state: TaskState
    type: str
    open_blockers: int
    children: int
    open_children: int
    done_children: int
    held_at: float | None


decode_standing = decoder(Standing)


class Ties(msgspec.Struct, frozen=True):
    """What may follow when a task moves. parent_id: None without a parent.

    has_dependents: others wait or waited for it, or are its children. has_blockers: something is counted in its way, as
    each open question about it is.
    """

    parent_id: str | None
    has_dependents: bool
    has_blockers: bool


def shift_blockers(conn: Connection, task_id: str, by: int) -> None:
    """Count one thing more (1) or less (-1) in the task's way. What hangs on that is the caller's to ask anew."""
    conn.execute(queries.shift_blockers, {"id": task_id, "by": by, "now": conn.now})


def has_children(conn: Connection, task_id: str) -> bool:
    """Whether other tasks have this one as their parent."""
    return conn.value(queries.has_children, (task_id,)) is not None


def ties_of(conn: Connection, task_id: str) -> Ties:
    """What may follow when a task moves; nothing for one that is not there."""
    row = conn.row(queries.ties, (task_id,))
    return Ties(None, False, False) if row is None else Ties(row[0], bool(row[1]), bool(row[2]))


def count_children(conn: Connection, task_id: str, *, children: int, open_children: int, done_children: int) -> None:
    """Change the counters of a parent by these amounts."""
    values: dict[str, Value] = {
        "id": task_id,
        "children": children,
        "open_children": open_children,
        "done_children": done_children,
    }
    conn.execute(queries.count_children, values)


def take_child_number(conn: Connection, task_id: str) -> int:
    """The next number for a child's id; it is never given again."""
    conn.execute(queries.take_child_number, (task_id,))
    return int(conn.value(queries.last_child, (task_id,)))


def standing_of(conn: Connection, task_id: str) -> Standing:
    """What others look at in a task.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.standing, (task_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no task {task_id}", "rmctl task list --all")
    return decode_standing(row)
