"""A storm: agents at work while the daemon is killed at random moments, and what must be true afterwards."""

from __future__ import annotations

import json
import random
import select
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.daemon import LiveDaemon, open_daemon, processes_of
from tests.fakes.house import git, make_repository, steps

TRIGGERS = (
    "attempt.started",
    "attempt.prepared",
    "attempt.job_started",
    "attempt.job_ended",
    "task.validating",
    "gate.ended",
    "task.landing",
    "task.landing",
    "task.landed",
)
LINES = 40


@dataclass
class Storm:
    """What a storm is made of; the seed says when it strikes."""

    kills: int
    workers: int
    tasks: int
    seed: int

    def run(self, tmp_path: Path) -> str:
        """Run it and check everything; a line that says what was seen."""
        rng = random.Random(self.seed)
        repository = make_repository(tmp_path / "repo")
        ran = tmp_path / "ran"
        ran.mkdir()
        with open_daemon(tmp_path / "s") as daemon:
            daemon.call(
                "project.add",
                path=str(repository),
                config={"gate": "test -f README", "update_checkout": "clean", "max_running": 64},
            )
            daemon.call("worker.spawn", agent="scripted", count=self.workers)
            ids = [self._add(daemon, rng, number, ran) for number in range(self.tasks)]
            done = self._strike(daemon, rng, set(ids))
            check_aftermath(daemon, repository, ran, ids)
            restarts = daemon.call("daemon.health")["pid"]
            assert daemon.stop() == 0
            assert processes_of(daemon.state) == []
        return f"seed {self.seed}: {self.kills} kills, {done} tasks landed, last pid {restarts}"

    def _add(self, daemon: LiveDaemon, rng: random.Random, number: int, ran: Path) -> str:
        recorded: list[dict[str, Any]] = [
            {"do": "touch_outside", "path": str(ran / f"{number}"), "text": "x"},
            *({"do": "say", "text": f"line {n} of {number}"} for n in range(LINES)),
            {"do": "sleep", "seconds": round(rng.random() * 0.4, 3)},
            {"do": "write", "path": f"work/{number}.txt", "text": f"{number}\n"},
        ]
        answer = daemon.call("task.add", title=f"Task {number}", description=steps(*recorded))
        return str(answer["view"]["task"]["id"])

    def _strike(self, daemon: LiveDaemon, rng: random.Random, open_ids: set[str]) -> int:
        """Kill and restart `kills` times, each at a random moment after a random event; then wait for the rest."""
        struck, cursor, total = 0, 0, len(open_ids)
        while open_ids:
            trigger, skip = rng.choice(TRIGGERS), rng.randrange(3)
            is_struck = False
            for event in daemon.events(cursor):
                cursor = event["seq"]
                if event["type"] == "task.done":
                    open_ids.discard(event["task_id"])
                if event["type"] in ("task.failed", "decision.opened"):
                    raise AssertionError(f"seed {self.seed}: {event}")
                if struck < self.kills and event["type"] == trigger:
                    skip -= 1
                    if skip < 0:
                        select.select([], [], [], rng.random() * 0.05)
                        daemon.kill()
                        struck += 1
                        is_struck = True
                        break
                if not open_ids:
                    break
            if is_struck:
                daemon.start()
        return total


def check_aftermath(daemon: LiveDaemon, repository: Path, ran: Path, ids: list[str]) -> None:
    """Each task was run once, landed once, and left each line of its output exactly once."""
    log = git("log", "--format=%(trailers:key=Ringmaster-Task,valueonly)", "main", cwd=repository)
    landed = Counter(line for line in log.splitlines() if line)
    assert landed == Counter(ids), "each task lands exactly once"
    assert git("status", "--porcelain", cwd=repository) == ""
    for number, task_id in enumerate(ids):
        detail = daemon.call("task.show", id=task_id)
        assert [a["outcome"] for a in detail["attempts"]] == ["succeeded"], detail["attempts"]
        assert (ran / f"{number}").read_text().strip() == "x", f"{task_id} ran more than once"
        directory = daemon.state / "attempts" / task_id / "1" / "agent"
        said = [
            json.loads(line)["text"]
            for line in (directory / "stdout").read_text().splitlines()
            if '"do": "say"' in line or '"do":"say"' in line
        ]
        assert said == [f"line {n} of {number}" for n in range(LINES)]
        ended = json.loads((directory / "exit.json").read_bytes())
        assert (ended["reason"], ended["code"]) == ("exited", 0)
        assert (repository / "work" / f"{number}.txt").read_text() == f"{number}\n"
        _check_receipts(detail)
    seqs = [event["seq"] for event in _all_events(daemon)]
    assert seqs == list(range(1, len(seqs) + 1)), "events are dense"
    assert threading.active_count() < 20


def _check_receipts(detail: Any) -> None:
    landed = detail["view"]["task"]["landed_commit"]
    greens = [receipt["commit"] for receipt in detail["receipts"] if receipt["result"] == "green"]
    assert landed in greens, "a landed commit passed its gate as the tip it became"


def _all_events(daemon: LiveDaemon) -> list[Any]:
    events: list[Any] = []
    while True:
        page = daemon.call("events.read", after=events[-1]["seq"] if events else 0, limit=5000)
        if not page["events"]:
            return events
        events += page["events"]
