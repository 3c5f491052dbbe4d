"""The long storm of pullers, for `make storm`: minutes. `RM_STORM_SEED` repeats one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.pull_storm import PullStorm

SEED = int(os.environ.get("RM_STORM_SEED", "1"))


@pytest.mark.storm
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("tasks", "landing_every"), [(2_000, 10), (10_000, 100)])
def test_sixty_four_pullers_do_thousands_of_tasks_once_each(tmp_path: Path, tasks: int, landing_every: int) -> None:
    storm = PullStorm(
        tasks=tasks, pullers=64, kills=300, daemon_kills=20, seed=SEED, lease_s=10.0, landing_every=landing_every
    )
    seen = storm.run(tmp_path)
    print(seen)
    assert (seen.done, seen.kills > 0, seen.daemon_kills > 0) == (tasks, True, True)
