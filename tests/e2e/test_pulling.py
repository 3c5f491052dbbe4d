"""Tasks worked on by hand: pulled, reported, judged by the daemon, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
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
