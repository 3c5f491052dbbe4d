"""The leases in the rows of pulled attempts: who comes first is decided here, by what each write must find."""

from __future__ import annotations

from typing import Any

from ringmaster.model.attempt import Attempt
from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import encode_json

queries = load_queries("leases")


def _write(conn: Connection, query: str, attempt: Attempt, **values: Value) -> bool:
    return conn.execute(queries[query], {"id": attempt.id, "token": attempt.token, **values}) > 0


def make_pulled(conn: Connection, attempt: Attempt, lease_s: float) -> bool:
    """Mark a new attempt as pulled; its lease does not run yet."""
    return _write(conn, "make_pulled", attempt, lease_s=lease_s)


def begin_lease(conn: Connection, attempt: Attempt) -> bool:
    """The workspace is ready, the whole lease is left; False when it was begun before."""
    return _write(conn, "begin", attempt)


def renew_lease(conn: Connection, attempt: Attempt) -> bool:
    """The whole lease is left again; False when it does not run (any more)."""
    return _write(conn, "renew", attempt)


def note_left(conn: Connection, attempt: Attempt, left_s: float) -> bool:
    """Note what is left, more than 0, for the next daemon; False when it does not run (any more)."""
    return _write(conn, "note_left", attempt, left_s=left_s)


def expire_lease(conn: Connection, attempt: Attempt) -> bool:
    """Let a lease run out; False when it does not run (any more), because a report was first."""
    return _write(conn, "expire", attempt)


def hand_in(conn: Connection, attempt: Attempt, report: dict[str, Any]) -> bool:
    """End the lease with a report; False when it does not run (any more)."""
    return _write(conn, "hand_in", attempt, report=encode_json(report))


def free_hand_seat(conn: Connection, agent: str) -> str:
    """A free seat without bounds that tasks are pulled for, '' when there is none."""
    return str(conn.value(queries.free_hand_seat, {"agent": agent}, ""))
