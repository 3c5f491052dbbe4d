"""`rmctl task import` as a program against a scripted daemon."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_server import RpcServer

TAKEN = TaskImported(
    is_dry_run=False,
    new=3,
    there_already=1,
    states={"done": 1, "open": 2},
    dependencies=4,
    decisions=1,
    projects={"My Shop": "shop", "Old": "-"},
    notes=("left out: question bd-q is about no task: Who?",),
    more_notes=2,
)


@pytest.fixture
def daemon(tmp_path):
    with RpcServer(tmp_path / "rm.sock") as server:
        yield server


@pytest.fixture
def rmctl(daemon):
    return Rmctl(daemon.path)


def sent(daemon):
    return [msgspec.convert(raw, TaskImportParams) for raw in daemon.called("task.import")]


def test_it_says_what_was_taken_and_what_was_not(daemon, rmctl):
    daemon.answers["task.import"] = TAKEN
    ended = rmctl("task", "import", "ringmaster", "old.db", "--map", "My=Shop=shop", "--map", "Old=-", "--drop-circles")
    assert ended.code == 0
    assert ended.out == (
        "new tasks     3 (1 done, 2 open)\n"
        "there already 1\n"
        "dependencies  4\n"
        "decisions     1\n"
        "project       My Shop -> shop\n"
        "project       Old -> left out\n"
    )
    assert ended.err == "left out: question bd-q is about no task: Who?\nand 2 more such lines\n"
    [params] = sent(daemon)
    assert (params.kind, params.path) == ("ringmaster", f"{os.getcwd()}/old.db")
    assert params.projects == {"My=Shop": "shop", "Old": "-"}
    assert (params.is_dropping_circles, params.is_dry_run, len(params.idempotency_key)) == (True, False, 32)


def test_a_dry_run_is_said_to_be_one(daemon, rmctl):
    daemon.answers["task.import"] = TaskImported(
        is_dry_run=True,
        new=0,
        there_already=0,
        states={},
        dependencies=0,
        decisions=0,
        projects={},
        notes=(),
        more_notes=0,
    )
    ended = rmctl("task", "import", "ringmaster", "/old.db", "-n", "-P", "shop")
    assert (ended.code, ended.err) == (0, "nothing was changed\n")
    [params] = sent(daemon)
    assert (params.is_dry_run, params.project_id) == (True, "shop")


def test_programs_get_all_of_it(daemon, rmctl):
    daemon.answers["task.import"] = TAKEN
    found = json.loads(rmctl("task", "import", "ringmaster", "/old.db", "-o", "json").out)
    assert (found["new"], found["states"], found["projects"]["Old"]) == (3, {"done": 1, "open": 2}, "-")


def test_refusals_are_one_line(daemon, rmctl):
    daemon.answers["task.import"] = RingmasterError(ErrorKind.USAGE, "/old.db is no database", "give another")
    ended = rmctl("task", "import", "ringmaster", "/old.db")
    assert (ended.code, ended.out, ended.err) == (2, "", "rmctl: /old.db is no database (give another)\n")
    for words in (("jira", "/x"), ("ringmaster",), ("ringmaster", "/x", "--map", "Shop")):
        ended = rmctl("task", "import", *words)
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert len(daemon.called("task.import")) == 1


@pytest.mark.parametrize("kind", ["beads", "jsonl"])
def test_a_second_import_says_that_nothing_was_changed(daemon, rmctl, kind):
    daemon.answers["task.import"] = msgspec.structs.replace(
        TAKEN, new=0, there_already=3, states={}, notes=(), more_notes=0, changed_there=1
    )
    ended = rmctl("task", "import", kind, "issues.jsonl", "-P", "shop")
    assert "changed there 1, which stay as they are here\n" in ended.out
    assert ended.err == "nothing is new, so nothing was changed\n"
    assert [(params.kind, params.project_id) for params in sent(daemon)] == [(kind, "shop")]
