"""The order of work through a real daemon: what a P0 waits for is given out first, and rmctl says why."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import make_repository
from tests.fakes.rmctl import Rmctl


def add(rmctl: Rmctl, *words: str) -> str:
    """A task's id."""
    ended = rmctl("add", *words, "--no-diff", "-q")
    assert ended.code == 0, ended.err
    return ended.out.strip()


def begun(daemon: LiveDaemon, count: int) -> list[str]:
    """The tasks of the first attempts, in their order."""
    found: list[str] = []

    def is_last(event: dict[str, str]) -> bool:
        if event["type"] == "attempt.started":
            found.append(event["task_id"])
        return len(found) == count

    daemon.wait_for(is_last)
    return found


def test_what_a_p0_waits_for_goes_first_and_each_term_is_told(tmp_path: Path):
    repository = make_repository(tmp_path / "repository")
    with open_daemon(tmp_path / "s") as daemon:
        config = {"gate": "true", "update_checkout": "never"}
        daemon.call("project.add", path=str(repository), id="toy", config=config)
        rmctl = Rmctl(daemon.socket)
        alone = add(rmctl, "alone", "-p", "1")
        blocker = add(rmctl, "blocker", "-p", "4")
        urgent = add(rmctl, "urgent", "-p", "0", "--after", blocker)
        daemon.wait_for(lambda event: event["type"] == "order.changed")
        explained = json.loads(rmctl("task", "ready", "--explain", "-o", "json").out)
        assert [(task["id"], task["inherited_from"]) for task in explained] == [(blocker, urgent), (alone, "")]
        assert f'"{blocker}" -> "{urgent}" [color=red];' in rmctl("task", "graph", urgent, "-o", "dot").out
        daemon.call("worker.spawn", id="w", agent="command", command=["true"], project_id="toy")
        assert begun(daemon, 3) == [blocker, urgent, alone]
