"""Calls that are wrong: each gets one clear line, changes nothing, and the daemon goes on serving."""

from __future__ import annotations

import json
import socket

import pytest

from ringmaster.protocol.codes import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_LINE_BYTES,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
)
from tests.e2e.operator import Operator, Project

DEEP = 100_000


@pytest.fixture(scope="module")
def project(operator: Operator) -> Project:
    made = operator.project()
    operator.daemon.call("worker.pause", is_all=True)
    return made


def request(method: str, params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


NESTED = b"[" * DEEP + b"]" * DEEP
LINES = {
    "bad JSON": (b'{"jsonrpc": "2.0", "id": 1, "method": "daemon.hea', PARSE_ERROR),
    "no UTF-8": (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff\xfe"}', PARSE_ERROR),
    "5 MB": (request("task.add", {"title": "x" * 5_000_000}), INVALID_REQUEST),
    "nested whole": (NESTED, PARSE_ERROR),
    "nested params": (
        b'{"jsonrpc":"2.0","id":1,"method":"task.add","params":{"title":"x","limits":%b}}' % NESTED,
        PARSE_ERROR,
    ),
    "no request": (b'"task.add"', INVALID_REQUEST),
    "another protocol": (b'{"jsonrpc": "1.0", "id": 1, "method": "daemon.health"}', INVALID_REQUEST),
    "wrong type": (request("task.add", {"title": 7}), INVALID_PARAMS),
    "wrong type inside": (request("task.add", {"title": "x", "limits": {"wall_s": "long"}}), INVALID_PARAMS),
    "out of bounds": (request("task.add", {"title": "x", "priority": 9}), INVALID_PARAMS),
    "nothing where something must be": (request("task.add", {}), INVALID_PARAMS),
    "unknown method": (request("task.explode", {}), METHOD_NOT_FOUND),
}


@pytest.mark.parametrize("name", LINES)
def test_a_wrong_line_is_answered_in_one_line_and_the_next_one_is_served(
    operator: Operator, project: Project, name: str
) -> None:
    line, code = LINES[name]
    assert name != "5 MB" or len(line) > MAX_LINE_BYTES
    with operator.nothing_changes(), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(operator.daemon.socket))
        connection.sendall(line + b"\n")
        with connection.makefile("rb") as answers:
            error = json.loads(answers.readline())["error"]
            connection.sendall(request("daemon.health", {}) + b"\n")
            assert json.loads(answers.readline())["result"]["state"] == "ok"
    assert error["code"] == code, error
    # A method that one side knows and the other does not is a difference of versions, not of taste.
    assert error["data"]["kind"] == ("protocol" if code == METHOD_NOT_FOUND else "usage")
    assert "\n" not in error["message"]
    assert len(error["message"]) < 300


def test_rmctl_tells_wrong_calls_in_one_line(operator: Operator, project: Project) -> None:
    with operator.nothing_changes():
        assert "unknown method task.explode" in operator.refused(8, "rpc", "task.explode")
        assert "title" in operator.refused(2, "rpc", "task.add", '{"title": 7}')
        operator.refused(2, "rpc", "task.add", '{"title": ')
        operator.refused(2, "rpc", "task.add", '{"title": "x", "priority": 9}')
        operator.refused(2, "add", "x", "--priority", "9")
        operator.refused(2, "task", "explode")
        assert "task.landed" in operator.refused(2, "events", "-t", "task.finished")


NOWHERE = {
    "task": ("show", "rm-zzzzz"),
    "attempt": ("attempt", "show", "rm-zzzzz/1"),
    "attempt of a task": ("logs", "rm-zzzzz"),
    "worker": ("worker", "stop", "nobody"),
    "decision": ("decision", "answer", "d-zzzzz", "yes"),
    "project": ("project", "edit", "nowhere", "--pause"),
    "project of a task": ("add", "x", "-P", "nowhere"),
    "agent": ("worker", "spawn", "--agent", "nothing"),
    "task to wait for": ("add", "x", "--after", "rm-zzzzz"),
}


@pytest.mark.parametrize("noun", NOWHERE)
def test_what_is_not_there_is_named(operator: Operator, project: Project, noun: str) -> None:
    with operator.nothing_changes():
        line = operator.refused(4, *NOWHERE[noun])
    assert any(word in line for word in ("zzzzz", "nobody", "nowhere", "nothing")), line


def test_a_wrong_state_says_which_it_is_and_changes_nothing(operator: Operator, project: Project) -> None:
    waiting = project.add("Wait")
    gone = project.add("Go")
    operator.ok("cancel", gone)
    with operator.nothing_changes():
        assert "open" in operator.refused(5, "task", "accept", waiting)
        assert "open" in operator.refused(5, "task", "reject", waiting, "-m", "no")
        assert "cancelled" in operator.refused(5, "cancel", gone)
        assert "cancelled" in operator.refused(5, "task", "edit", gone, "--title", "Stay")
        operator.refused(5, "worker", "remove", f"w-{project.name}", "-y")
        operator.refused(5, "project", "remove", project.name, "-y")


def test_a_repeat_under_one_key_changes_nothing_and_hears_the_same(operator: Operator, project: Project) -> None:
    first = operator.ok("-q", "add", "Once", "-P", project.name, "--idempotency-key", "k-1")
    with operator.nothing_changes():
        assert operator.ok("-q", "add", "Once", "-P", project.name, "--idempotency-key", "k-1") == first
        line = operator.refused(5, "add", "Twice", "-P", project.name, "--idempotency-key", "k-1")
    assert "'k-1' was used for another request" in line
