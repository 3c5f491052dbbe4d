"""How long statements take: of one batch of writes and one read in so many, so that it costs the others nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import apsw

from ringmaster.model.histogram import BUCKETS, bucket_of
from ringmaster.protocol.measure import Row, make_row
from ringmaster.store.connection import Connection, Params
from ringmaster.store.connection import Row as Values
from ringmaster.store.queries import find_sql_dir, parse_queries

EVERY = 17
"""Timing every statement would add 32 µs to the 240 µs of a claim with its report; one in seventeen is below 1 %.

A prime: where claims and reports come by turns, both are hit.
"""
MOST_STATEMENTS = 1024
TEXT_SHOWN = 60


class _Count:
    __slots__ = ("buckets", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.sum_s = 0.0


class BatchTimes:
    """Every batch of writes: how many calls were in it, and how long it took. The writer's thread alone counts.

    Read from another thread a figure may be one batch ahead of another.
    """

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.sum_s = 0.0
        self.calls = 0

    def note(self, calls: int, wall_s: float) -> None:
        """Count one batch."""
        self.buckets[bucket_of(wall_s)] += 1
        self.sum_s += wall_s
        self.calls += calls


class StatementTimes:
    """Counts by the text of the statement. Both threads of a store write to it, any may read. batches: of the writer.

    Nothing is locked: two threads that count the same statement at once may lose one of the two.
    """

    def __init__(self, every: int = EVERY) -> None:
        self.batches = BatchTimes()
        self._every = every
        self._left = 0
        self._counts: dict[str, _Count] = {}

    @property
    def share(self) -> float:
        """Which share of all work is timed."""
        return 1.0 / self._every

    def connect(self, db: apsw.Connection, now: float) -> Connection:
        """What store functions are given for one batch or one read."""
        if self._left:
            self._left -= 1
            return Connection(db, now)
        self._left = self._every - 1
        return TimedConnection(db, now, self)

    def note(self, sql: str, wall_s: float) -> None:
        """Count one run of a statement."""
        count = self._counts.get(sql)
        if count is None:
            if len(self._counts) >= MOST_STATEMENTS:
                return
            count = self._counts.setdefault(sql, _Count())
        count.buckets[bucket_of(wall_s)] += 1
        count.sum_s += wall_s

    def rows(self) -> tuple[Row, ...]:
        """What was counted, by the names that statements have in their files; the dearest in all first.

        Blocking: reads those files.
        """
        names = named_statements(find_sql_dir())
        # Copies, each made in one step: the threads go on counting.
        counted = [(sql, list(count.buckets), count.sum_s) for sql, count in list(self._counts.items())]
        rows = [
            make_row(
                names.get(sql) or " ".join(sql.split())[:TEXT_SHOWN],
                {bucket: number for bucket, number in enumerate(buckets) if number},
                sum_s=sum_s,
                errors=0,
                internal_errors=0,
                is_prompt=True,
            )
            for sql, buckets, sum_s in counted
        ]
        return tuple(sorted(rows, key=lambda row: (-row.sum_s, row.name)))


class TimedConnection(Connection):
    """A connection that says how long each of its statements took."""

    __slots__ = ("_times",)

    def __init__(self, db: apsw.Connection, now: float, times: StatementTimes) -> None:
        super().__init__(db, now)
        self._times = times

    def rows(self, sql: str, params: Params = ()) -> list[Values]:
        """See `Connection.rows`, which `row` and `value` go through too."""
        begun = time.perf_counter()
        try:
            return super().rows(sql, params)
        finally:
            self._times.note(sql, time.perf_counter() - begun)

    def execute(self, sql: str, params: Params = ()) -> int:
        """See `Connection.execute`."""
        begun = time.perf_counter()
        try:
            return super().execute(sql, params)
        finally:
            self._times.note(sql, time.perf_counter() - begun)

    def executemany(self, sql: str, params: Iterable[Params]) -> None:
        """See `Connection.executemany`; counted as one run."""
        begun = time.perf_counter()
        try:
            super().executemany(sql, params)
        finally:
            self._times.note(sql, time.perf_counter() - begun)


def named_statements(sql_dir: Path) -> dict[str, str]:
    """The name, as `tasks.claim`, of every statement by its text. Blocking."""
    return {
        statement: f"{path.stem}.{name}"
        for path in sorted((sql_dir / "queries").glob("*.sql"))
        for name, statement in parse_queries(path.read_text(encoding="utf-8"), str(path)).items()
    }
