"""A storm of pullers: many processes pull, work and report while they, and the daemon, are killed at random moments."""

from __future__ import annotations

import random
import selectors
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.daemon import LiveDaemon, open_daemon, processes_of
from tests.fakes.house import git, make_repository

PULLER = Path(__file__).with_name("puller.py")
ROOT = PULLER.parents[2]
MOMENTS = ("pulled", "written", "alive", "reported")
CONFIG = "[limits]\ncancel_grace_s = 0.2\n[daemon]\nmax_running = 200\n"


class Seen(NamedTuple):
    """What a storm has seen. done: tasks that were done once each; kills, daemon_kills: that struck."""

    seed: int
    done: int
    attempts: int
    kills: int
    daemon_kills: int

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.done} tasks done once each in {self.attempts} attempts, {self.kills} kills of "
            f"pullers and {self.daemon_kills} of the daemon"
        )


@dataclass
class PullStorm:
    """What it is made of. landing_every: each so many-th task needs a change, a gate and a landing.

    kills: of pullers; daemon_kills: of the daemon, spread over them.
    """

    tasks: int
    pullers: int
    kills: int
    daemon_kills: int
    seed: int
    lease_s: float = 1.0
    landing_every: int = 1
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _made: int = 0

    def run(self, tmp_path: Path) -> Seen:
        """Run it and check everything."""
        rng = random.Random(self.seed)
        repository = make_repository(tmp_path / "repo")
        state = tmp_path / "s"
        state.mkdir()
        (state / "config.toml").write_text(CONFIG)
        with open_daemon(state) as daemon:
            config = {"gate": "test -f README", "update_checkout": "clean", "max_running": 200}
            daemon.call("project.add", path=str(repository), target="main", config=config)
            ids = self._file_tasks(daemon)
            try:
                struck = self._strike(daemon, rng, set(ids))
            finally:
                for process in self._running.values():
                    process.kill()
                    process.communicate()
            attempts = self._check(daemon, repository, ids)
            assert daemon.stop() == 0
            assert processes_of(daemon.state) == []
        return Seen(self.seed, len(ids), attempts, *struck)

    def _file_tasks(self, daemon: LiveDaemon) -> list[str]:
        ids = []
        with daemon.client() as client:
            for number in range(self.tasks):
                is_landed = number % self.landing_every == 0
                title = f"{'Write' if is_landed else 'Think'} {number}"
                params = {"title": title, "is_diff_needed": is_landed, "max_attempts": 1000}
                ids.append(str(client.call("task.add", params)["view"]["task"]["id"]))
        return ids

    def _start(self, daemon: LiveDaemon, selector: selectors.BaseSelector) -> None:
        self._made += 1
        process = subprocess.Popen(
            (sys.executable, PULLER, str(daemon.socket), f"p{self._made}", str(self.lease_s)),
            bufsize=0,
            cwd=ROOT,
            env={**daemon.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        self._running[process.stdout.fileno()] = process
        selector.register(process.stdout, selectors.EVENT_READ, process)

    def _strike(self, daemon: LiveDaemon, rng: random.Random, left: set[str]) -> tuple[int, int]:
        """Read what the pullers say and kill at it, until every task is done: kills of pullers, and of the daemon."""
        killed = daemon_killed = cursor = 0
        with selectors.DefaultSelector() as selector:
            for _ in range(self.pullers):
                self._start(daemon, selector)
            while left:
                for key, _ in selector.select(0.2):
                    process = key.data
                    line = process.stdout.readline()
                    word = line.split()[0].decode() if line else ""
                    is_struck = word in MOMENTS and killed < self.kills and rng.random() < self._chance(len(left))
                    if is_struck:
                        process.kill()
                        killed += 1
                    if is_struck or not line:
                        selector.unregister(process.stdout)
                        self._running.pop(process.stdout.fileno())
                        process.communicate()
                        assert is_struck, "a puller ended by itself"
                        self._start(daemon, selector)
                    if is_struck and killed * self.daemon_kills // self.kills > daemon_killed:
                        daemon.kill()
                        daemon_killed += 1
                        daemon.start()
                cursor = self._look(daemon, cursor, left)
        return killed, daemon_killed

    def _chance(self, left: int) -> float:
        """Of a kill at each step, so that they are spread over all the tasks."""
        return min(1.0, 2.0 * self.kills / (len(MOMENTS) * self.tasks)) if left else 0.0

    def _look(self, daemon: LiveDaemon, cursor: int, left: set[str]) -> int:
        """Take in what has happened; what was interrupted is put back at once, for time is not what is tested."""
        while True:
            page = daemon.call("events.read", after=cursor, limit=5000)["events"]
            for event in page:
                cursor = event["seq"]
                assert event["type"] != "task.failed", f"seed {self.seed}: {event}"
                if event["type"] == "task.done":
                    left.discard(event["task_id"])
                elif event["type"] == "decision.opened":
                    daemon.call("decision.answer", id=event["decision_id"], answer="retry")
                elif event["type"] == "attempt.ended" and event["data"]["outcome"] == "interrupted":
                    self._retry(daemon, event["task_id"])
            if len(page) < 5000:
                return cursor

    def _retry(self, daemon: LiveDaemon, task_id: str) -> None:
        if daemon.call("task.show", id=task_id)["view"]["task"]["state"] == "open":
            daemon.call("task.retry", id=task_id)

    def _check(self, daemon: LiveDaemon, repository: Path, ids: list[str]) -> int:
        """Each task done once, by one attempt that succeeded after others that did not; each landing once."""
        landed = git("log", "--format=%(trailers:key=Ringmaster-Task,valueonly)", "main", cwd=repository).split()
        needed = ids[:: self.landing_every]
        assert Counter(landed) == Counter(set(landed)), "each task lands once"
        assert set(needed) <= set(landed)
        attempts = 0
        with daemon.client() as client:
            for task_id in ids:
                detail: Any = client.call("task.show", {"id": task_id})
                outcomes = [attempt["outcome"] for attempt in detail["attempts"]]
                attempts += len(outcomes)
                assert detail["view"]["task"]["done_by"] == "landed", detail["view"]
                assert outcomes[-1] == "succeeded", outcomes
                assert set(outcomes[:-1]) <= {"interrupted"}, outcomes
        for task_id in set(landed):
            assert git("show", f"main:work/{task_id}.txt", cwd=repository) == task_id
        return attempts
