"""`rmctl selfhost propose|status` with the real daemon, and with figures that a test makes up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ringmaster.client import Client
from ringmaster.protocol.event import EventPage
from ringmaster.protocol.measure import Measures, make_row, sum_up
from ringmaster.protocol.project import ProjectList
from ringmaster.protocol.task import TaskChanged, TaskList
from ringmaster.protocol.worker import WorkerList
from ringmaster.store.queries import find_sql_dir
from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import make_repository
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_results import make_event, make_project, make_view, make_worker
from tests.fakes.rpc_server import RpcServer

QUERIES = find_sql_dir() / "queries"
FILES = {
    f"part{number}.py": {"missing_lines": list(range(1, 20 + number)), "executed_lines": [90]} for number in range(7)
}


class House:
    """A project of a real daemon, and rmctl for it."""

    def __init__(self, daemon: LiveDaemon, repository: Path) -> None:
        self.daemon = daemon
        self.repository = repository
        self.name = repository.name
        self.rmctl = Rmctl(None, {"RMCTL_SOCKET": "", "RINGMASTER_STATE": str(daemon.state)})

    def json(self, *args: str) -> Any:
        ended = self.rmctl(*args, "-o", "json")
        assert ended.code == 0, ended
        return json.loads(ended.out)

    def selfhost(self, *args: str) -> Any:
        return self.json("selfhost", *args, "-P", self.name)

    def proposed(self) -> list[dict[str, Any]]:
        return list(self.json("task", "list", "-l", "proposed", "-P", self.name))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    with open_daemon(tmp_path_factory.mktemp("self") / "s") as daemon:
        yield daemon


@pytest.fixture
def house(live: LiveDaemon, tmp_path: Path) -> House:
    repository = tmp_path / f"own{len(live.call('project.list')['projects'])}"
    make_repository(repository)
    (repository / "coverage.json").write_text(json.dumps({"files": FILES}))
    made = House(live, repository)
    made.json("project", "add", str(repository), "--gate", "true")
    return made


def test_findings_are_filed_once_and_never_more_than_so_many(house: House):
    dry = house.selfhost("propose", "-n")
    assert [row["finding"] for row in dry] == [f"coverage/part{number}.py" for number in (6, 5, 4, 3, 2)]
    assert house.proposed() == [], "a dry run files nothing"
    none = house.rmctl("selfhost", "propose", "-n", "--max", "0", "-P", house.name)
    assert (none.err.count(" has to wait: "), "\n2 more have to wait\n" in none.err) == (5, True)

    filed = house.selfhost("propose", "--max", "2")
    assert [row["finding"] for row in filed] == ["coverage/part6.py", "coverage/part5.py"]
    task = house.json("show", filed[0]["id"])
    assert task["labels"] == ["selfhost", "proposed", "finding:coverage/part6.py"]
    assert "No test runs 25 of 26 statements of part6.py: lines 1-25 (coverage.json of 2" in task["description"]
    assert "Shown by: " in task["description"]
    assert len(task["acceptance"]) >= 2
    assert task["state"] == "open"

    ended = house.rmctl("selfhost", "propose", "--max", "2", "-P", house.name)
    assert (ended.code, ended.out) == (0, "")
    assert f"coverage/part6.py is open already: {filed[0]['id']}" in ended.err
    assert "coverage/part4.py has to wait: at most 2 may be open" in ended.err

    # What a person cancelled makes room for another finding, and is not filed anew.
    house.json("cancel", filed[0]["id"])
    third = house.selfhost("propose", "--max", "2", "--draft")
    assert [row["finding"] for row in third] == ["coverage/part4.py"]
    assert {row["state"] for row in house.proposed()} == {"open", "draft"}
    house.json("cancel", third[0]["id"])
    again = house.selfhost("propose", "--max", "2", "--again")
    assert [row["finding"] for row in again] == ["coverage/part6.py"]
    assert len(house.proposed()) == 2


def test_the_figures_come_from_the_daemon_that_runs(house: House):
    with Client(str(house.daemon.socket)) as client:
        for number in range(20):
            client.call("task.add", {"title": f"Task {number}", "project_id": house.name})
    shown = house.selfhost("status")
    assert {row["name"].split(".")[0] for row in shown["statements"]} <= {path.stem for path in QUERIES.glob("*.sql")}
    assert shown["statements"]
    assert int(shown["measured"].split()[0]) >= 20, "the meter counts each call"
    assert shown["methods"]
    assert all(row["calls"] > 0 and row["p99_s"] > 0 for row in shown["methods"])
    assert all(row["sum_s"] > 0 for row in shown["statements"])
    assert shown["uncovered"][0] == {"path": "part6.py", "lines": 25, "names": []}
    words = house.rmctl("selfhost", "status", "-P", house.name)
    assert "untested\tpart6.py: 25\n" in words.out
    assert "coverage.json of 2" in words.err


def test_without_a_report_what_tests_name_is_read_and_without_tests_it_is_said(house: House):
    (house.repository / "coverage.json").unlink()
    ended = house.rmctl("selfhost", "propose", "-n", "-P", house.name)
    assert (ended.code, ended.out) == (0, "")
    assert "no coverage.json and no tests: skipped" in ended.err
    for name, text in {
        "own/__init__.py": "",
        "own/a.py": "def one():\n    pass\n\n\ndef two():\n    pass\n\n\ndef three():\n    pass\n",
        "own/broken.py": "def (",
        "tests/test_a.py": "assert True\n",
    }.items():
        (house.repository / name).parent.mkdir(exist_ok=True)
        (house.repository / name).write_text(text)
    (row,) = house.selfhost("propose", "-n")
    assert row["evidence"].startswith("No test names one, three, two of own/a.py (no coverage.json in ")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--coverage", "nothing.json"), 2, "cannot read nothing.json: No such file or directory"),
        (("--coverage", "/dev/null"), 2, "/dev/null: not a report of `coverage json` (make it with: coverage json)"),
        (("--project", "nope"), 4, "no project 'nope' (there are: toy)"),
        (("--max", "-1"), 2, "-1 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(daemon: RpcServer, rmctl: Rmctl, args, code, words):
    answer_with(daemon)
    ended = rmctl("selfhost", "propose", "-n", *args)
    assert ended.code == code
    assert words in ended.err
    assert ended.err.count("\n") == 1


def answer_with(daemon: RpcServer, *tasks: Any, projects: tuple[Any, ...] = (), events: tuple[Any, ...] = ()) -> None:
    """A daemon that is slow, makes mistakes, and has seen attempts fail."""
    slow = make_row("task.list", {160: 100}, sum_s=9.0, errors=0, internal_errors=0, is_prompt=True)
    broken = make_row("logs.follow", {90: 9}, sum_s=1.0, errors=0, internal_errors=2, is_prompt=False)
    waiting = make_row("task.wait", {200: 100}, sum_s=9000.0, errors=0, internal_errors=0, is_prompt=False)
    claim = make_row("tasks.claim", {140: 400}, sum_s=12.0, errors=0, internal_errors=0, is_prompt=True)
    rpc = sum_up([slow, broken, waiting], since_at=1_800_000_000.0, until_at=1_800_000_100.0)
    daemon.answers["project.list"] = ProjectList(projects=projects or (make_project(path="/nowhere"),))
    daemon.answers["daemon.measures"] = Measures(rpc=rpc, statements=(claim,), timed_share=0.0625)
    daemon.answers["events.read"] = EventPage(events=events, cursor=0)
    daemon.answers["worker.list"] = WorkerList(workers=())
    daemon.answers["task.list"] = TaskList(tasks=tasks)
    daemon.answers["task.add"] = lambda params: TaskChanged(view=make_view(id="rm-new"))


def test_what_is_slow_or_fails_is_proposed_with_where_the_figure_comes_from(daemon: RpcServer, rmctl: Rmctl):
    failed = [
        make_event(seq=seq, type="attempt.ended", data=msgspec.Raw(b'{"outcome":"interrupted","reason":"set-up"}'))
        for seq in range(4)
    ]
    answer_with(daemon, events=tuple(failed))
    ended = rmctl("selfhost", "propose", "--agent", "claude")
    assert ended.code == 0
    assert [line.split("\t")[1] for line in ended.out.splitlines()] == [
        "errors/logs.follow",
        "failure/attempt.ended interrupted/set-up",
        "method/task.list",
        "statement/tasks.claim",
    ]
    assert "4 filed for toy; looked at 209 calls since 2027-01-15T08:00:00" in ended.err
    added = daemon.called("task.add")
    assert {params.agent for params in added} == {"claude"}
    assert len({params.idempotency_key for params in added}) == 4
    # The same figures a second time are the same requests: two calls at once file one task each.
    rmctl("selfhost", "propose", "--agent", "claude")
    assert daemon.called("task.add")[4:] == added


@pytest.mark.parametrize(
    ("agents", "for_agent", "is_draft"),
    [
        ((), "", False),
        (("claude", "codex"), "", False),
        (("scripted", "codex", "claude"), "claude", False),
        (("scripted",), "", True),
    ],
)
def test_the_scripted_agent_is_not_given_what_it_cannot_do(daemon, rmctl, agents, for_agent, is_draft):
    answer_with(daemon)
    seats = [make_worker(id=f"w-{agent}") for agent in agents]
    seats = [
        msgspec.structs.replace(seat, worker=msgspec.structs.replace(seat.worker, agent=agent))
        for seat, agent in zip(seats, agents, strict=True)
    ]
    daemon.answers["worker.list"] = WorkerList(workers=tuple(seats))
    ended = rmctl("selfhost", "propose", "--max", "1")
    (added,) = daemon.called("task.add")
    assert (added.agent, added.is_draft) == (for_agent, is_draft)
    assert ("as drafts" in ended.err) == is_draft


def test_the_project_is_the_one_that_is_marked(daemon: RpcServer, rmctl: Rmctl):
    toy = make_project(id="toy", path="/nowhere")
    own = make_project(id="own", path="/nowhere", config=msgspec.structs.replace(toy.config, is_self=True))
    answer_with(daemon, projects=(toy, own))
    assert "3 would be filed for own" in rmctl("selfhost", "propose", "-n").err
    other = make_project(id="other", path="/nowhere")
    answer_with(daemon, projects=(toy, other))
    ended = rmctl("selfhost", "propose", "-n")
    assert ended.code == 2
    assert "no project is marked as Ringmaster's own source" in ended.err
    assert "for other" in rmctl("selfhost", "propose", "-n", "--project", "other").err
