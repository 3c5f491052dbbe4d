"""Which instance a database is: every adopt, kill, land and prune refuses what belongs to another."""

from __future__ import annotations

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("instance")


def ensure_instance_id(conn: Connection, new_id: str) -> str:
    """The id this database has; `new_id` becomes it when it has none."""
    conn.execute(queries.insert, (new_id,))
    return str(conn.value(queries.read))


def note_alive(conn: Connection, generation: int) -> None:
    """Write down that a generation can write. Durable when the write is; nobody reads it but who looks for it."""
    conn.execute(queries.note_alive, (f"generation {generation} at {conn.now!r}",))
