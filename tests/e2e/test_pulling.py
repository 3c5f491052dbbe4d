"""Tasks worked on by hand: pulled, reported, judged by the daemon, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.errors import RingmasterError
from tests.e2e.operator import Operator, Project, open_operator
from tests.fakes.house import git


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with open_operator(tmp_path_factory.mktemp("op")) as made:
        yield made


def pull(operator: Operator, worker: str, **params: Any) -> Any:
    """What `attempt.pull` answers."""
    return operator.daemon.call("attempt.pull", worker=worker, **params)


def names(pulled: Any) -> dict[str, str]:
    return {"attempt_id": pulled["attempt"], "token": pulled["token"]}


def refusal(operator: Operator, method: str, **params: Any) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        operator.daemon.call(method, **params)
    return caught.value


def hand_project(operator: Operator, **config: Any) -> Project:
    """A project whose own worker is paused, so that only hands take its tasks."""
    project = operator.project(**config)
    operator.daemon.call("worker.stop", id=f"w-{project.name}")
    return project


def test_a_task_goes_from_pull_to_landing_by_a_report(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Do it by hand")
    pulled = pull(operator, "ann")
    assert (pulled["task"], pulled["attempt"], pulled["worker"]) == (task_id, f"{task_id}/1", "ann")
    (Path(pulled["workspace"]) / "one.txt").write_text("1\n")
    answer = operator.daemon.call("attempt.report", **names(pulled), status="succeeded", summary="wrote one")
    assert answer["is_final"]
    assert operator.landed(task_id)["attempts"][0]["outcome"] == "succeeded"
    assert git("show", "main:one.txt", cwd=project.path) == "1"
    again = operator.daemon.call("attempt.report", **names(pulled), status="succeeded", summary="wrote one")
    assert again == answer


def at(operator: Operator, workspace: str, *args: str, **environ: str) -> Any:
    """Run rmctl as somebody who is in a directory and has no more than that; how it ended."""
    return operator.rmctl.at(Path(workspace), *args, **environ)


def test_a_person_does_all_of_it_with_rmctl(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("By hand")
    after_id = project.add("Then this", after=[task_id])
    row = json.loads(operator.ok("pull", "--json", "--worker", "bob", "--lease", "20m"))
    assert {name: row[name] for name in ("task", "attempt", "lease_s", "branch", "worker")} == {
        "task": task_id,
        "attempt": f"{task_id}/1",
        "lease_s": 1200.0,
        "branch": f"ringmaster/{task_id}-1",
        "worker": "bob",
    }
    workspace = Path(row["workspace"])
    assert git("branch", "--show-current", cwd=workspace) == row["branch"]
    ticket = workspace / ".git" / "ringmaster-attempt.json"
    assert ticket.stat().st_mode & 0o777 == 0o600
    # The workspace says who one is, also from a directory below and with nothing in the environment.
    (workspace / "below").mkdir()
    told = at(operator, f"{workspace}/below", "build-prompt")
    assert told.code == 0, told
    assert "By hand" in told.out
    primed = operator.ok("prime")
    assert "rmctl report -m 'what was done'" in primed
    assert primed.split("rmctl heartbeat")[0].split("- End with")[1] in told.out, "one source for both"
    assert at(operator, str(workspace), "heartbeat").out == f"{task_id}/1\t1200.0\n"
    (workspace / "below" / "two.txt").write_text("2\n")
    done = at(operator, str(workspace), "report-result", "-m", "wrote two")
    assert (done.code, done.out) == (0, f"{task_id}/1\n"), done
    detail = operator.landed(task_id)
    assert detail["attempts"][0]["report"]["summary"] == "wrote two"
    assert detail["receipts"][0]["result"] == "green"
    assert operator.detail(after_id)["view"]["shown"] == "ready"
    assert json.loads(operator.ok("pull", "--json", "--worker", "bob"))["task"] == after_id
    operator.ok("cancel", after_id)
