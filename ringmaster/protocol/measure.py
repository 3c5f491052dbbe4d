"""What a daemon measures of itself: how long its answers take and how many go wrong, by method and by statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ringmaster.model.histogram import percentile_s


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one method, or runs of one statement, since the process began.

    errors: refusals, which are answers; internal_errors: failures that nobody expected. sum_s: wall-clock seconds in
    all. buckets: how many took how long (`ringmaster.model.histogram`). is_prompt: it is meant to answer at once;
    what waits for something, or looks through everything, counts neither into totals nor as slow.
    """

    name: str
    calls: int
    errors: int
    internal_errors: int
    sum_s: float
    p50_s: float
    p99_s: float
    is_prompt: bool = True
    buckets: dict[int, int] = {}


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one generation measured. calls, internal_errors: of all methods; p50_s, p99_s: of prompt ones alone.

    since_at, until_at: the time it is about. own_call_s, write_s: medians of the calls to itself and of the durable
    writes that probation made; 0.0 where none was made.
    """

    calls: int = 0
    internal_errors: int = 0
    p50_s: float = 0.0
    p99_s: float = 0.0
    methods: tuple[Row, ...] = ()
    since_at: float = 0.0
    until_at: float = 0.0
    own_call_s: float = 0.0
    write_s: float = 0.0


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """rpc: calls by method. statements: named queries, as `tasks.claim`, the slowest in all first.

    timed_share: of the work on the database, the share of which statements were timed.
    """

    rpc: Measured
    statements: tuple[Row, ...] = ()
    timed_share: float = 0.0


def make_row(
    name: str, buckets: Mapping[int, int], *, sum_s: float, errors: int, internal_errors: int, is_prompt: bool
) -> Row:
    """A row with its figures, from what was counted."""
    counted = {bucket: count for bucket, count in buckets.items() if count > 0}
    return Row(
        name=name,
        calls=sum(counted.values()),
        errors=errors,
        internal_errors=internal_errors,
        sum_s=round(sum_s, 6),
        p50_s=percentile_s(counted, 0.5),
        p99_s=percentile_s(counted, 0.99),
        is_prompt=is_prompt,
        buckets=counted,
    )


def sum_up(rows: Iterable[Row], *, since_at: float = 0.0, until_at: float = 0.0) -> Measured:
    """Rows with their totals, the rows in order of their names."""
    methods = tuple(sorted((row for row in rows if row.calls), key=lambda row: row.name))
    prompt: dict[int, int] = {}
    for row in methods:
        for bucket, count in row.buckets.items() if row.is_prompt else ():
            prompt[bucket] = prompt.get(bucket, 0) + count
    return Measured(
        calls=sum(row.calls for row in methods),
        internal_errors=sum(row.internal_errors for row in methods),
        p50_s=percentile_s(prompt, 0.5),
        p99_s=percentile_s(prompt, 0.99),
        methods=methods,
        since_at=since_at,
        until_at=until_at,
    )


def subtract(later: Measured, earlier: Measured) -> Measured:
    """What happened between two looks at the same meter."""
    before = {row.name: row for row in earlier.methods}
    rows = [_combined(row, before.get(row.name), -1) for row in later.methods]
    return sum_up(rows, since_at=earlier.until_at, until_at=later.until_at)


def merge(one: Measured, other: Measured) -> Measured:
    """What two meters, or two windows of one, measured together."""
    others = {row.name: row for row in other.methods}
    known = {row.name for row in one.methods}
    rows = [_combined(row, others.get(row.name), 1) for row in one.methods]
    rows += [row for row in other.methods if row.name not in known]
    begins = [measured.since_at for measured in (one, other) if measured.calls]
    return sum_up(rows, since_at=min(begins, default=0.0), until_at=max(one.until_at, other.until_at))


def _combined(row: Row, other: Row | None, sign: int) -> Row:
    if other is None:
        return row
    buckets = dict(row.buckets)
    for bucket, count in other.buckets.items():
        buckets[bucket] = buckets.get(bucket, 0) + sign * count
    return make_row(
        row.name,
        buckets,
        sum_s=max(0.0, row.sum_s + sign * other.sum_s),
        errors=row.errors + sign * other.errors,
        internal_errors=row.internal_errors + sign * other.internal_errors,
        is_prompt=row.is_prompt,
    )
