"""`kill -9` of the daemon at random moments under agents at work: nothing lost, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.storm import Checkout, Storm


@pytest.mark.timeout(150)
def test_twenty_kills_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    # Each seed names its own moments; a failing one is named in the assertion and can be run again.
    seen = Storm(kills=20, workers=4, tasks=6, seed=20261122).run(tmp_path)
    assert (seen.kills, seen.landed >= 6) == (20, True), seen


@pytest.mark.timeout(90)
@pytest.mark.parametrize("checkout", ["dirty", "rebasing", "elsewhere"])
def test_the_users_checkout_stays_as_it_was_under_kills(tmp_path: Path, checkout: Checkout) -> None:
    seen = Storm(kills=3, workers=2, tasks=3, seed=7, checkout=checkout).run(tmp_path)
    assert (seen.kills, seen.landed >= 3) == (3, True), seen
