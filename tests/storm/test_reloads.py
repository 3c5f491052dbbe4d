"""Reload after reload under clients that never try twice and agents at work, for `make storm`: minutes each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.fakes.daemon import ROOT
from tests.fakes.house import git
from tests.fakes.own_source import SOURCES
from tests.fakes.reload_storm import ReloadStorm, check_growth

pytestmark = pytest.mark.storm


@pytest.mark.timeout(3600)
def test_a_hundred_reloads_under_sixty_four_clients_and_eight_agents(tmp_path: Path) -> None:
    storm = ReloadStorm(reloads=100, clients=64, agents=8, is_measured=True)
    seen = storm.run(tmp_path)
    print(seen)
    print(check_growth(storm.footprints))
    assert (seen.reloads, seen.failures) == (100, ())


@pytest.mark.timeout(3600)
def test_three_reloads_whose_gate_is_the_one_of_this_repository(
    tmp_path: Path, left_out: Callable[[str, str], NoReturn]
) -> None:
    if not (ROOT / ".git").exists():
        left_out("the gate of this repository", "not in a checkout")
    names = git("ls-files", cwd=ROOT).splitlines()
    files = {name: (ROOT / name).read_bytes() for name in names if not name.startswith(SOURCES)}
    # Where pip looks for what the lock names is this machine's affair.
    environ = [name for name in os.environ if name.startswith("PIP_")]
    storm = ReloadStorm(reloads=3, clients=16, agents=3, gate="make gate")
    seen = storm.run(tmp_path, files=files, cache=[".venv"], env=environ)
    print(seen)
    assert (seen.reloads, seen.failures) == (3, ())
