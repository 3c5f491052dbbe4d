"""The row that says that the queue as a whole is paused."""

from __future__ import annotations

import msgspec

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("pauses")


class Pause(msgspec.Struct, frozen=True):
    """Why nothing is given out, by whom and since when."""

    reason: str
    actor: str
    paused_at: float


def pause_queue(conn: Connection, *, reason: str, actor: str) -> bool:
    """Give out nothing; False when it was so, and then the first reason stays."""
    return conn.execute(queries.pause_queue, {"reason": reason, "actor": actor, "now": conn.now}) > 0


def resume_queue(conn: Connection) -> bool:
    """Give out again; False when it was not paused."""
    return conn.execute(queries.resume_queue) > 0


def queue_pause(conn: Connection) -> Pause | None:
    """The pause, while there is one: one look-up."""
    row = conn.row(queries.queue_pause)
    return None if row is None else Pause(*row)
