"""Figures over time: which spans there are, and what each comes to."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import OUTCOME_RULES, Outcome
from ringmaster.protocol.stats import MOST_POINTS, StatsPoint, StatsSeriesParams
from ringmaster.queue.lookup import resolve_project
from ringmaster.store import projects
from ringmaster.store.connection import Connection
from ringmaster.store.stats import Span, read_span

SIZES_S = {"hour": 3_600, "day": 86_400}
USUAL_POINTS = 30
ENTRIES_AT_ONCE = 10_000
"""So much is looked at in one read, some 20 ms: others wait for the same thread."""
ENTRIES_OF_A_POINT = 20
"""What the look at a point with nothing in it takes, beside the look at one entry."""
COUNTED = frozenset(str(outcome) for outcome, rule in OUTCOME_RULES.items() if rule.is_counted)


class Plan(msgspec.Struct, frozen=True):
    """What is asked for. begins: where each point begins, unix seconds; they lie `size_s` apart."""

    project_id: str
    begins: tuple[int, ...]
    size_s: int


def plan_series(conn: Connection, params: StatsSeriesParams) -> Plan:
    """Which points there are.

    Raises:
        RingmasterError: NOT_FOUND for a project that there never was; USAGE for a time that ends before it begins, or
            that has too many points.
    """
    project_id = params.project_id
    # What a removed project came to, too, is still asked for.
    if project_id and project_id not in projects.all_ids(conn):
        project_id = resolve_project(conn, project_id)
    size_s = SIZES_S[params.by]
    begins = list_begins(params.since_at, params.until_at or conn.now, size_s=size_s, offset_s=params.offset_s)
    return Plan(project_id, begins, size_s)


def list_begins(since_at: float, until_at: float, *, size_s: int, offset_s: int) -> tuple[int, ...]:
    """Where the points begin, from the one that holds `since_at` (0: the usual number) to that of `until_at`.

    Raises:
        RingmasterError: USAGE.
    """
    last = _begin_of(until_at, size_s, offset_s)
    first = _begin_of(since_at, size_s, offset_s) if since_at else last - (USUAL_POINTS - 1) * size_s
    if since_at > until_at:
        raise RingmasterError(ErrorKind.USAGE, "the time ends before it begins", "since_at must not be after until_at")
    count = (last - first) // size_s + 1
    if count > MOST_POINTS:
        raise RingmasterError(
            ErrorKind.USAGE, f"that is {count} points, and {MOST_POINTS} are the most", "ask by day, or for less time"
        )
    return tuple(range(first, last + 1, size_s))


def _begin_of(at: float, size_s: int, offset_s: int) -> int:
    return int((at + offset_s) // size_s) * size_s - offset_s


def read_points(conn: Connection, plan: Plan, done: int) -> list[StatsPoint]:
    """The next points after the first `done`: at least one, and no more than what one read should look at."""
    points: list[StatsPoint] = []
    looked_at = 0
    for begin_at in plan.begins[done:]:
        span = read_span(conn, plan.project_id, begin_at, begin_at + plan.size_s)
        points.append(make_point(span, conn.now))
        looked_at += span.looked_at + ENTRIES_OF_A_POINT
        if looked_at >= ENTRIES_AT_ONCE:
            break
    return points


def make_point(span: Span, now: float) -> StatsPoint:
    """What a span comes to."""
    attempts = {row.outcome: row.attempts for row in span.ended}
    return StatsPoint(
        begin_at=span.begin_at,
        end_at=span.end_at,
        attempts=attempts,
        landed=span.tasks.get("task.landed", 0),
        failed=span.tasks.get("task.failed", 0),
        cancelled=span.tasks.get("task.cancelled", 0),
        success_rate=success_rate(attempts),
        cost_usd=sum(row.cost_usd for row in span.ended),
        tokens_in=sum(row.tokens_in for row in span.ended),
        tokens_out=sum(row.tokens_out for row in span.ended),
        landed_after_s=middle(span.landed_after_s),
        gates=span.gates,
        gate_s=span.gate_s,
        is_open=span.end_at > now,
    )


def success_rate(attempts: dict[str, int]) -> float | None:
    """Of attempts by outcome, which share of those that tell something of the work succeeded; None without any."""
    counted = sum(count for outcome, count in attempts.items() if outcome in COUNTED)
    return attempts.get(Outcome.SUCCEEDED, 0) / counted if counted else None


def middle(values: Sequence[float]) -> float | None:
    """The median of durations; a clock that was set back makes none shorter than nothing."""
    return max(0.0, median(values)) if values else None
