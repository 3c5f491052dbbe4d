"""Seeds of the simulation for as long as the suite's share of time allows. docs/simulation.md says what it holds."""

from __future__ import annotations

import time

import pytest

from tests.sim.running import Runner, least_and_until, shards

SHARE_S = 30.0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whatever_happens_the_queue_keeps_its_promises(record_property):
    failure = run_shard(0, record_property)
    # As a message of its own: it ends with the command that shows it again, and a comparison would cut that off.
    assert not failure, failure


def run_shard(shard: int, record_property) -> str:
    """Run every second seed, and say what failed; how many were run is told in the run's summary."""
    runner = Runner()
    began = time.monotonic()
    least, until = least_and_until(SHARE_S)
    failure = runner.run_until(until, least, shards(shard))
    if failure is not None:
        return str(runner.explain(failure))
    took_s = time.monotonic() - began
    words = f"simulation: {runner.seeds} seeds of {runner.steps // max(runner.seeds, 1)} steps in {took_s:.0f} s"
    record_property("figure", f"{words}, {runner.steps / took_s:,.0f} steps a second")
    return ""
