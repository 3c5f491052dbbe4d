"""A storm: agents at work while the daemon is killed at random moments, and what must be true afterwards."""

from __future__ import annotations

import json
import random
import select
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
Checkout = Literal["clean", "dirty", "rebasing", "elsewhere"]


class Seen(NamedTuple):
    """What a storm that went well has seen. seed: it begins the same storm again. kills: daemons that were killed."""

    seed: int
    kills: int
    landed: int


@dataclass
class Storm:
    """What a storm is made of; the seed says when it strikes."""

    kills: int
    workers: int
    tasks: int
    seed: int
    checkout: Checkout = "clean"

    def run(self, tmp_path: Path) -> Seen:
        """Run it and check everything; what was seen."""
        rng = random.Random(self.seed)
        repository = make_repository(tmp_path / "repo")
        put_checkout(repository, self.checkout)
        before = look_at(repository)
        ran = tmp_path / "ran"
        ran.mkdir()
        with open_daemon(tmp_path / "s") as daemon:
            daemon.call(
                "project.add",
                path=str(repository),
                target="main",
                config={"gate": "test -f README", "update_checkout": "clean", "max_running": 64},
            )
            daemon.call("worker.spawn", agent="scripted", count=self.workers)
            ids = [self._add(daemon, rng, number, ran) for number in range(self.tasks)]
            kills = self._strike(daemon, rng, ids, ran)
            is_parked = self.checkout in ("dirty", "rebasing")
            landed = check_aftermath(daemon, repository, ran, ids, "ringmaster/landed/main" if is_parked else "main")
            if self.checkout == "clean":
                assert git("status", "--porcelain", cwd=repository) == ""
                assert (repository / "work" / "0.txt").read_text() == "0\n"
            else:
                assert look_at(repository) == before, "the user's checkout is byte for byte as it was"
            assert daemon.stop() == 0
            assert processes_of(daemon.state) == []
        return Seen(self.seed, kills, landed)

    def _add(self, daemon: LiveDaemon, rng: random.Random, number: int, ran: Path) -> str:
        recorded: list[dict[str, Any]] = [
            {"do": "touch_outside", "path": str(ran / f"{number}"), "text": "x"},
            *({"do": "say", "text": f"line {n} of {number}"} for n in range(LINES)),
            {"do": "sleep", "seconds": round(rng.random() * 0.4, 3)},
            {"do": "write", "path": f"work/{number}.txt", "text": f"{number}\n"},
        ]
        answer = daemon.call("task.add", title=f"Task {number}", description=steps(*recorded))
        return str(answer["view"]["task"]["id"])

    def _strike(self, daemon: LiveDaemon, rng: random.Random, ids: list[str], ran: Path) -> int:
        """Kill and restart `kills` times, each at a random moment after a random event; then wait for the rest.

        Tasks are filed as they are used up, so that there is always somebody at work to be struck. Returns how many
        daemons were killed.
        """
        struck, cursor, open_ids = 0, 0, set(ids)
        while struck < self.kills or open_ids:
            trigger, skip = rng.choice(TRIGGERS), rng.randrange(3)
            for event in daemon.events(cursor):
                cursor = event["seq"]
                if event["type"] == "task.done":
                    open_ids.discard(event["task_id"])
                    if struck < self.kills and len(open_ids) < self.workers:
                        ids.append(self._add(daemon, rng, len(ids), ran))
                        open_ids.add(ids[-1])
                assert event["type"] not in ("task.failed", "decision.opened"), f"seed {self.seed}: {event}"
                if struck >= self.kills and not open_ids:
                    return struck
                if struck < self.kills and event["type"] == trigger:
                    skip -= 1
                    if skip < 0:
                        select.select([], [], [], rng.random() * 0.05)
                        daemon.kill()
                        struck += 1
                        break
            daemon.start()
        return struck


def put_checkout(repository: Path, checkout: str) -> None:
    """Leave the user's checkout as a person does: edited, in the middle of a rebase, on another branch."""
    readme = repository / "README"
    if checkout == "elsewhere":
        git("switch", "-q", "-c", "mine", cwd=repository)
        readme.write_text("edited elsewhere\n")
    elif checkout == "dirty":
        readme.write_text("edited\n")
        (repository / "untracked").write_bytes(bytes(range(256)))
        (repository / "staged").write_text("staged\n")
        git("add", "staged", cwd=repository)
    elif checkout == "rebasing":
        git("switch", "-q", "-c", "other", cwd=repository)
        readme.write_text("theirs\n")
        git("commit", "-qam", "Theirs", cwd=repository)
        git("switch", "-q", "main", cwd=repository)
        readme.write_text("ours\n")
        git("commit", "-qam", "Ours", cwd=repository)
        done = subprocess.run(["git", "rebase", "-q", "other"], cwd=repository, capture_output=True, check=False)
        assert done.returncode != 0, "the rebase stops at a conflict"


def look_at(repository: Path) -> dict[str, bytes]:
    """Every file of the checkout, the index's entries and HEAD."""
    files = {
        str(path.relative_to(repository)): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(repository).parts
    }
    files[":index"] = git("ls-files", "--stage", cwd=repository).encode()
    files[":head"] = (repository / ".git" / "HEAD").read_bytes()
    return files


def check_aftermath(daemon: LiveDaemon, repository: Path, ran: Path, ids: list[str], ref: str) -> int:
    """Each task was run once, landed once on `ref`, and left each line of its output exactly once; how many landed."""
    log = git("log", "--format=%(trailers:key=Ringmaster-Task,valueonly)", ref, cwd=repository)
    landed = Counter(line for line in log.splitlines() if line)
    assert landed == Counter(ids), "each task lands exactly once"
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
        assert git("show", f"{ref}:work/{number}.txt", cwd=repository) == f"{number}"
        _check_receipts(detail)
    seqs = [event["seq"] for event in _all_events(daemon)]
    assert seqs == list(range(1, len(seqs) + 1)), "events are dense"
    assert threading.active_count() < 20
    return landed.total()


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
