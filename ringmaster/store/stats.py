"""Figures of a span of time: how attempts ended, what became of tasks, what gates took."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries

queries = load_queries("stats")
MOST_TIMED = 2_000
"""So many landings of a span, the newest, are timed: each is a look-up of its task."""


class Ended(msgspec.Struct, frozen=True):
    """Attempts that ended with one outcome, and what they came to."""

    outcome: str
    attempts: int
    cost_usd: float
    tokens_in: int
    tokens_out: int


class Span(msgspec.Struct, frozen=True):
    """What the rows say of a span of time, from `begin_at` to before `end_at` (unix seconds).

    ended: by outcome. tasks: ends by the type of their event. landed_after_s: seconds from arrival to landing of the
    newest landings, in no order. gates, gate_s: gate runs that ended, and their seconds in all.
    """

    begin_at: float
    end_at: float
    ended: tuple[Ended, ...]
    tasks: dict[str, int]
    landed_after_s: tuple[float, ...]
    gates: int
    gate_s: float

    @property
    def looked_at(self) -> int:
        """About how many entries were read for it."""
        ends = sum(row.attempts for row in self.ended) + sum(self.tasks.values())
        return ends + len(self.landed_after_s) + self.gates


def read_span(conn: Connection, project_id: str, begin_at: float, end_at: float) -> Span:
    """The figures of one span; project_id '' for all of them."""
    values: dict[str, Value] = {"project_id": project_id, "begin_at": begin_at, "end_at": end_at}
    tasks: dict[str, int] = dict(conn.rows(queries.tasks, values))
    timed = {**values, "limit": MOST_TIMED}
    landed = conn.rows(queries.landed_after, timed) if tasks.get("task.landed") else []
    gates, gate_s = conn.rows(queries.gates, values)[0]
    return Span(
        begin_at=begin_at,
        end_at=end_at,
        ended=tuple(Ended(*row) for row in conn.rows(queries.attempts, values)),
        tasks=tasks,
        landed_after_s=tuple(float(after_s) for (after_s,) in landed),
        gates=gates,
        gate_s=gate_s,
    )


class EndedAttempt(msgspec.Struct, frozen=True):
    """What one attempt came to."""

    agent: str
    model: str
    outcome: str
    cost_usd: float
    tokens_in: int
    tokens_out: int


def ended_attempts(conn: Connection, ids: Sequence[str]) -> list[EndedAttempt]:
    """What attempts that ended came to, by their ids."""
    return [EndedAttempt(*row) for id in ids for row in conn.rows(queries.ended_attempt, (id,))]


def settled_after_s(conn: Connection, generation: int) -> float | None:
    """How long a generation took from when it was made until it was settled; None where it was not tried.

    None also for the first, which nothing was reloaded for.
    """
    row = conn.row(queries.settled_generation, (generation,))
    if row is None or row[1] is None or row[2] is None:
        return None
    return max(0.0, float(row[2]) - float(row[0]))


def reload_ends(conn: Connection) -> dict[str, int]:
    """How often a reload ended in each way since the database was made, by the type of the event."""
    return dict(conn.rows(queries.reloads))


def worker_agents(conn: Connection) -> list[str]:
    """The agents that workers have."""
    return [agent for (agent,) in conn.rows(queries.agents)]


def live_attempts(conn: Connection) -> dict[tuple[str, str], int]:
    """How many attempts live, by agent and state."""
    return {(agent, state): count for agent, state, count in conn.rows(queries.live)}
