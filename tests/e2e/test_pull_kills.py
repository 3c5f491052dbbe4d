"""`kill -9` of the daemon between any two steps of a pulled attempt: it goes on where the rows say."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import git, make_repository


def kill_at(daemon: LiveDaemon, type: str, after: int) -> None:
    """Kill it as soon as it has said this, and start it again."""
    daemon.wait_for(lambda event: event["type"] == type, after)
    daemon.kill()
    daemon.start()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["attempt.pulled", "attempt.prepared", "attempt.leased", "attempt.handed_in"])
def test_a_kill_after_any_step_loses_nothing(tmp_path: Path, moment: str):
    repository = make_repository(tmp_path / "repo")
    with open_daemon(tmp_path / "s") as daemon:
        daemon.call("project.add", path=str(repository), config={"gate": "true", "update_checkout": "clean"})
        task_id = daemon.call("task.add", title="One")["view"]["task"]["id"]
        done: list[Any] = []

        def work() -> None:
            # What has a key is repeated by the client itself until the daemon is back.
            with daemon.client(timeout_s=60.0) as client:
                pulled = client.call("attempt.pull", {"worker": "ann", "idempotency_key": "p"})
                (Path(pulled["workspace"]) / "one.txt").write_text("1\n")
                names = {"attempt_id": pulled["attempt"], "token": pulled["token"]}
                client.call("attempt.heartbeat", {**names, "idempotency_key": "h"})
                done.append(client.call("attempt.report", {**names, "status": "succeeded", "idempotency_key": "r"}))

        worker = threading.Thread(target=work)
        worker.start()
        kill_at(daemon, moment, 0)
        worker.join(30)
        assert done, "it was answered"
        daemon.wait_for(lambda event: event["type"] == "task.done")
        detail = daemon.call("task.show", id=task_id)
        assert [attempt["outcome"] for attempt in detail["attempts"]] == ["succeeded"]
        assert git("show", "main:one.txt", cwd=repository) == "1"


@pytest.mark.slow
def test_a_kill_while_it_is_taken_back_is_gone_on_with(tmp_path: Path):
    repository = make_repository(tmp_path / "repo")
    with open_daemon(tmp_path / "s") as daemon:
        daemon.call("project.add", path=str(repository), config={"gate": "true", "update_checkout": "clean"})
        task_id = daemon.call("task.add", title="One")["view"]["task"]["id"]
        pulled = daemon.call("attempt.pull", worker="ann", lease_s=1.0)
        (Path(pulled["workspace"]) / "half.txt").write_text("half\n")
        kill_at(daemon, "attempt.lease_expired", 0)
        ended = daemon.wait_for(lambda event: event["type"] == "attempt.ended")
        assert ended["data"]["outcome"] == "interrupted"
        attempt = daemon.call("attempt.show", id=task_id)
        assert attempt["report"]["files"] == ["half.txt"]
        assert (
            git("show", f"{attempt['head_commit']}:half.txt", cwd=daemon.state / "repositories" / "repo.git") == "half"
        )
