"""Counts every answered call: how long it took, and whether it went wrong."""

from __future__ import annotations

from collections.abc import Callable

from ringmaster.model.errors import ErrorKind
from ringmaster.model.histogram import BUCKETS, bucket_of
from ringmaster.protocol.measure import Measured, Row, make_row, sum_up

WAITING = frozenset(
    {
        # These answer when something has happened.
        *("task.wait", "worker.wait", "events.subscribe", "feed.subscribe", "logs.follow"),
        # These do a piece of work that has the size of a repository, a database or an agent's run.
        *("agent.test", "daemon.gc", "daemon.keep", "database.backup", "database.check"),
        *("doctor.examine", "doctor.mend", "project.add", "project.remove", "task.diff", "task.import"),
        *("reload.request", "rollout.undo"),
        # Probation itself asks these: a figure must not be made better by looking at it.
        *("daemon.health", "daemon.measures"),
    }
)
"""Methods whose duration says nothing of how well the daemon does: counted, but left out of the totals."""
MOST_METHODS = 256
OTHERS = "(others)"
"""What names are counted under when there are more than so many: a client may make names up."""
INTERNAL = str(ErrorKind.INTERNAL)


class _Count:
    __slots__ = ("buckets", "errors", "internal_errors", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.errors = 0
        self.internal_errors = 0
        self.sum_s = 0.0

    def to_row(self, name: str) -> Row:
        """As it is told."""
        return make_row(
            name,
            {bucket: count for bucket, count in enumerate(self.buckets) if count},
            sum_s=self.sum_s,
            errors=self.errors,
            internal_errors=self.internal_errors,
            is_prompt=name not in WAITING,
        )


class Meter:
    """The calls of one process, by method. Its memory has a bound; it belongs to one thread, the loop's.

    clock: unix seconds; only for saying what time a snapshot is about.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since_at = clock()
        self._counts: dict[str, _Count] = {}

    def note(self, method: str, wall_s: float, fault_kind: str) -> None:
        """Count an answered call. wall_s: from when it was taken until its answer. fault_kind: '' when it went well."""
        count = self._counts.get(method)
        if count is None:
            count = self._begin(method)
        count.buckets[bucket_of(wall_s)] += 1
        count.sum_s += wall_s
        if fault_kind:
            if fault_kind == INTERNAL:
                count.internal_errors += 1
            else:
                count.errors += 1

    def _begin(self, method: str) -> _Count:
        name = method if len(self._counts) < MOST_METHODS else OTHERS
        return self._counts.setdefault(name, _Count())

    def snapshot(self) -> Measured:
        """All that was counted so far; `subtract` two of them for what happened between."""
        rows = [count.to_row(name) for name, count in self._counts.items()]
        return sum_up(rows, since_at=self._since_at, until_at=self._clock())
