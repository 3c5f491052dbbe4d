"""How far each part of the daemon that follows the events has come: what it has done is not done again."""

from __future__ import annotations

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("cursors")


def read_cursor(conn: Connection, name: str) -> int | None:
    """The seq of the last event that was dealt with; None when nothing follows under this name."""
    found: int | None = conn.value(queries.read, (name,))
    return found


def write_cursor(conn: Connection, name: str, seq: int) -> None:
    """Everything up to this event has been dealt with."""
    conn.execute(queries.write, {"name": name, "seq": seq})


def drop_cursor(conn: Connection, name: str) -> None:
    """Nothing follows under this name any more."""
    conn.execute(queries.drop, (name,))
