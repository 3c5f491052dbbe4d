"""Which tasks a run of `make selfhost` takes for its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from ringmaster.client import Client
from ringmaster.model.states import TaskState
from ringmaster.protocol.project import ProjectList
from ringmaster.protocol.task import TaskList, TaskView
from ringmaster.selfhost.preparing import PROJECT, find_site, find_tasks
from tests.fakes.rpc_results import make_project, make_view


class Answers:
    """A client whose daemon has one project with these tasks."""

    def __init__(self, *views: TaskView) -> None:
        self._answers: dict[str, Any] = {
            "project.list": ProjectList(projects=(make_project(id=PROJECT),)),
            "task.list": TaskList(tasks=views),
        }

    def call(self, method: str, *args: object, **more: object) -> Any:
        return self._answers[method]


def test_what_was_proposed_from_measurements_is_not_the_task_of_an_earlier_run(tmp_path: Path):
    own = make_view(id="rm-own", labels=("selfhost",))
    done = make_view(id="rm-done", labels=("selfhost",), state=TaskState.DONE)
    proposed = make_view(id="rm-proposed", labels=("selfhost", "proposed", "finding:method/task.list"))
    client = cast(Client, Answers(done, own, proposed))
    assert find_tasks(find_site(tmp_path, ""), client) == (own, 2)
    assert find_tasks(find_site(tmp_path, ""), cast(Client, Answers(done, proposed))) == (None, 1)
