"""Pruning takes what nothing uses, whole, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ringmaster.reload.boot_record import BootRecord, Image, begin_trial, write_record
from ringmaster.reload.prune import prune
from ringmaster.reload.release import PARTIAL, Release, SourceFile, make_release, open_partial


class Stock:
    """Releases 1 to 6, each with an environment of the same number."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.releases = {n: make_release(state, [SourceFile("a", False, str(n).encode())]) for n in range(1, 7)}
        for number in self.releases:
            python = Path(self.image(number).python)
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)

    def image(self, number: int) -> Image:
        release: Release = self.releases[number]
        return Image(number, release.id, release.digest, str(self.state / "envs" / f"env{number}" / "bin" / "python"))

    def left(self) -> tuple[set[int], set[int]]:
        releases = {n for n, release in self.releases.items() if release.root.is_dir()}
        return releases, {int(name[3:]) for name in os.listdir(self.state / "envs") if name.startswith("env")}

    def names(self, *numbers: int) -> tuple[str, ...]:
        releases = sorted(f"releases/{self.releases[number].id}" for number in numbers)
        return (*releases, *(f"envs/env{number}" for number in numbers))


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return Stock(tmp_path)


def test_what_boots_a_candidate_and_a_live_program_keep_theirs(stock):
    record = BootRecord(good=stock.image(2), before=stock.image(1))
    write_record(stock.state, begin_trial(record, stock.image(3), "b", 1.0))
    live = [stock.releases[5].root / "ringmaster" / "proc" / "shim.py"]
    assert prune(stock.state, [stock.releases[4].id, "env4"], live) == stock.names(6)[:1] + stock.names(5, 6)[2:]
    assert stock.left() == ({1, 2, 3, 4, 5}, {1, 2, 3, 4})
    assert prune(stock.state, [], []) == stock.names(4, 5)[:2] + stock.names(4)[1:]
    assert stock.left() == ({1, 2, 3}, {1, 2, 3})


def test_a_live_interpreter_keeps_its_environment(stock):
    write_record(stock.state, BootRecord(good=stock.image(1)))
    prune(stock.state, [], [stock.state / "envs" / "env6" / "bin" / "python"])
    assert stock.left() == ({1}, {1, 6})


def test_a_name_that_only_begins_alike_keeps_nothing(stock):
    write_record(stock.state, BootRecord(good=stock.image(1)))
    prune(stock.state, [], [Path(f"{stock.releases[2].root}x")])
    assert stock.left() == ({1}, {1})


def test_without_a_record_nothing_is_taken(stock):
    assert prune(stock.state, [], []) == ()
    (stock.state / "boot.json").write_text("{")
    assert prune(stock.state, [], []) == ()
    assert stock.left() == ({1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6})


def test_what_is_being_made_is_left_and_what_a_dead_maker_left_is_not(stock):
    write_record(stock.state, BootRecord(good=stock.image(1)))
    (stock.state / "releases" / f"{PARTIAL}dead").mkdir()
    with open_partial(stock.state / "releases") as partial:
        (partial / "a").write_text("half")
        prune(stock.state, [], [])
        assert (partial / "a").exists()
        assert sorted(os.listdir(stock.state / "releases")) == sorted([partial.name, stock.releases[1].id])
    assert os.listdir(stock.state / "releases") == [stock.releases[1].id]


def test_a_state_without_releases_is_fine(tmp_path):
    write_record(tmp_path, BootRecord(good=Image(1, "a", "b", "/c/d/e")))
    assert prune(tmp_path, [], []) == ()
