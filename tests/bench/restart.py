"""`kill -9` with very many tasks and 20 live attempts: from the start of the next daemon to its first new attempt.

The next daemon adopts the 20 first, then fills a seat that became free meanwhile (a worker's row is put in while none
runs) from the tasks that are ready. The time is that of the transaction which claims.
"""

from __future__ import annotations

import time

from ringmaster.store.connection import connect_writer, run_script
from tests.bench.figures import Report, timing
from tests.bench.filled import fill_tasks
from tests.bench.instance import PROJECT, open_instance
from tests.bench.memory import start_attempts
from tests.fakes.daemon import LiveDaemon

AIMS_S = {100_000: 1.0, 1_000_000: 1.5}
"""By the number of tasks."""
QUICK_AIMS_S = {10_000: 1.0}
ATTEMPTS = 20


def one_restart(daemon: LiveDaemon, number: int, serving: list[float]) -> float:
    """Kill it, free a seat, start it: seconds to the claim. `serving` gets those to its first answer."""
    cursor = daemon.call("daemon.status")["cursor"]
    daemon.kill()
    db = connect_writer(daemon.state / "ringmaster.db")
    run_script(
        db,
        "INSERT INTO workers (id, agent, command, project_id, state, created_at)"
        f" VALUES ('fresh{number}', 'command', '[\"sleep\", \"3600\"]', '{PROJECT}', 'active', 1)",
    )
    db.close()
    began = time.time()
    with timing(serving):
        daemon.start()
        daemon.call("daemon.status")
    started = daemon.wait_for(lambda event: event["type"] == "attempt.started", after=cursor)
    return float(started["at"]) - began


def run(figures: Report) -> None:
    """Restarts one after the other; each leaves one more live attempt."""
    for tasks, aim_s in (QUICK_AIMS_S if figures.is_quick else AIMS_S).items():
        run_size(figures, tasks, aim_s)


def run_size(figures: Report, tasks: int, aim_s: float) -> None:
    """The same with so many tasks."""
    figures.head(f"kill -9 to first dispatch, {tasks:,} tasks and {ATTEMPTS} live attempts")
    with open_instance() as daemon:
        start_attempts(daemon, ATTEMPTS)
        daemon.kill()
        db = connect_writer(daemon.state / "ringmaster.db")
        fill_tasks(db, tasks, [PROJECT])
        db.close()
        daemon.start()
        serving: list[float] = []
        first = [one_restart(daemon, number, serving) for number in range(3 if figures.is_quick else 7)]
        assert daemon.process is not None
        live = daemon.call("attempt.list", limit=1000)["attempts"]
        assert sum(attempt["state"] == "running" for attempt in live) == ATTEMPTS + len(first), live
    figures.figure("start -> first claim", first, "s", at_most=aim_s)
    figures.figure("start -> first answer of `daemon.status`", serving, "s")
