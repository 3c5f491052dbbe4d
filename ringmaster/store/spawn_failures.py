"""Rows of agent kinds that could not be started, and of those that are paused for it."""

from __future__ import annotations

import msgspec

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("spawn_failures")


class PausedAgent(msgspec.Struct, frozen=True):
    """An agent kind of which nothing is started, since when and why."""

    agent: str
    reason: str
    paused_at: float


def count_failure(conn: Connection, agent: str) -> int:
    """Count a start that failed; how many it are in a row."""
    return int(conn.value(queries.count, (agent,)))


def forget_failures(conn: Connection, agent: str) -> None:
    """One has started: what failed before is no row any more."""
    conn.execute(queries.forget, (agent,))


def pause_agent(conn: Connection, agent: str, *, reason: str, actor: str = "") -> bool:
    """Start nothing of this kind; False when it was so."""
    return conn.execute(queries.pause, {"agent": agent, "reason": reason, "actor": actor, "now": conn.now}) > 0


def resume_agent(conn: Connection, agent: str) -> bool:
    """Start it again; False when it was not paused."""
    return conn.execute(queries.resume, (agent,)) > 0


def is_paused(conn: Connection, agent: str) -> bool:
    """Whether nothing of this kind is started."""
    return conn.value(queries.is_paused, (agent,)) is not None


def paused_agents(conn: Connection) -> dict[str, PausedAgent]:
    """All that are paused, by name."""
    return {row[0]: PausedAgent(*row) for row in conn.rows(queries.paused)}
