"""Seconds in which 30,000 beads issues with 60,000 dependencies are taken, as `rmctl` sees it, and given out again.

The yardstick reads the same file with msgspec and puts its rows, as they are, into three bare tables in one SQLite
transaction on disk: no event, no count, no check.
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw
import msgspec

from tests.bench.figures import Report, timing
from tests.bench.instance import open_instance
from tests.fakes.beads import as_lines, make_bead

RMCTL = Path(__file__).resolve().parents[2] / "bin" / "rmctl"
ISSUES, ISSUES_QUICK = 30_000, 3_000
AIM_S = 3.0
KINDS = ("blocks", "blocks", "discovered-from", "related")
STATUSES = ("closed", "closed", "closed", "open", "in_progress", "deferred")


def make_issues(path: Path, count: int) -> Path:
    """A file as a beads repository has it: epics of ten, two dependencies each, most of it closed."""
    rng = random.Random(7)
    records: list[dict[str, Any]] = []
    for number in range(count):
        epic, place = divmod(number, 10)
        id = f"bd-{epic:x}" if place == 0 else f"bd-{epic:x}.{place}"
        depends = [] if place == 0 else [(f"bd-{epic:x}", "parent-child")]
        # On what came before, some epics back: no circle.
        while len(depends) < 2 and epic:
            other = rng.randrange(max(0, epic - 20), epic)
            depends.append((f"bd-{other:x}.{len(depends) + 1}", rng.choice(KINDS)))
        records.append(
            make_bead(
                id,
                *depends,
                status=rng.choice(STATUSES),
                issue_type="epic" if place == 0 else "task",
                description="What is to be done, and why. " * rng.randrange(5, 40),
                labels=["backend"],
                priority=rng.randrange(5),
            )
        )
    path.write_bytes(as_lines(*records))
    return path


def bare_rows(path: Path, directory: Path) -> None:
    """The yardstick."""
    issues = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    db = apsw.Connection(str(directory / f"bare-{time.monotonic_ns()}.db"))
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE issues (id TEXT PRIMARY KEY, title TEXT, description TEXT, status TEXT, priority INTEGER)",
        "CREATE TABLE waits (task_id TEXT, other_id TEXT, kind TEXT, PRIMARY KEY (task_id, other_id, kind))",
        "CREATE TABLE labels (task_id TEXT, label TEXT)",
        "BEGIN IMMEDIATE",
    ):
        db.execute(statement).fetchall()
    db.executemany(
        "INSERT INTO issues VALUES (?, ?, ?, ?, ?)",
        ((i["id"], i["title"], i["description"], i["status"], i["priority"]) for i in issues),
    ).fetchall()
    db.executemany(
        "INSERT INTO waits VALUES (?, ?, ?)",
        ((i["id"], d["depends_on_id"], d["type"]) for i in issues for d in i.get("dependencies", ())),
    ).fetchall()
    db.executemany(
        "INSERT INTO labels VALUES (?, ?)", ((i["id"], label) for i in issues for label in i["labels"])
    ).fetchall()
    db.execute("COMMIT").fetchall()
    db.close()


def rmctl(state: Path, *words: str) -> bytes:
    """What it prints; raises when it fails."""
    argv = [str(RMCTL), "-s", str(state), *words]
    return subprocess.run(argv, env=dict(os.environ), capture_output=True, check=True).stdout


def run(figures: Report) -> None:
    """Each import into an instance of its own."""
    count = ISSUES_QUICK if figures.is_quick else ISSUES
    figures.head(f"import of {count:,} beads issues with {2 * count:,} dependencies, as rmctl sees it")
    taken: list[float] = []
    again: list[float] = []
    given: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as name:
        directory = Path(name)
        path = make_issues(directory / "issues.jsonl", count)
        for _ in range(1 if figures.is_quick else 3):
            with timing(bare):
                bare_rows(path, directory)
            with open_instance() as daemon:
                with timing(taken):
                    rmctl(daemon.state, "task", "import", "beads", str(path))
                with timing(again):
                    rmctl(daemon.state, "task", "import", "beads", str(path))
                with timing(given):
                    rmctl(daemon.state, "task", "export", "beads", str(directory / "out.jsonl"))
    yardstick = ("parsed, and bare rows", bare)
    figures.figure("import", taken, "s", yardstick=yardstick, at_most=None if figures.is_quick else AIM_S)
    figures.figure("the same file again, of which nothing is new", again, "s")
    figures.figure("export", given, "s")
