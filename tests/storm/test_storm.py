"""Longer storms, for `make storm`: minutes each. `RM_STORM_SEED` repeats one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.storm import Storm

SEED = int(os.environ.get("RM_STORM_SEED", "1"))


@pytest.mark.storm
@pytest.mark.timeout(1800)
def test_two_hundred_kills_under_eight_agents(tmp_path: Path) -> None:
    seen = Storm(kills=200, workers=8, tasks=16, seed=SEED).run(tmp_path)
    print(seen)
    assert (seen.kills, seen.landed >= 16) == (200, True)


@pytest.mark.storm
@pytest.mark.timeout(7200)
def test_a_thousand_kills_under_twenty_agents(tmp_path: Path) -> None:
    seen = Storm(kills=1000, workers=20, tasks=40, seed=SEED + 1).run(tmp_path)
    print(seen)
    assert (seen.kills, seen.landed >= 40) == (1000, True)
