"""Many who pull, killed at random: each task is done once. The long one is in `make storm`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.pull_storm import PullStorm


@pytest.mark.slow
def test_eight_pullers_that_are_killed_do_each_of_thirty_tasks_once(tmp_path: Path) -> None:
    # The daemon is killed in the long one alone: what a killed puller held has a minute left after that.
    storm = PullStorm(tasks=30, pullers=8, kills=8, daemon_kills=0, seed=20261122, landing_every=6)
    seen = storm.run(tmp_path)
    print(seen)
    assert (seen.done, seen.kills > 0, seen.daemon_kills) == (30, True, 0)
