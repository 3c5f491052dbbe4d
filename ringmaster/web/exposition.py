"""Metrics as Prometheus reads them. Imported at the first scrape, on a thread: its library takes 150 ms to load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.process_collector import ProcessCollector

from ringmaster.model.histogram import upper_bound_s
from ringmaster.web.families import Durations, Family


class _Families:
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """As its registry asks for them."""
        yield from map(_metric_of, self._families)


def encode_metrics(families: Sequence[Family]) -> bytes:
    """The text of these, and of this process's memory, descriptors and time. Blocking, some milliseconds."""
    # A registry of this scrape alone: nothing is registered globally, so nothing else gets in.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _metric_of(family: Family) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for values, durations in family.durations.items():
            histogram.add_metric(values, _cumulated(durations, family.bounds_s), durations.sum_s)
        return histogram
    if family.kind == "summary":
        summary = SummaryMetricFamily(family.name, family.help, labels=family.labels)
        for values, (count, sum_s) in family.sums.items():
            summary.add_metric(values, count, sum_s)
        return summary
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for values, value in family.values.items():
        metric.add_metric(values, value)
    return metric


def _cumulated(durations: Durations, bounds_s: Sequence[float]) -> list[tuple[str, float]]:
    """Bounds are powers of two, so each is the end of a bucket."""
    counts = []
    passed = 0
    bucket = 0
    for bound_s in bounds_s:
        while bucket < len(durations.buckets) and upper_bound_s(bucket) <= bound_s:
            passed += durations.buckets[bucket]
            bucket += 1
        counts.append((repr(bound_s), float(passed)))
    return [*counts, ("+Inf", float(sum(durations.buckets)))]
