"""Claim and report in the store alone, at three sizes: how many tasks a second go from open to done.

A pair is `claim_for_worker` and `complete_without_diff`: two writes, each answered only when durable, with the
freeing of dependents and all events. 64 seats claim in one batch of the writer and report in the next, as when they
all call at once. Beside it the same through the store's threads and the loop, from 64 trio tasks. The yardstick
changes the same rows by bare guarded statements, 64 pairs to a commit, in the same file.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from ringmaster.model.ids import make_token
from ringmaster.queue import claim, report
from ringmaster.store.batch import Writer
from ringmaster.store.calls import Call
from ringmaster.store.connection import configure_writer, connect_writer
from ringmaster.store.migrate import load_migrations, open_database
from ringmaster.store.queries import find_sql_dir
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
    """Pairs a second of one run, and microseconds of processor time a pair."""

    per_s: float
    cpu_us: float


def run_pairs(path: Path, pairs: int) -> Taken:
    """Run `pairs` claims with their reports, or as many as there are tasks, through the writer's batches."""
    rng = random.Random(7)
    db = open_database(path, load_migrations(find_sql_dir()))
    try:
        writer = Writer(db, time.time)
        done = 0
        began, cpu = time.perf_counter(), time.thread_time()
        while done < pairs:
            claims = run_batch(
                writer,
                [
                    Call(claim.claim_for_worker, (f"w{seat}", make_token(rng)), {"rng": rng})
                    for seat in range(1, SEATS + 1)
                ],
            )
            held = [found.attempt for found in claims if found is not None]
            if not held:
                break
            said = {"said": "done"}
            run_batch(
                writer, [Call(report.complete_without_diff, (held_by.id, held_by.token, said), {}) for held_by in held]
            )
            done += len(held)
        return Taken(done / (time.perf_counter() - began), (time.thread_time() - cpu) / done * 1e6)
    finally:
        db.close()


def run_batch(writer: Writer, calls: list[Call]) -> list[Any]:
    """What each call returned, once all are durable."""
    pending = deque(calls)
    while pending:
        writer.run(pending)
    return [call.outcome() for call in calls]


async def run_pairs_in_threads(path: Path, pairs: int) -> float:
    """The same through the store with its threads: pairs a second of 64 trio tasks, a seat each."""
    rng = random.Random(7)
    done = 0

    async with open_store(path, reserve_bytes=4096) as store:

        async def work(worker_id: str) -> None:
            nonlocal done
            while done < pairs:
                found = await store.write(claim.claim_for_worker, worker_id, make_token(rng), rng=rng)
                if found is None:
                    return
                done += 1
                attempt = found.attempt
                await store.write(report.complete_without_diff, attempt.id, attempt.token, {"said": "done"})

        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for number in range(1, SEATS + 1):
                nursery.start_soon(work, f"w{number}")
        return done / (time.perf_counter() - began)


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
    threads: dict[int, list[float]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        paths = {size: Path(directory, f"{size}.db") for size in sizes}
        for number in range(rounds):
            for size in sizes:
                figures.under_way(f"{size:,} tasks, round {number + 1} of {rounds}")
                # Half of the tasks are open; a small database is used up and made anew.
                pairs = min(PAIRS, size * 2 // 5) // (2 if figures.is_quick else 1)
                if size <= REMADE or not paths[size].exists():
                    paths[size].unlink(missing_ok=True)
                    began = time.perf_counter()
                    fill_database(paths[size], size)
                    if size > REMADE:
                        figures.note(f"a database of {size:,} tasks was made in {time.perf_counter() - began:.0f} s")
                bare[size].append(bare_pairs_per_s(paths[size], pairs // 8))
                threads[size].append(trio.run(run_pairs_in_threads, paths[size], pairs * 3 // 8))
                ours[size].append(run_pairs(paths[size], pairs // 2))
    medians = []
    for size in sizes:
        yardstick = ("bare statements", bare[size])
        rates = [taken.per_s for taken in ours[size]]
        medians.append(figures.figure(f"{size:,} tasks", rates, "/s", yardstick=yardstick, at_least=AIM_PER_S))
        figures.figure("    processor time a pair", [taken.cpu_us for taken in ours[size]], "us")
        figures.figure("    through the store's threads and the loop", threads[size], "/s")
    figures.at_most(f"{sizes[0]:,} against {sizes[-1]:,} tasks", medians[0] / medians[-1], AIM_FLAT)
