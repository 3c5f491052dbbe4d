"""Claim and report in the store alone, at three sizes: how many tasks a second go from open to done.

A pair is `claim_for_worker` and `complete_without_diff`: two writes, each answered only when durable, with the
freeing of dependents and all events. 64 trio tasks, a seat each, run pairs against the store with its threads.
The yardstick changes the same rows by bare guarded statements, 64 pairs to a commit, in the same file.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import trio

from ringmaster.model.ids import make_token
from ringmaster.queue import claim, report
from ringmaster.store.connection import configure_writer, connect_writer
from ringmaster.store.thread import open_store
from tests.bench.figures import Report
from tests.bench.filled import SEATS, fill_database

SIZES = (1_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000, 100_000)
AIM_PER_S = 5_000
AIM_FLAT = 1.5
ROUNDS = 5
PAIRS = 5_000
REMADE = 10_000


@dataclass
class Taken:
    """Pairs a second of one run, and microseconds of processor time a pair, of all threads."""

    per_s: float
    cpu_us: float


async def run_pairs(path: Path, pairs: int) -> Taken:
    """Run `pairs` claims with their reports, or as many as there are tasks."""
    rng = random.Random(7)
    done = 0

    async with open_store(path, reserve_bytes=4096) as store:

        async def work(worker_id: str) -> None:
            nonlocal done
            while done < pairs:
                done += 1
                found = await store.write(claim.claim_for_worker, worker_id, make_token(rng), rng=rng)
                if found is None:
                    done -= 1
                    return
                attempt = found.attempt
                await store.write(report.complete_without_diff, attempt.id, attempt.token, {"said": "done"})

        began, cpu = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for number in range(1, SEATS + 1):
                nursery.start_soon(work, f"w{number}")
        return Taken(done / (time.perf_counter() - began), (time.process_time() - cpu) / done * 1e6)


def bare_pairs_per_s(path: Path, pairs: int) -> float:
    """The same rows changed without rules: three statements to take a task, four to end it, two events each."""
    db = connect_writer(path)
    configure_writer(db)
    event = (
        "INSERT INTO events (at, type, project_id, task_id, attempt_id, worker_id, data)"
        " VALUES (1, 'bench.pair', 'p1', ?, '', 'w1', '{\"number\":1}')"
    )
    try:
        rows = db.execute(
            "SELECT seq, id FROM tasks WHERE state = 'open' AND open_blockers = 0 AND not_before_at IS NULL"
            " ORDER BY priority DESC, seq DESC LIMIT ?",
            (pairs,),
        ).fetchall()
        began = time.perf_counter()
        for start in range(0, len(rows), SEATS):
            db.execute("BEGIN IMMEDIATE").fetchall()
            for seq, id in rows[start : start + SEATS]:
                for sql, values in (
                    ("UPDATE tasks SET state = 'running', attempt_number = 1 WHERE seq = ? AND state = 'open'", (seq,)),
                    (
                        "INSERT INTO attempts (id, task_id, number, project_id, worker_id, agent, token, state,"
                        " started_at) VALUES (?, ?, 9, 'p1', 'w1', 'a', 't', 'running', 1)",
                        (f"{id}/9", id),
                    ),
                    ("UPDATE workers SET attempt_id = ? WHERE id = 'w1'", (f"{id}/9",)),
                    (event, (id,)),
                    (
                        "UPDATE attempts SET state = 'ended', outcome = 'succeeded', ended_at = 2"
                        " WHERE id = ? AND state = 'running'",
                        (f"{id}/9",),
                    ),
                    ("UPDATE workers SET attempt_id = '' WHERE id = 'w1'", ()),
                    ("UPDATE tasks SET state = 'done', done_by = 'landed' WHERE seq = ?", (seq,)),
                    ("UPDATE dependencies SET is_open = 0 WHERE blocker_id = ? AND is_open = 1", (id,)),
                    (event, (id,)),
                ):
                    db.execute(sql, values).fetchall()
            db.execute("COMMIT").fetchall()
        return len(rows) / (time.perf_counter() - began)
    finally:
        db.close()


def run(figures: Report) -> None:
    """Print the figures of each size, taken in turns so that whatever else the machine does falls on all."""
    figures.head("claim + report in the store alone, durable, 64 seats (pairs a second)")
    sizes = QUICK_SIZES if figures.is_quick else SIZES
    rounds = 3 if figures.is_quick else ROUNDS
    ours: dict[int, list[Taken]] = {size: [] for size in sizes}
    bare: dict[int, list[float]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        paths = {size: Path(directory, f"{size}.db") for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                # Half of the tasks are open; a small database is used up and made anew.
                pairs = min(PAIRS, size * 2 // 5) // (2 if figures.is_quick else 1)
                if size <= REMADE or not paths[size].exists():
                    paths[size].unlink(missing_ok=True)
                    began = time.perf_counter()
                    fill_database(paths[size], size)
                    if size > REMADE:
                        figures.note(f"a database of {size:,} tasks was made in {time.perf_counter() - began:.0f} s")
                bare[size].append(bare_pairs_per_s(paths[size], pairs // 8))
                ours[size].append(trio.run(run_pairs, paths[size], pairs - pairs // 8))
    medians = []
    for size in sizes:
        yardstick = ("bare statements", bare[size])
        rates = [taken.per_s for taken in ours[size]]
        medians.append(figures.figure(f"{size:,} tasks", rates, "/s", yardstick=yardstick, at_least=AIM_PER_S))
        figures.figure(f"{size:,} tasks: processor time a pair", [taken.cpu_us for taken in ours[size]], "us")
    figures.at_most(f"{sizes[0]:,} against {sizes[-1]:,} tasks", medians[0] / medians[-1], AIM_FLAT)
