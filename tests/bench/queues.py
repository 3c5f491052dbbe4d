"""Enqueue and claim + report at three sizes with a graph of dependencies, beside other queues on SQLite.

Ours is the store alone, durable, 64 callers in one batch; theirs are called from one thread, which is how they are
fastest with one file. They are installed by `bin/setup-bench` into an environment of their own.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from pathlib import Path

from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue.intake import add_task
from ringmaster.store.batch import Writer
from ringmaster.store.calls import Call
from ringmaster.store.migrate import load_migrations, open_database
from ringmaster.store.queries import find_sql_dir
from tests.bench.claim import run_batch, run_pairs
from tests.bench.figures import Report
from tests.bench.filled import SEATS, fill_database

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".bench" / "bin" / "python"
PEERS = ("huey", "litequeue", "persist-queue")
SIZES = (1_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
ROUNDS = 3
ADDED = 4_000
PAIRS = 2_000
PEER_S = 2.0


def adds_per_s(path: Path, count: int) -> float:
    """Tasks stored a second, 64 to a commit."""
    rng = random.Random(5)
    db = open_database(path, load_migrations(find_sql_dir()))
    try:
        writer = Writer(db, time.time)
        params = TaskAddParams(title="Mend the parser", project_id="p1", description="x" * 200)
        began = time.perf_counter()
        for _ in range(count // SEATS):
            given = {"actor": "bench", "max_attempts": 3, "rng": rng}
            run_batch(writer, [Call(add_task, (params,), given) for _ in range(SEATS)])
        return count // SEATS * SEATS / (time.perf_counter() - began)
    finally:
        db.close()


def peer_rates(name: str, waiting: int, seconds: float) -> tuple[float, float]:
    """Enqueues and pairs a second of another queue that holds `waiting` items."""
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as place:
        argv = (PYTHON, Path(__file__).with_name("peers.py"), name, place, str(waiting), str(seconds))
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def run(figures: Report) -> None:
    """Print each size: ours, then the others, taken in turns."""
    figures.head("enqueue, and claim + report, beside other queues on SQLite (a second)")
    peers = PEERS if PYTHON.exists() else ()
    if not peers:
        figures.note("huey, litequeue and persist-queue are not there: bin/setup-bench")
    rounds = 1 if figures.is_quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        for size in QUICK_SIZES if figures.is_quick else SIZES:
            ours: tuple[list[float], list[float]] = ([], [])
            theirs: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in peers}
            for number in range(rounds):
                figures.under_way(f"{size:,} tasks, round {number + 1} of {rounds}")
                path = Path(directory, f"{size}-{number}.db")
                fill_database(path, size)
                ours[0].append(adds_per_s(path, ADDED))
                ours[1].append(run_pairs(path, min(PAIRS, size // 4)).per_s)
                path.unlink()
                for name in peers:
                    for rates, rate in zip(theirs[name], peer_rates(name, size, PEER_S), strict=True):
                        rates.append(rate)
            for place, what in enumerate(("enqueue", "claim + report")):
                figures.figure(f"{what}, {size:,} tasks", ours[place], "/s")
                for name in peers:
                    figures.figure(f"    {name}", theirs[name][place], "/s")
