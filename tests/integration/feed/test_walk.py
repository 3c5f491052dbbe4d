"""Random walks of the feed: whatever happens, nothing is lost, doubled or left out without a word."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

import pytest

from tests.integration.feed.faults import FAULTS, Fault
from tests.integration.feed.walk import Walker
from tests.sim.mutants import planted

SEEDS = 80
USUAL_SEEDS = 400


@pytest.fixture(scope="module")
def walker() -> Iterator[Walker]:
    # What cannot be read is logged, and here very much cannot.
    logging.disable(logging.CRITICAL)
    yield Walker()
    logging.disable(logging.NOTSET)


def test_whatever_happens_nothing_is_lost_doubled_or_left_out_without_a_word(walker: Walker, record_property):
    failure = walker.run_until(math.inf, 0, range(SEEDS))
    # As a message of its own: it ends with the command that shows it again, and a comparison would cut that off.
    assert not failure, str(walker.explain(failure)) if failure else ""
    record_property("figure", f"walks of the feed: {walker.seeds} of {walker.steps // walker.seeds} steps")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.mutant.name)
def test_a_planted_fault_is_found(fault: Fault, walker: Walker):
    with planted(fault.mutant):
        # Where it was found last, and elsewhere when the feed has changed since.
        assert any(walker.run(seed) for seed in (fault.seed, *range(USUAL_SEEDS))), f"{fault.mutant.name}: not found"


def test_a_failure_is_told_with_its_seed_and_few_steps_and_comes_again(walker: Walker):
    fault = next(fault for fault in FAULTS if fault.mutant.name == "a cursor is one event ahead")
    with planted(fault.mutant):
        found = next(failure for seed in range(USUAL_SEEDS) if (failure := walker.run(seed)))
        told = walker.explain(found)
        assert len(told.kept) < 10
        again = walker.run(told.seed, told.kept)
        assert again is not None
        assert again.words == told.words
    assert f"make walk SEED={told.seed} KEEP={','.join(map(str, told.kept))}" in str(told)
    assert walker.run(told.seed, told.kept) is None
