"""`rmctl status` from start to finish, beside the start of Python and of Python with click."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Report, timing
from tests.bench.instance import open_instance

AIM = 1.4
RMCTL = Path(__file__).resolve().parents[2] / "bin" / "rmctl"


def run(figures: Report) -> None:
    """Take the three in turns, so that whatever else the machine does falls on all."""
    figures.head("rmctl status, start to finish")
    with open_instance() as daemon:
        commands = {
            "rmctl status": [str(RMCTL), "-s", str(daemon.state), "status"],
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(15 if figures.is_quick else 60):
            for name, argv in commands.items():
                with timing(taken[name]):
                    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    medians = [figures.figure(name, [seconds * 1000 for seconds in values], "ms") for name, values in taken.items()]
    figures.at_most("rmctl status against the import of click", medians[0] / medians[1], AIM)
