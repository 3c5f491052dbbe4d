"""Families of metrics as plain values, and what they are counted in: bounded, whatever names come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ringmaster.model.histogram import BUCKETS, bucket_of

MOST_NAMES = 100
OTHER = "other"
FAST_S = tuple(2.0**power for power in range(-13, 4))
"""From an eighth of a millisecond to 8 s."""
SLOW_S = tuple(2.0**power for power in range(-1, 14))
"""From half a second to over two hours."""

Labels = tuple[str, ...]


class Durations:
    """How often something took how long, as `ringmaster.model.histogram` counts."""

    def __init__(self, buckets: Sequence[int] = (), sum_s: float = 0.0) -> None:
        self.buckets = list(buckets) or [0] * BUCKETS
        self.sum_s = sum_s

    def note(self, wall_s: float) -> None:
        """Count one."""
        self.buckets[bucket_of(wall_s)] += 1
        self.sum_s += wall_s


class Names:
    """The names that a label may have: the first so many that come, and one for all the rest."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """The name, or `other`."""
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric with its labels. values: of counters and gauges; sums: count and seconds of summaries.

    name: without the `_total` of a counter. bounds_s: of histograms, powers of two.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    labels: Labels = ()
    values: Mapping[Labels, float] = {}
    sums: Mapping[Labels, tuple[int, float]] = {}
    durations: Mapping[Labels, Durations] = {}
    bounds_s: tuple[float, ...] = ()


def counter(name: str, help: str, labels: Labels, values: Mapping[Labels, float]) -> Family:
    """What only grows until the next image."""
    return Family(name=f"ringmaster_{name}", help=help, kind="counter", labels=labels, values=values)


def gauge(name: str, help: str, labels: Labels, values: Mapping[Labels, float]) -> Family:
    """What is so now."""
    return Family(name=f"ringmaster_{name}", help=help, kind="gauge", labels=labels, values=values)


def histogram(
    name: str, help: str, labels: Labels, durations: Mapping[Labels, Durations], bounds_s: tuple[float, ...]
) -> Family:
    """How long something took."""
    return Family(
        name=f"ringmaster_{name}",
        help=help,
        kind="histogram",
        labels=labels,
        durations=durations,
        bounds_s=bounds_s,
    )


def summary(name: str, help: str, labels: Labels, sums: Mapping[Labels, tuple[int, float]]) -> Family:
    """How often something was done, and the seconds of it in all."""
    return Family(name=f"ringmaster_{name}", help=help, kind="summary", labels=labels, sums=sums)
