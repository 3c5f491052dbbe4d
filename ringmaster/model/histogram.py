"""Durations counted in buckets on a log scale: counting is cheap, memory is fixed, percentiles are near enough.

A bucket is an eighth of an octave: a duration read back from one is at most an eighth too long, never too short. From
a microsecond up to an hour that makes 256 buckets; what is shorter or longer goes into the first or the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

STEPS = 8
LOWEST = -20
"""Power of two, in seconds, below which nothing is told apart: about a microsecond."""
BUCKETS = 32 * STEPS

_OFFSET = -LOWEST * STEPS - STEPS
_frexp = math.frexp


def bucket_of(wall_s: float) -> int:
    """The bucket of a duration in seconds."""
    mantissa, exponent = _frexp(wall_s)
    # The mantissa is at least 1/2, so twice STEPS of it are an octave.
    index = exponent * STEPS + int(mantissa * (STEPS + STEPS)) + _OFFSET
    return 0 if index < 0 or wall_s <= 0.0 else min(index, BUCKETS - 1)


def upper_bound_s(bucket: int) -> float:
    """The duration, in seconds, that everything in a bucket is below."""
    octave, step = divmod(bucket, STEPS)
    return math.ldexp(1.0 + (step + 1) / STEPS, octave + LOWEST - 1)


def percentile_s(buckets: Mapping[int, float], share: float) -> float:
    """The duration, in seconds, that `share` of what was counted is not above; 0.0 when nothing was.

    buckets: how many fell into each; a weight need not be a whole number. share: 0.99 for the 99th percentile.
    """
    wanted = sum(buckets.values()) * share
    passed = 0.0
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        if buckets[bucket] > 0 and passed >= wanted:
            return upper_bound_s(bucket)
    return 0.0


def added(counted: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Several as one."""
    total: dict[int, float] = {}
    for buckets in counted:
        for bucket, count in buckets.items():
            total[bucket] = total.get(bucket, 0) + count
    return total
