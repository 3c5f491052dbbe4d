"""Rows of spreads that are worked off in pieces: so many tasks depend on one that telling all at once takes seconds."""

from __future__ import annotations

import msgspec

from ringmaster.store.connection import Connection, Value
from ringmaster.store.dependencies import Gated
from ringmaster.store.queries import load_queries

queries = load_queries("spreading")

LAST = "~"
"""Instead of a kind: an epic that is only to be looked at again. First is such a row when there are no others."""


class Spreading(msgspec.Struct, frozen=True):
    """A task whose dependents are asked anew, by kind and id; those up to here have been."""

    blocker_id: str
    kind: str
    task_id: str


def begin(conn: Connection, blocker_id: str) -> None:
    """Ask every dependent of a task anew, from the first one on."""
    conn.execute(queries.begin, (blocker_id,))


def look_last(conn: Connection, epic_id: str) -> None:
    """Look at an epic again once every other spread is over; nothing if its dependents are being asked, which does it.

    For `is_under_way` it is none.
    """
    conn.execute(queries.look_last, (epic_id,))


def first(conn: Connection) -> Spreading | None:
    """One that is under way; None when all are over."""
    row = conn.row(queries.first)
    return None if row is None else Spreading(*row)


def advance(conn: Connection, blocker_id: str, kind: str, task_id: str) -> None:
    """Note how far it came."""
    conn.execute(queries.advance, {"blocker_id": blocker_id, "kind": kind, "task_id": task_id})


def end(conn: Connection, blocker_id: str) -> None:
    """All have been asked."""
    conn.execute(queries.end, (blocker_id,))


def is_under_way(conn: Connection, blocker_id: str) -> bool:
    """Whether some of a task's dependents have still to be asked."""
    return conn.value(queries.is_under_way, (blocker_id,)) is not None


def page_of(conn: Connection, blocker_id: str, kind: str, after: str, limit: int) -> list[Gated]:
    """The next dependencies of one kind on a task, by the id of who has them."""
    values: dict[str, Value] = {"blocker_id": blocker_id, "kind": kind, "after": after, "limit": limit}
    return [Gated(row[0], row[1], row[2], bool(row[3])) for row in conn.rows(queries.page, values)]


def is_any_to_tell(conn: Connection, blocker_id: str, **is_open: bool) -> bool:
    """Whether any dependency on a task, children aside, differs from what it should be: `blocks`, `conditional`, and
    `all` and `any` of `waits-for`; or any that has not begun is to end (`is_unneeded`)."""
    values: dict[str, Value] = {"id": blocker_id, **{name: int(value) for name, value in is_open.items()}}
    return conn.value(queries.is_any_to_tell, values) is not None
