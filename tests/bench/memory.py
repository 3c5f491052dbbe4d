"""Memory of an idle daemon, and of each running attempt: its shim and what the daemon has grown by."""

from __future__ import annotations

import subprocess
import sys

from tests.bench.figures import Report
from tests.bench.instance import PROJECT, memory_kb, open_instance
from tests.fakes.daemon import LiveDaemon, processes_of

AIM_IDLE_MB = 45.0
AIM_ATTEMPT_MB = 8.0
ATTEMPTS = 20

IMPORTED = """
import apsw, click, msgspec, trio, watchdog.observers, trio_websocket
import ringmaster.daemon.app
print(next(line.split()[1] for line in open("/proc/self/smaps_rollup") if line.startswith("Rss:")))
"""


def imported_mb() -> float:
    """Resident memory of an interpreter that has imported every library and the daemon, in MB."""
    said = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True).stdout
    return int(said) / 1000


def start_attempts(daemon: LiveDaemon, count: int, project: str = PROJECT) -> None:
    """Bring `count` sleeping agents to life."""
    cursor = daemon.call("daemon.status")["cursor"]
    daemon.call("worker.spawn", id="", count=count, agent="command", command=["sleep", "3600"], project_id=project)
    for number in range(count):
        daemon.call("task.add", title=f"Sleep {number}", project_id=project)
    started = 0
    for event in daemon.events(cursor):
        started += event["type"] == "attempt.job_started" and event["data"]["kind"] == "agent"
        if started == count:
            return


def run(figures: Report) -> None:
    """Idle after a few calls, then with attempts at work."""
    figures.head("memory")
    idle, each = [], []
    for _ in range(1 if figures.is_quick else 3):
        with open_instance() as daemon:
            assert daemon.process is not None
            pid = daemon.process.pid
            for _ in range(20):
                daemon.call("daemon.status")
            idle.append(memory_kb(pid, "Rss") / 1000)
            before = memory_kb(pid, "Pss")
            start_attempts(daemon, ATTEMPTS)
            shims = [other for other in processes_of(daemon.state) if other != pid and is_shim(other)]
            assert len(shims) == ATTEMPTS, shims
            grown = memory_kb(pid, "Pss") - before
            each.append((sum(memory_kb(shim, "Pss") for shim in shims) + grown) / ATTEMPTS / 1000)
    yardstick = ("python with all imported", [imported_mb() for _ in range(3)])
    figures.figure("idle daemon, resident", idle, "MB", yardstick=yardstick, at_most=AIM_IDLE_MB)
    figures.figure(f"per running attempt of {ATTEMPTS}, proportional", each, "MB", at_most=AIM_ATTEMPT_MB)


def is_shim(pid: int) -> bool:
    """Whether a process is a shim."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"shim.py" in file.read()
