"""Ten tasks with dependencies through four workers on a toy repository, with the real daemon and rmctl's methods."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import git, make_repository, steps, write_step

GATE = "python3 -c \"import pathlib, sys; sys.exit(not all(p.read_text() for p in pathlib.Path('.').glob('*.txt')))\""
AFTER = {3: (1,), 4: (1, 2), 5: (3,), 6: (3, 4), 7: (), 8: (5, 6), 9: (7,), 10: (8, 9)}


def _add(daemon: LiveDaemon, number: int, ids: dict[int, str]) -> str:
    answer = daemon.call(
        "task.add",
        title=f"Task {number}",
        description=steps(write_step(f"{number}.txt", f"{number}\n"), {"do": "commit", "message": f"Do {number}"}),
        after=[ids[blocker] for blocker in AFTER.get(number, ())],
        priority=number % 3,
    )
    return str(answer["view"]["task"]["id"])


def _wait_until_done(daemon: LiveDaemon, ids: list[str]) -> list[Any]:
    left, seen = set(ids), []
    for event in daemon.events():
        seen.append(event)
        if event["type"] == "task.done":
            left.discard(event["task_id"])
        if not left:
            return seen
    raise AssertionError("the stream ended")


def test_ten_tasks_with_dependencies_each_land_once_behind_their_own_gate(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repo")
    with open_daemon(tmp_path / "s") as daemon:
        daemon.call("project.add", path=str(repository), config={"gate": GATE, "update_checkout": "clean"})
        ids: dict[int, str] = {}
        for number in range(1, 11):
            ids[number] = _add(daemon, number, ids)
        daemon.call("worker.spawn", agent="scripted", count=4)
        events = _wait_until_done(daemon, list(ids.values()))
        landed = git("log", "--format=%(trailers:key=Ringmaster-Task,valueonly)", "main", cwd=repository).split()
        assert Counter(landed) == Counter(ids.values())
        done_at = {e["task_id"]: e["seq"] for e in events if e["type"] == "task.done"}
        began_at = {e["task_id"]: e["seq"] for e in events if e["type"] == "attempt.started"}
        for number, blockers in AFTER.items():
            assert all(done_at[ids[blocker]] < began_at[ids[number]] for blocker in blockers)
        first_parents = git("rev-list", "--first-parent", "main", cwd=repository).split()
        for task_id in ids.values():
            detail = daemon.call("task.show", id=task_id)
            commit = detail["view"]["task"]["landed_commit"]
            assert commit in first_parents, "the commit became the tip itself"
            assert [r["commit"] for r in detail["receipts"] if r["result"] == "green"] == [commit]
        assert git("status", "--porcelain", cwd=repository) == ""
        assert daemon.stop() == 0


def test_agents_outlive_a_stop_and_are_adopted(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repo")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open_daemon(tmp_path / "s") as daemon:
        daemon.call("project.add", path=str(repository), config={"gate": "true", "update_checkout": "clean"})
        daemon.call("worker.spawn", agent="scripted")
        added = daemon.call(
            "task.add",
            title="Wait for a person",
            description=steps({"do": "fifo", "path": str(fifo)}, write_step("one.txt", "1\n")),
        )
        task_id = added["view"]["task"]["id"]
        daemon.wait_for(lambda event: event["type"] == "attempt.job_started")
        assert daemon.stop(signal.SIGTERM) == 0
        with open(fifo, "w") as pipe:
            pipe.write("go\n")
        daemon.start()
        daemon.wait_for(lambda event: event["type"] == "task.done" and event["task_id"] == task_id)
        detail = daemon.call("task.show", id=task_id)
        assert [attempt["outcome"] for attempt in detail["attempts"]] == ["succeeded"]
