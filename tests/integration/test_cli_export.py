"""`rmctl task export` and `rmctl task comment` as programs against a scripted daemon."""

from __future__ import annotations

import json
import os

import msgspec
import pytest

from ringmaster.protocol.comment import TaskCommentParams
from ringmaster.protocol.exporting import TaskExported, TaskExportParams
from ringmaster.protocol.task import TaskChanged
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_results import make_view
from tests.fakes.rpc_server import RpcServer


@pytest.fixture
def daemon(tmp_path):
    with RpcServer(tmp_path / "rm.sock") as server:
        yield server


@pytest.fixture
def rmctl(daemon):
    return Rmctl(daemon.path)


def sent(daemon: RpcServer) -> list[TaskExportParams]:
    return [msgspec.convert(raw, TaskExportParams) for raw in daemon.called("task.export")]


def test_a_file_is_named_wholly_and_what_is_not_in_it_is_said(daemon, rmctl):
    daemon.answers["task.export"] = TaskExported(
        path="/x/issues.jsonl", tasks=3, notes=("left out: rm-1, its row cannot be read",), more_notes=1
    )
    ended = rmctl("task", "export", "beads", "issues.jsonl", "-P", "shop")
    assert (ended.code, ended.out) == (0, "tasks         3\nfile          /x/issues.jsonl\n")
    assert ended.err == "left out: rm-1, its row cannot be read\nand 1 more such lines\n"
    [params] = sent(daemon)
    assert (params.kind, params.path, params.project_id) == ("beads", f"{os.getcwd()}/issues.jsonl", "shop")
    assert json.loads(rmctl("task", "export", "jsonl", "x", "-o", "json").out)["tasks"] == 3


def test_a_comment_is_sent_as_it_was_written(daemon, rmctl):
    daemon.answers["task.comment"] = TaskChanged(view=make_view(id="rm-1"), note="commented")
    assert rmctl("task", "comment", "rm-1", "Mind the gap.").code == 0
    [params] = [msgspec.convert(raw, TaskCommentParams) for raw in daemon.called("task.comment")]
    assert (params.id, params.text) == ("rm-1", "Mind the gap.")
    assert rmctl("task", "comment", "rm-1", " ").code == 2
