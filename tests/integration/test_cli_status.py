"""rmctl as a program against a scripted daemon: status, health, version, rpc, gc, and how a call ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from ringmaster.protocol.daemon import GcResult, ParkedView, PausedView, QueueCounts, RestingView, Version
from tests.fakes.rmctl import RMCTL
from tests.fakes.rpc_results import make_decision, make_event, make_health, make_status, make_worker
from tests.fakes.rpc_server import Stream

BUSY = make_status(
    health=make_health(is_kept=False),
    queue=QueueCounts(ready=3, done=12),
    workers=(make_worker("working", task_id="rm-abc12", task_title="Mend the parser"),),
    decisions=(make_decision(),),
    parked=(ParkedView(project_id="toy", ref="r", commit="c", reason="dirty", command="git -C /t merge x"),),
    paused=(PausedView(project_id="toy", reason="base red"),),
    projects=1,
    resting=(
        RestingView(account="claude:1", agent="claude", label="a@b.example", until_at=1.8e9, reason="session limit"),
    ),
)


def test_status_in_a_pipe_is_a_fact_a_line(daemon, rmctl):
    daemon.answers["daemon.status"] = BUSY
    assert rmctl("status").out.splitlines() == [
        "daemon\tdefault\tok\t4242\tunkept",
        "needs\tunkept\tdefault\tnobody restarts the daemon\trmctl daemon start",
        "needs\taccept\trm-abc12\tLet it land?\trmctl decision answer d-q1w2e accept|reject",
        "needs\tpaused\ttoy\tbase red\trmctl project edit toy --resume",
        "needs\tparked\ttoy\tdirty\tgit -C /t merge x",
        "queue\tready\t3",
        "queue\tdone\t12",
        "worker\tw1\tworking\tscripted\trm-abc12\tMend the parser",
        "account\tclaude\ta@b.example\t2027-01-15T08:00:00.000Z\tsession limit",
    ]


def test_on_a_terminal_what_needs_a_person_comes_first(daemon, rmctl):
    daemon.answers["daemon.status"] = BUSY
    shown = rmctl.on_terminal("status").out
    assert shown.index("needs you") < shown.index("queue") < shown.index("workers")
    assert "rmctl decision answer d-q1w2e accept|reject" in shown
    assert re.search(r"claude, a@b\.example, rests until 2027-01-15 \d\d:\d\d: session limit", shown)
    assert "\x1b[" in shown
    assert "\x1b[" not in rmctl.on_terminal("status", "--no-color").out
    rmctl.environ["NO_COLOR"] = "1"
    assert "\x1b[" not in rmctl.on_terminal("status").out


def test_a_new_instance_is_told_what_to_do(daemon, rmctl):
    daemon.answers["daemon.status"] = make_status()
    assert "rmctl project add PATH" in rmctl.on_terminal("status", "--no-color").out


def test_watch_draws_upon_events_and_once_for_a_burst(daemon, rmctl):
    daemon.answers["daemon.status"] = [
        make_status(cursor=1),
        make_status(cursor=4, queue=QueueCounts(running=1)),
        make_status(cursor=5, queue=QueueCounts(done=1)),
    ]
    daemon.answers["events.subscribe"] = Stream("events.event", [make_event(seq) for seq in (2, 3, 4, 5)])
    ended = rmctl("status", "--watch", "-o", "jsonl")
    assert [json.loads(line)["cursor"] for line in ended.out.splitlines()] == [1, 4, 5]
    assert daemon.called("events.subscribe")[0].after == 1


def test_status_as_json_is_the_result_itself(daemon, rmctl):
    daemon.answers["daemon.status"] = BUSY
    found = json.loads(rmctl("status", "-o", "json").out)
    assert found["health"]["started_at"] == "2027-01-15T08:00:00.000Z"
    assert found["workers"][0]["worker"]["id"] == "w1"


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("degraded", 1), ("stopping", 1), ("estop", 1)])
def test_health_is_an_exit_code(daemon, rmctl, state, code):
    daemon.answers["daemon.health"] = make_health(state=state, words="the disk is full")
    ended = rmctl("health")
    assert ended.code == code
    assert ended.out.startswith(state)


def test_version_of_both(daemon, rmctl):
    daemon.answers["daemon.version"] = Version(
        version="9.9", protocol=1, schema=3, python="3.13", sqlite="3.54", git="2.39"
    )
    assert "ringmasterd   9.9\n" in rmctl("version").out
    assert json.loads(rmctl("version", "-ojson").out)["daemon"]["schema"] == 3


def test_rpc_passes_json_on_untouched(daemon, rmctl):
    daemon.answers["any.method"] = lambda params: {"got": params, "made_at": 1.5}
    ended = rmctl("rpc", "any.method", '{"a": [1, {"b": null}]}', "-o", "jsonl")
    assert json.loads(ended.out) == {"got": {"a": [1, {"b": None}]}, "made_at": 1.5}
    assert json.loads(rmctl("rpc", "any.method", "-", stdin=b'{"a": "-"}').out)["got"] == {"a": "-"}


@pytest.mark.parametrize("params", ["[1]", "{", "3", '{"a": }'])
def test_rpc_with_what_is_no_object_says_so(rmctl, params):
    ended = rmctl("rpc", "any.method", params)
    assert ended.code == 2
    assert "PARAMS is no JSON object" in ended.err


def test_gc_says_what_went_and_what_stays(daemon, rmctl):
    daemon.answers["daemon.gc"] = GcResult(
        removed=("workspace toy/rm-1",), kept=("rm-2: not kept yet",), freed_bytes=3 << 20, is_dry_run=True
    )
    ended = rmctl("gc", "--dry-run")
    assert ended.out == "removed\tworkspace toy/rm-1\nkept\trm-2: not kept yet\n"
    assert ended.err == "would free 3.0 MiB\n"
    assert daemon.called("daemon.gc")[0].is_dry_run


def test_ctrl_c_is_130_and_says_nothing(daemon, rmctl):
    """The second event is never sent, so rmctl waits when the signal comes."""
    daemon.answers["daemon.status"] = make_status()
    with rmctl.start("rpc", "hang") as process:
        daemon.answers["hang"] = lambda _: (process.send_signal(signal.SIGINT), process.wait())[1]
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_a_closed_pipe_is_silent(daemon, rmctl):
    daemon.answers["events.read"] = {"events": [make_event(seq) for seq in range(1, 5001)], "cursor": 5000}
    line = f"'{RMCTL}' events --after-cursor 0 -n 5000 | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env=rmctl.environ, timeout=30, check=False)
    assert done.stdout.startswith(b"1\t")
    assert done.stderr == b""


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_no_error(daemon, rmctl, redirection):
    daemon.answers["daemon.status"] = BUSY
    line = f"'{RMCTL}' status {redirection}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env=rmctl.environ, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_the_terminals_encoding_lacks_is_spelled_out(daemon, rmctl):
    daemon.answers["daemon.status"] = make_status(workers=(make_worker("working", task_title="日本"),))
    rmctl.environ |= {"LC_ALL": "en_US.ISO-8859-1", "PYTHONCOERCECLOCALE": "0"}
    ended = rmctl("status")
    assert ended.code == 0
    assert "working" in ended.out


def test_an_answer_that_does_not_come_is_124(daemon, rmctl):
    read, write = os.pipe()
    daemon.answers["slow"] = lambda _: os.read(read, 1)
    try:
        ended = rmctl("rpc", "slow", "--timeout", "0.2")
    finally:
        os.close(write)
        os.close(read)
    assert ended.code == 124
    assert "in time" in ended.err


def test_another_protocol_is_8(daemon, rmctl):
    from ringmaster.model.errors import ErrorKind, RingmasterError

    daemon.answers["daemon.status"] = RingmasterError(ErrorKind.PROTOCOL, "protocols differ", "restart it")
    assert rmctl("status").code == 8
