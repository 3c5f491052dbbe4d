"""The other half of the seeds, in a file of its own so that a second worker of the suite takes it."""

from __future__ import annotations

import pytest

from tests.sim.test_simulation import run_shard


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_whatever_happens_the_queue_keeps_its_promises_elsewhere_too(record_property):
    failure = run_shard(1, record_property)
    assert not failure, failure
