"""The long storm of pullers, for `make storm`: minutes. `RM_STORM_SEED` repeats one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.pull_storm import PullStorm

SEED = int(os.environ.get("RM_STORM_SEED", "1"))


@pytest.mark.storm
@pytest.mark.timeout(7200)
def test_sixty_four_pullers_do_two_thousand_tasks_once_each(tmp_path: Path) -> None:
    storm = PullStorm(tasks=2000, pullers=64, kills=300, daemon_kills=20, seed=SEED, lease_s=10.0, landing_every=10)
    seen = storm.run(tmp_path)
    print(seen)
    assert (seen.done, seen.kills > 0, seen.daemon_kills > 0) == (2000, True, True)
