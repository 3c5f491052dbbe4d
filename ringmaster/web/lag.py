"""How long the loop takes for a turn: whatever becomes due meanwhile waits so long."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from ringmaster.model.histogram import BUCKETS, added, bucket_of, percentile_s

WINDOW_S = 30.0


class LoopLag(trio.abc.Instrument):
    """Counts every turn of the loop, from when it wakes until it waits again, without a timer of its own.

    Registered with `trio.lowlevel.add_instrument`, it costs about a microsecond a turn. buckets, sum_s: of all turns.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._woken_at = self._window_at = clock()
        self._window: dict[int, float] = {}
        self._window_before: dict[int, float] = {}
        self.buckets = [0] * BUCKETS
        self.sum_s = 0.0

    def after_io_wait(self, timeout: float) -> None:
        """A turn begins."""
        self._woken_at = self._clock()

    def before_io_wait(self, timeout: float) -> None:
        """A turn is over."""
        now = self._clock()
        turn_s = now - self._woken_at
        bucket = bucket_of(turn_s)
        self.buckets[bucket] += 1
        self.sum_s += turn_s
        if now - self._window_at >= WINDOW_S:
            self._window_before = self._window if now - self._window_at < 2 * WINDOW_S else {}
            self._window, self._window_at = {}, now
        self._window[bucket] = self._window.get(bucket, 0) + 1

    @property
    def p99_s(self) -> float:
        """What 99 of 100 turns of the last half minute, or up to a whole one, did not take longer than."""
        return percentile_s(added((self._window_before, self._window)), 0.99)
