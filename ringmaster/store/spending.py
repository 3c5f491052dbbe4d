"""Rows of what was spent on each day, and of what the metered attempts that run may still spend."""

from __future__ import annotations

import msgspec

from ringmaster.model.budget import DAY_S, Spent, utc_day
from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries

queries = load_queries("spending")


class Reserved(msgspec.Struct, frozen=True):
    """A metered attempt that holds a seat. limit_usd: None without a limit. told_usd: None while it has told nothing.

    is_begun: its agent was about to be started; before that it can have cost nothing.
    """

    attempt_id: str
    project_id: str
    limit_usd: float | None
    told_usd: float | None
    is_begun: bool


def count_attempt(conn: Connection, project_id: str, day: str) -> None:
    """One attempt more of a day."""
    if not conn.execute(queries.count_attempt, (project_id, day)):
        conn.execute(queries.first_attempt, (project_id, day))


def add_dollars(conn: Connection, project_id: str, usd: float, *, has_unknown: bool) -> None:
    """So much more was spent today, and perhaps more than that."""
    values: dict[str, Value] = {
        "project_id": project_id,
        "day": today(conn),
        "usd": usd,
        "has_unknown": int(has_unknown),
    }
    conn.execute(queries.add, values)


def today(conn: Connection) -> str:
    """The day that is spent from: today by UTC, or a later one that was begun before the clock went back."""
    return max(utc_day(conn.now), last_day(conn))


def last_day(conn: Connection) -> str:
    """The latest day of which something is counted, and which is no more than a day ahead; '' before the first."""
    return conn.value(queries.last_day, (utc_day(conn.now + DAY_S),)) or ""


class RunningAttempt(msgspec.Struct, frozen=True):
    """An attempt that holds a seat."""

    id: str
    project_id: str
    agent: str
    session_id: str


class EndedAttempt(msgspec.Struct, frozen=True):
    """What an attempt came to. tokens: in and out."""

    id: str
    project_id: str
    agent: str
    cost_usd: float
    tokens: int
    session_id: str
    outcome: str


def running_attempts(conn: Connection) -> list[RunningAttempt]:
    """Every attempt that holds a seat."""
    return [RunningAttempt(*row) for row in conn.rows(queries.running)]


def ended_since(conn: Connection, at: float) -> list[EndedAttempt]:
    """The attempts that ended since a time."""
    return [EndedAttempt(*row) for row in conn.rows(queries.ended_since, (at,))]


def attempts_since(conn: Connection, at: float) -> list[tuple[str, int]]:
    """How many attempts of each project began since a time."""
    return [(row[0], row[1]) for row in conn.rows(queries.attempts_since, (at,))]


def spent_on(conn: Connection, day: str) -> dict[str, Spent]:
    """What each project spent on a day."""
    return {row[0]: Spent(row[1], row[2], bool(row[3])) for row in conn.rows(queries.of_day, (day,))}


def recount_day(conn: Connection, project_id: str, day: str, spent: Spent) -> None:
    """Take over what rows of attempts say where it is more than what was counted."""
    values: dict[str, Value] = {
        "project_id": project_id,
        "day": day,
        "attempts": spent.attempts,
        "usd": spent.usd,
        "has_unknown": int(spent.has_unknown),
    }
    conn.execute(queries.recount, values)


def reserve(conn: Connection, attempt_id: str, project_id: str, limit_usd: float | None) -> None:
    """Keep so much aside for an attempt; nothing for one that has it."""
    conn.execute(queries.reserve, (attempt_id, project_id, limit_usd))


def all_reserved(conn: Connection) -> list[Reserved]:
    """Every metered attempt that holds a seat: a handful."""
    return [_reserved(row) for row in conn.rows(queries.reserved)]


def begin(conn: Connection, attempt_id: str) -> None:
    """The attempt's agent is about to start: from here it may cost something."""
    conn.execute(queries.begin, (attempt_id,))


def limit_of(conn: Connection, attempt_id: str) -> float | None:
    """What an attempt may spend by what is held for it; None without a limit."""
    found: float | None = conn.value(queries.limit_of, (attempt_id,))
    return found


def tell(conn: Connection, attempt_id: str, usd: float) -> None:
    """Note what an attempt says it has spent. Nothing for one that is not metered."""
    conn.execute(queries.tell, (usd, attempt_id))


def look_at_leaving(conn: Connection, attempt_id: str, agent: str) -> tuple[bool, bool]:
    """Whether something is held for the attempt, and whether starts of this agent have failed."""
    row = conn.rows(queries.leaving, (attempt_id, agent))[0]
    return bool(row[0]), bool(row[1])


def release(conn: Connection, attempt_id: str) -> Reserved | None:
    """Keep nothing aside for it any more; what was, None when nothing was."""
    row = conn.row(queries.release, (attempt_id,))
    return None if row is None else _reserved(row)


def spent_on_task(conn: Connection, task_id: str) -> float:
    """Dollars of all attempts of a task."""
    return float(conn.value(queries.spent_on_task, (task_id,)))


def _reserved(row: tuple[str, str, float | None, float | None, int]) -> Reserved:
    return Reserved(row[0], row[1], row[2], row[3], bool(row[4]))
