"""The meter: what it counts, what it leaves out, and that it never grows."""

from __future__ import annotations

import itertools
import sys

import msgspec
import pytest

from ringmaster.model.histogram import BUCKETS, bucket_of, percentile_s, upper_bound_s
from ringmaster.protocol.measure import Measured, merge, subtract
from ringmaster.reload.meter import MOST_METHODS, OTHERS, WAITING, Meter
from ringmaster.rpc.methods import METHODS


def make_meter() -> Meter:
    ticks = itertools.count(1000.0)
    return Meter(lambda: next(ticks))


@pytest.mark.parametrize("wall_s", [1.1e-6, 3e-5, 0.00099, 0.5, 0.9999, 1.0, 1.124, 59.0, 1800.0])
def test_a_duration_read_back_is_at_most_an_eighth_too_long_and_never_too_short(wall_s):
    assert wall_s < upper_bound_s(bucket_of(wall_s)) <= wall_s * 1.126


@pytest.mark.parametrize(("wall_s", "bucket"), [(-1.0, 0), (0.0, 0), (1e-12, 0), (1e9, BUCKETS - 1)])
def test_what_no_bucket_is_made_for_goes_into_the_first_or_the_last(wall_s, bucket):
    assert bucket_of(wall_s) == bucket


def test_percentiles_are_of_what_was_counted():
    buckets = {bucket_of(0.001): 98, bucket_of(0.1): 2}
    assert percentile_s(buckets, 0.5) == pytest.approx(0.001, rel=0.13)
    assert percentile_s(buckets, 0.99) == pytest.approx(0.1, rel=0.13)
    assert percentile_s({}, 0.99) == 0.0


def test_calls_are_counted_by_method_with_refusals_apart_from_failures():
    meter = make_meter()
    for _ in range(99):
        meter.note("task.list", 0.001, "")
    meter.note("task.list", 0.2, "not_found")
    meter.note("task.add", 0.004, "internal")
    measured = meter.snapshot()
    listed = next(row for row in measured.methods if row.name == "task.list")
    assert (listed.calls, listed.errors, listed.internal_errors) == (100, 1, 0)
    assert listed.sum_s == pytest.approx(0.299)
    assert listed.p50_s == pytest.approx(0.001, rel=0.13)
    assert (measured.calls, measured.internal_errors) == (101, 1)
    assert measured.p99_s == pytest.approx(0.004, rel=0.13)


def test_waiting_is_counted_and_is_not_slow():
    meter = make_meter()
    for method in WAITING:
        meter.note(method, 3000.0, "")
    meter.note("task.show", 0.001, "")
    measured = meter.snapshot()
    assert measured.calls == len(WAITING) + 1
    assert measured.p99_s < 0.002


def test_every_method_that_waits_is_left_out_by_its_name():
    names = {method.name for method in METHODS}
    not_built_with_this = {name for name in WAITING if name.startswith(("reload.", "rollout."))}
    assert names >= WAITING - not_built_with_this
    assert {name for name in names if name.endswith((".wait", ".follow", ".subscribe"))} <= WAITING


def test_a_window_holds_only_what_happened_in_it():
    meter = make_meter()
    meter.note("task.list", 2.0, "internal")
    meter.note("task.show", 2.0, "")
    before = meter.snapshot()
    meter.note("task.list", 0.001, "")
    window = subtract(meter.snapshot(), before)
    assert [(row.name, row.calls, row.internal_errors) for row in window.methods] == [("task.list", 1, 0)]
    assert window.p99_s < 0.002
    assert (window.since_at, window.until_at) == (before.until_at, before.until_at + 1)
    assert merge(before, window).methods == meter.snapshot().methods


def test_a_snapshot_goes_through_json_and_back():
    meter = make_meter()
    meter.note("task.list", 0.01, "")
    measured = meter.snapshot()
    assert msgspec.json.decode(msgspec.json.encode(measured), type=Measured) == measured


def test_names_that_clients_make_up_do_not_make_it_grow():
    meter = make_meter()
    for number in range(MOST_METHODS * 2):
        meter.note(f"made.up{number}", 0.001, "protocol")
    measured = meter.snapshot()
    assert len(measured.methods) == MOST_METHODS + 1
    assert next(row for row in measured.methods if row.name == OTHERS).calls == MOST_METHODS
    before = sys.getsizeof(meter._counts)
    meter.note("made.up.more", 0.001, "")
    assert sys.getsizeof(meter._counts) == before
