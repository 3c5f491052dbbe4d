"""The order of work: ranking a layered graph anew, what the loop feels of it, and a page of what is ready.

Beside it NetworkX, from the environment that `bin/setup-bench` makes, computes the longest chains, PageRank and
betweenness of the same graph; what each task unblocks, which takes it minutes, is left out.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import trio

from ringmaster.bus import Bus
from ringmaster.model.event import Event
from ringmaster.model.graph import Edge, EdgeKind, GraphTask
from ringmaster.model.graph_order import order_graph
from ringmaster.model.order import PATIENCE_S, RULES
from ringmaster.protocol.task import TaskEditParams
from ringmaster.queue.intake import edit_task
from ringmaster.settings import Paths, Settings
from ringmaster.store.connection import Connection, connect_writer
from ringmaster.store.thread import open_store
from ringmaster.workers.ordering import rank_graph
from ringmaster.workers.surroundings import Surroundings
from tests.bench.figures import Report, timing
from tests.bench.filled import AT, demand, fill_database, fill_tasks
from tests.bench.instance import PROJECT, open_instance
from tests.fakes.daemon import LiveDaemon

TASKS, EDGES, LAYERS = 10_000, 30_000, 100
AIM_S = 1.0
AIM_LAG_MS = 20.0
AIM_PAGE_MS = 5.0
PAGE_TASKS = 1_000_000
QUICK_PAGE_TASKS = 100_000
DEMANDS = 500
TICK_S = 0.001
IDLE_TICKS = 1_000
PEER = Path(__file__).with_name("ordering_peer.py")
PEER_PYTHON = Path(__file__).resolve().parents[2] / ".bench" / "bin" / "python"


def layered_edges() -> list[tuple[int, int]]:
    """(waiter, other) by place: each task of a layer waits for three of the layer before, further ones make it even."""
    rng = random.Random(5)
    wide = TASKS // LAYERS
    edges = {
        (place, other)
        for place in range(wide + 1, TASKS + 1)
        for other in rng.sample(range((place - 1) // wide * wide - wide + 1, (place - 1) // wide * wide + 1), 3)
    }
    while len(edges) < EDGES:
        place = rng.randrange(2 * wide + 1, TASKS + 1)
        edges.add((place, rng.randrange(1, (place - 1) // wide * wide + 1)))
    return sorted(edges)


@contextmanager
def open_graph() -> Iterator[Path]:
    """A database whose open tasks are the layered graph."""
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        path = Path(directory, "ringmaster.db")
        fill_database(path, 10)
        db = connect_writer(path)
        db.execute("BEGIN").fetchall()
        db.execute("DELETE FROM dependencies").fetchall()
        first = fill_graph(db)
        db.execute("COMMIT").fetchall()
        assert first == 11
        db.close()
        yield path


def fill_graph(db: apsw.Connection) -> int:
    """Put the graph behind the tasks that are there; the place of its first task."""
    rng = random.Random(6)
    demand_id = demand(db, "p1", "", "[]")
    blockers: dict[int, int] = {}
    edges = layered_edges()
    for waiter, _ in edges:
        blockers[waiter] = blockers.get(waiter, 0) + 1
    (first,) = db.execute("SELECT max(seq) + 1 FROM tasks").fetchall()[0]
    assert isinstance(first, int)
    rows = []
    for place in range(1, TASKS + 1):
        priority, at = rng.randrange(5), AT + place
        rank = int(at) + PATIENCE_S[priority]
        rows.append(
            (first + place - 1, f"rm-{rng.getrandbits(48):x}", demand_id, priority, blockers.get(place, 0), rank, at)
        )
    db.executemany(
        "INSERT INTO tasks (seq, id, project_id, demand_id, title, description, priority, labels, acceptance,"
        " capabilities, limits, state, open_blockers, rank, created_at, updated_at, arrived_at)"
        " VALUES (?1, ?2, 'p1', ?3, 'Mend the parser', '', ?4, '[]', '[]', '[]', '{}', 'open', ?5, ?6, ?7, ?7, ?7)",
        rows,
    ).fetchall()
    ids = [row[1] for row in rows]
    db.executemany(
        "INSERT INTO dependencies (task_id, blocker_id, kind, is_open, created_at) VALUES (?, ?, 'blocks', 1, 1)",
        [(ids[waiter - 1], ids[other - 1]) for waiter, other in edges],
    ).fetchall()
    return first


async def run_ranking(path: Path, rounds: int) -> tuple[list[float], list[float], float, float]:
    """Seconds of the first run, which writes all, and of the others; how many ms ticks are late, idle and busy."""
    bus: Bus[Event] = Bus()
    async with open_store(path, on_commit=bus.publish) as store:
        paths = Paths(name="bench", state=path.parent, socket=path.parent / "s", config=path.parent / "c")
        sur = Surroundings(store=store, bus=bus, paths=paths, settings=Settings(), instance_id="bench")
        lags: list[float] = []
        first: list[float] = []
        taken: list[float] = []
        async with trio.open_nursery() as nursery:
            await run_ticks(lags, IDLE_TICKS)
            idle = percentile(lags)
            lags.clear()
            nursery.start_soon(run_ticks, lags, sys.maxsize)
            with timing(first):
                changed = await rank_graph(sur)
            assert changed > TASKS / 2, changed
            for number in range(rounds):
                # Another urgency at the far end of all chains changes the ranks of a great part.
                params = TaskEditParams(id=await store.read(last_id), priority=number % 2)
                await store.write(edit_task, params, actor="bench")
                with timing(taken):
                    await rank_graph(sur)
            nursery.cancel_scope.cancel()
        return first, taken, idle, percentile(lags)


def last_id(conn: Connection) -> str:
    """The id of the last task."""
    return str(conn.value("SELECT id FROM tasks ORDER BY seq DESC LIMIT 1"))


async def run_ticks(lags: list[float], count: int) -> None:
    """How much later than asked for each of so many ticks of the loop is, in milliseconds."""
    for _ in range(count):
        due = trio.current_time() + TICK_S
        await trio.sleep_until(due)
        lags.append((trio.current_time() - due) * 1000)


def percentile(values: list[float]) -> float:
    """The 99th."""
    return statistics.quantiles(values, n=100)[98]


def run(figures: Report) -> None:
    """Ranking first, then the page at the socket."""
    figures.head(f"rank a layered graph of {TASKS:,} open tasks and {EDGES:,} dependencies anew")
    rounds = 3 if figures.is_quick else 9
    with open_graph() as path:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        first, taken, idle, busy = trio.run(run_ranking, path, rounds)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures.figure("read, rank in a process of its own, write", taken, "s", at_most=AIM_S)
    used_s = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / (rounds + 1)
    figures.figure("    processor time of the process", [used_s], "s")
    figures.figure("    the first time, when every rank is written", first, "s")
    figures.figure("    lateness of the loop's ticks meanwhile, p99", [busy], "ms", at_most=AIM_LAG_MS)
    figures.figure("    the same of an idle loop", [idle], "ms")
    tasks = [GraphTask(place, place % 5, AT + place) for place in range(1, TASKS + 1)]
    edges = [Edge(waiter, other, EdgeKind.BLOCKS) for waiter, other in layered_edges()]
    alone: list[float] = []
    peers: list[float] = []
    for _ in range(rounds):
        with timing(alone):
            order_graph(tasks, edges, RULES)
        if PEER_PYTHON.exists():
            peers.append(run_peer(edges))
    yardstick = ("NetworkX", peers) if peers else None
    figures.figure("    the ranking alone", alone, "s", yardstick=yardstick)
    if not peers:
        figures.note("NetworkX is not there: bin/setup-bench installs it")
    run_page(figures)


def run_peer(edges: list[Edge]) -> float:
    """Seconds that NetworkX takes for the same graph, its import and the making of the graph left out."""
    said = subprocess.run(
        [PEER_PYTHON, "-I", PEER],
        input=json.dumps([(edge.waiter, edge.other) for edge in edges]),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(said.stdout)


def run_page(figures: Report) -> None:
    """`task.ready` and its explanation, as a client sees them, from few demands and from many."""
    size = QUICK_PAGE_TASKS if figures.is_quick else PAGE_TASKS
    figures.head(f"a page of 50 ready tasks at the socket, {size:,} tasks")
    with open_instance() as daemon:
        daemon.kill()
        db = connect_writer(daemon.state / "ringmaster.db")
        fill_tasks(db, size, [PROJECT])
        db.close()
        daemon.start()
        page_of(figures, daemon, "three demands")
        daemon.kill()
        db = connect_writer(daemon.state / "ringmaster.db")
        ids = [demand(db, PROJECT, "", json.dumps([f"c{number:03}"])) for number in range(DEMANDS)]
        assert ids[-1] - ids[0] == DEMANDS - 1
        # Every other task, so that each of them has some.
        sql = "UPDATE tasks SET demand_id = ? + (seq / 2) % ? WHERE state = 'open' AND seq % 2"
        db.execute(sql, (ids[0], DEMANDS)).fetchall()
        db.close()
        daemon.start()
        page_of(figures, daemon, f"{DEMANDS + 3} demands")


def page_of(figures: Report, daemon: LiveDaemon, words: str) -> None:
    """Print both calls."""
    with daemon.client() as client:
        for method, label in (("task.ready", "task ready"), ("task.order", "task ready --explain")):
            taken: list[float] = []
            for _ in range(20):
                client.call(method, {"limit": 50})
            for _ in range(50 if figures.is_quick else 200):
                began = time.perf_counter()
                found = client.call(method, {"limit": 50})
                taken.append((time.perf_counter() - began) * 1000)
            assert len(found["tasks"]) == 50
            aim = AIM_PAGE_MS if method == "task.ready" else None
            figures.figure(f"{label}, {words}", taken, "ms", at_most=aim)


if __name__ == "__main__":
    run(Report(is_quick="--quick" in sys.argv))
