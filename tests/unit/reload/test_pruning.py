"""Which releases may go, by what the rows, the boot record and the processes of this machine say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringmaster.model.generation import Origin
from ringmaster.queue import rollout
from ringmaster.reload.boot_record import BootRecord, Image, write_record
from ringmaster.reload.pruning import prune_releases
from ringmaster.settings import Paths
from ringmaster.store.connection import Connection
from tests.fakes.empty_store import open_empty_store

PROGRAM = "import sys; sys.stdin.read()"
"""It runs until its input ends."""


class Stock:
    """Releases r1 to r6 with environments e1 to e6: 1 boots, 2 and 3 were good, 4 is a candidate, 5 and 6 are bad."""

    def __init__(self, path: Path) -> None:
        self.paths = Paths(name="test", state=path, socket=path / "s.sock", config=path / "config.toml")
        for number in range(1, 7):
            (path / "releases" / f"r{number}" / "bin").mkdir(parents=True)
            (path / "envs" / f"e{number}" / "bin").mkdir(parents=True)
        write_record(path, BootRecord(good=Image(1, "r1", "d", self.python(1))))

    def python(self, number: int) -> str:
        return str(self.paths.state / "envs" / f"e{number}" / "bin" / "python")

    def origin(self, number: int) -> Origin:
        return Origin(release=f"r{number}", digest="d", python=self.python(number), source="package")

    def make_rows(self, conn: Connection) -> None:
        rollout.ensure_generation(conn, 1, self.origin(1))
        for number in range(2, 7):
            made = rollout.make_generation(conn, self.origin(number))
            if number in (2, 3):
                rollout.begin_trial(conn, made.id)
                rollout.settle_good(conn, made.id)
            elif number in (5, 6):
                rollout.settle_bad(conn, made.id, "its gate is red")

    async def prune(self, keep: int) -> None:
        async with open_empty_store(clock=lambda: 0.0) as store:
            await store.write(self.make_rows)
            await prune_releases(store, self.paths, keep)

    def left(self) -> str:
        return " ".join(sorted(os.listdir(self.paths.state / "envs") + os.listdir(self.paths.state / "releases")))


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return Stock(tmp_path)


async def test_what_boots_a_candidate_and_the_newest_good_ones_stay(stock: Stock):
    await stock.prune(keep=1)
    assert stock.left() == "e1 e3 e4 r1 r3 r4"


async def test_what_a_program_that_runs_was_started_from_stays(stock: Stock):
    shim = str(stock.paths.state / "releases" / "r5" / "ringmaster" / "proc" / "shim.py")
    argv = [stock.python(6), "-c", PROGRAM, shim]
    with subprocess.Popen(argv, executable=sys.executable, stdin=subprocess.PIPE) as process:
        await stock.prune(keep=0)
        process.stdin.close()  # type: ignore[union-attr]
    assert stock.left() == "e1 e4 e6 r1 r4 r5"
    await stock.prune(keep=0)
    assert stock.left() == "e1 e4 r1 r4"


async def test_what_cannot_be_removed_does_not_end_a_start(stock: Stock, caplog: pytest.LogCaptureFixture):
    envs = stock.paths.state / "envs"
    envs.rename(stock.paths.state / "elsewhere")
    envs.write_text("")
    await stock.prune(keep=0)
    assert "releases that nothing needs are not all removed: " in caplog.text
