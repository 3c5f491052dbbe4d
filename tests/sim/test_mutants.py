"""Each fault that is planted is found within a few seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.mutants import MUTANTS, Mutant, planted
from tests.sim.running import Runner, read_numbers, spell

USUAL_SEEDS = 150


# A second or two in all when nothing else runs, but not what the gate has time for.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(mutant: Mutant, runner: Runner):
    with planted(mutant):
        assert any(runner.run(seed) for seed in range(USUAL_SEEDS)), f"{mutant.name}: not found"


def test_a_failure_is_told_with_few_steps_and_comes_again(runner: Runner):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "an attempt counts twice")
    with planted(mutant):
        found = next(failure for seed in range(USUAL_SEEDS) if (failure := runner.run(seed)))
        told = runner.explain(found)
        assert "attempts, not 1" in told.words
        assert len(told.kept) < 40
        again = runner.run(told.seed, read_numbers(spell(told.kept)), check_every=1)
        assert again == told
    assert f"make sim SEED={told.seed} KEEP={spell(told.kept)}" in str(told)
    assert runner.run(told.seed, told.kept) is None


def test_a_seed_does_the_same_in_any_process(runner: Runner):
    checkout = Path(__file__).parents[2]
    command = (sys.executable, "-m", "tests.sim", "--seed=7", "--print-digest")
    ran = [
        subprocess.run(command, cwd=checkout, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in ("1", "2")
    ]
    assert ran[0].stdout == ran[1].stdout
    assert "digest" in ran[0].stdout
