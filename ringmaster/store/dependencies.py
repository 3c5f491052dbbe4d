"""Rows of dependencies between tasks."""

from __future__ import annotations

import msgspec

from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries

queries = load_queries("dependencies")


class Blocker(msgspec.Struct, frozen=True):
    """A task that another depends on. is_open: it is counted in the other's `open_blockers`."""

    id: str
    state: str
    title: str
    is_open: bool
    kind: str
    mode: str
    created_at: float


class Gated(msgspec.Struct, frozen=True):
    """A dependency of a kind that decides readiness, seen from the task it is on."""

    task_id: str
    kind: str
    mode: str
    is_open: bool


class Gate(msgspec.Struct, frozen=True):
    """The same, seen from the task that has it."""

    blocker_id: str
    kind: str
    mode: str


def insert_dependency(
    conn: Connection, task_id: str, blocker_id: str, *, kind: str, mode: str = "", is_open: bool
) -> bool:
    """Store a dependency; False when one of this kind was there."""
    return conn.execute(queries.insert, (task_id, blocker_id, kind, mode, int(is_open), conn.now)) > 0


def delete_dependency(conn: Connection, task_id: str, blocker_id: str, kind: str) -> bool | None:
    """Remove a dependency: whether it was open, or None when there was none of this kind."""
    row = conn.row(queries.delete, (task_id, blocker_id, kind))
    return None if row is None else bool(row[0])


def kinds_between(conn: Connection, task_id: str, blocker_id: str) -> list[tuple[str, str]]:
    """(kind, mode) of what one task has on another."""
    return [(row[0], row[1]) for row in conn.rows(queries.kinds_between, (task_id, blocker_id))]


def blockers_of(conn: Connection, task_id: str) -> list[Blocker]:
    """Every task that a task depends on, in any way."""
    rows = conn.rows(queries.blockers_of, (task_id,))
    return [Blocker(r[0], r[1], r[2], bool(r[3]), r[4], r[5], r[6]) for r in rows]


def first_open(conn: Connection, task_id: str) -> Blocker | None:
    """The task that a task waits for first."""
    r = conn.row(queries.first_open, (task_id,))
    return None if r is None else Blocker(r[0], r[1], r[2], bool(r[3]), r[4], r[5], r[6])


def has_open(conn: Connection, task_id: str) -> bool:
    """Whether a task waits for another."""
    return conn.value(queries.has_open, (task_id,)) is not None


def are_children_held(conn: Connection, task_id: str) -> bool:
    """Whether a parent is in its children's way. They are all asked together, so any one tells."""
    return bool(conn.value(queries.are_children_held, (task_id,)))


def gated_by(conn: Connection, task_id: str, limit: int = -1) -> list[Gated]:
    """Whose readiness a task decides, its children aside; -1: all of them."""
    return [Gated(row[0], row[1], row[2], bool(row[3])) for row in conn.rows(queries.gated_by, (task_id, limit))]


def gates_of(conn: Connection, task_id: str) -> list[Gate]:
    """What decides a task's readiness."""
    return [Gate(*row) for row in conn.rows(queries.gates_of, (task_id,))]


def waiting_for(conn: Connection, task_id: str) -> list[str]:
    """The ids of the tasks that this one is in the way of now."""
    return [row[0] for row in conn.rows(queries.waiting_for, (task_id,))]


def waiting_on(conn: Connection, task_id: str) -> list[Gated]:
    """The tasks that this one is in the way of now, its children among them, and how."""
    return [Gated(row[0], row[1], row[2], True) for row in conn.rows(queries.waiting_on, (task_id,))]


def dependents_of(conn: Connection, task_id: str) -> list[str]:
    """The ids of the tasks that wait or waited for this one, its children aside."""
    return [row[0] for row in conn.rows(queries.dependents_of, (task_id,))]


def children_of(conn: Connection, task_id: str) -> list[str]:
    """The ids of the tasks that have this one as their parent."""
    return [row[0] for row in conn.rows(queries.children_of, (task_id,))]


def parent_of(conn: Connection, task_id: str) -> str | None:
    """The id of a task's parent, if it has one."""
    found: str | None = conn.value(queries.parent_of, (task_id,))
    return found


def set_open(conn: Connection, task_id: str, blocker_id: str, kind: str, *, is_open: bool) -> bool:
    """Open or close a dependency; False when it was so. The caller counts it in `open_blockers`."""
    values: dict[str, Value] = {"task_id": task_id, "blocker_id": blocker_id, "kind": kind, "is_open": int(is_open)}
    return conn.execute(queries.set_open, values) > 0
