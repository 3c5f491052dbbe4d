"""What a start costs since the daemon runs from a release: the first, which makes it, and each later one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Report, timing
from tests.bench.instance import isolated_root
from tests.fakes.daemon import open_daemon


def one_start(state: Path, into: list[float], *words: str) -> None:
    """From the start of the program to its first answer; it is stopped again."""
    with open_daemon(state, is_started=False) as daemon:
        daemon.argv += words
        with timing(into):
            daemon.start()
            daemon.call("daemon.version")
        daemon.stop()


def run(figures: Report) -> None:
    """In turns, each round in a state of its own."""
    figures.head("start to first answer")
    first: list[float] = []
    later: list[float] = []
    fresh_in_place: list[float] = []
    in_place: list[float] = []
    bare: list[float] = []
    with isolated_root() as root:
        for number in range(4 if figures.is_quick else 15):
            one_start(root / f"a{number}", first)
            one_start(root / f"a{number}", later)
            one_start(root / f"b{number}", fresh_in_place, "--in-place")
            one_start(root / f"b{number}", in_place, "--in-place")
            with timing(bare):
                subprocess.run([sys.executable, "-I", "-c", "import trio, apsw, msgspec"], check=True)
    yardstick = ("python, its libraries imported", bare)
    figures.figure("first start, which makes release and environment", first, "s", yardstick=yardstick)
    figures.figure("first start in place", fresh_in_place, "s", yardstick=yardstick)
    figures.figure("later start from the release", later, "s", yardstick=yardstick)
    figures.figure("later start in place", in_place, "s", yardstick=yardstick)
