"""Rows that older code wrote, and what is counted of them anew."""

from __future__ import annotations

import msgspec

from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries

queries = load_queries("recounts")


class Left(msgspec.Struct, frozen=True):
    """An event of older code. task_id: '' for one about no task."""

    seq: int
    type: str
    task_id: str


class RankedBy(msgspec.Struct, frozen=True):
    """What a task's rank is made of without the graph; rank is 0 where older code stored the task."""

    rank: int
    priority: int
    arrived_at: float
    deadline_at: float | None


def left_by_older_code(conn: Connection, limit: int) -> list[Left]:
    """The next events of older code that were not followed up."""
    return [Left(*row) for row in conn.rows(queries.left, (conn.value(queries.recounted), limit))]


def advance(conn: Connection, seq: int) -> None:
    """All up to this event has been followed up."""
    conn.execute(queries.advance, (seq,))


def recount_children(conn: Connection, task_id: str) -> None:
    """Count a task's children by their rows."""
    children, open_children, done_children = conn.rows(queries.children, (task_id,))[0]
    values: dict[str, Value] = {
        "id": task_id,
        "children": children,
        "open_children": open_children,
        "done_children": done_children,
    }
    conn.execute(queries.set_children, values)


def recount_blockers(conn: Connection, task_id: str) -> None:
    """Count what is in a task's way by its rows."""
    conn.execute(queries.set_blockers, {"id": task_id, "open_blockers": conn.value(queries.blockers, (task_id,))})


def ranked_by(conn: Connection, task_id: str) -> RankedBy:
    """What the rank of a task that is there is made of."""
    return RankedBy(*conn.rows(queries.ranked_by, (task_id,))[0])


def set_rank(conn: Connection, task_id: str, rank: int) -> None:
    """Put a task at its place in the order of work."""
    conn.execute(queries.set_rank, {"id": task_id, "rank": rank})
