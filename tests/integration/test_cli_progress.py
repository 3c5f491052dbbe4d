"""rmctl as a program on a terminal and in a pipe: what it shows while it waits, and what is left of that."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from ringmaster.model.event import Event
from ringmaster.protocol.importing import TaskImported
from ringmaster.protocol.rollout import ReloadAnswer
from ringmaster.protocol.task import TaskWaited
from ringmaster.protocol.why import Doing, Obstacle, ObstacleKind, TaskWhy
from tests.fakes.glass import Glass
from tests.fakes.rpc_results import AT, make_event, make_view
from tests.fakes.rpc_server import HangUp, Stream

STATED: dict[str, Any] = {"id": "rm-abc12", "title": "Mend", "state": "open", "first": ""}
BUSY = Obstacle(kind=ObstacleKind.BUSY, words="no seat is free")
QUEUED = TaskWhy(**STATED, shown="ready", obstacles=(BUSY,))
DOING = Doing(words="attempt rm-abc12/1 works on it", attempt_id="rm-abc12/1", since_at=AT)
RUNNING = TaskWhy(**STATED, shown="running", doing=DOING)
DONE = TaskWaited(view=make_view("done"), is_over=True)
LINE = "rm-abc12  done  Mend the parser"


def held(answer):
    """An answer that is given once the event is set."""
    go = threading.Event()

    def wait(params):
        go.wait(30)
        return answer

    return go, wait


def left(ended, columns=100):
    glass = Glass(columns)
    glass.write(ended.out)
    return glass.rows


def test_waiting_shows_what_the_task_does_and_leaves_the_answer_alone(daemon, rmctl):
    go, daemon.answers["task.wait"] = held(DONE)
    daemon.answers["events.subscribe"] = Stream("events.event", [make_event(1)])
    daemon.answers["task.why"] = RUNNING
    ended = rmctl.on_terminal("wait", "rm-abc12", seen=(b"running: attempt rm-abc12/1 works on it", go.set))
    assert (ended.code, left(ended)) == (0, [LINE])
    assert [call["task_id"] for call in raw(daemon, "events.subscribe")] == ["rm-abc12"]


def raw(daemon, method):
    return [msgspec.to_builtins(params) for params in daemon.called(method)]


def test_waiting_goes_on_showing_after_a_restart(daemon, rmctl):
    go, second = held(DONE)
    daemon.answers["task.wait"] = [HangUp(), second]
    daemon.answers["events.subscribe"] = lambda params: Stream("events.event", [])
    daemon.answers["task.why"] = lambda params: RUNNING
    assert rmctl.on_terminal("wait", "rm-abc12", seen=(b"running: attempt", go.set)).code == 0
    assert len(daemon.called("events.subscribe")) == 2


def test_waiting_in_a_pipe_says_each_state_once(daemon, rmctl):
    first_told, done = threading.Event(), threading.Event()

    def events():
        yield make_event(1)
        first_told.wait(30)
        yield make_event(2)
        yield make_event(3)

    def wait(params):
        done.wait(30)
        return DONE

    daemon.answers["events.subscribe"] = Stream("events.event", events())
    daemon.answers["task.why"] = lambda params: RUNNING if first_told.is_set() else QUEUED
    daemon.answers["task.wait"] = wait
    process = rmctl.start("wait", "rm-abc12")
    assert process.stderr is not None
    lines = [process.stderr.readline()]
    first_told.set()
    lines.append(process.stderr.readline())
    done.set()
    out, rest = process.communicate(timeout=30)
    assert lines == [
        b"rm-abc12: ready: no seat is free\n",
        b"rm-abc12: running: attempt rm-abc12/1 works on it\n",
    ]
    assert (out, rest) == (b"rm-abc12\tdone\tMend the parser\n", b"")


@pytest.mark.parametrize("option", ["-q", "-ojson"])
def test_nothing_is_asked_for_a_wait_that_nobody_watches(daemon, rmctl, option):
    daemon.answers["task.wait"] = DONE
    ended = rmctl("wait", "rm-abc12", option)
    assert (ended.code, ended.err) == (0, "")
    assert [call.method for call in daemon.calls] == ["task.wait"]


def test_ctrl_c_leaves_a_clean_line(daemon, rmctl):
    go, daemon.answers["task.wait"] = held(DONE)
    ended = rmctl.on_terminal("wait", "rm-abc12", seen=(b"waiting for it", lambda: b"\x03"))
    go.set()
    assert (ended.code, left(ended)) == (130, [])


def test_a_narrow_terminal_and_no_colour(daemon, rmctl):
    go, daemon.answers["task.wait"] = held(DONE)
    ended = rmctl.on_terminal("wait", "rm-abc12", seen=("…  0s".encode(), go.set), COLUMNS="20", NO_COLOR="1")
    assert "\x1b[36m" not in ended.out
    assert "rm-abc12: wa…  0s" in ended.out


def test_a_dumb_terminal_gets_lines(daemon, rmctl):
    go, daemon.answers["task.wait"] = held(DONE)
    ended = rmctl.on_terminal("wait", "rm-abc12", seen=(b"waiting for it", go.set), TERM="dumb")
    assert ended.out == f"rm-abc12: waiting for it\n{LINE}\n"


def test_an_import_says_what_it_takes_and_how_long_that_lasts(daemon, rmctl, tmp_path):
    issues = tmp_path / "issues.jsonl"
    issues.write_bytes(b"x" * 3_000_000)
    taken = TaskImported(
        is_dry_run=False,
        new=1,
        there_already=0,
        states={"open": 1},
        dependencies=0,
        decisions=0,
        projects={},
        notes=(),
        more_notes=0,
    )
    go, daemon.answers["task.import"] = held(taken)
    seen = (b"taking over issues.jsonl, 2.9 MiB", go.set)
    ended = rmctl.on_terminal("task", "import", "beads", str(issues), seen=seen)
    assert ended.code == 0
    assert left(ended)[0] == "new tasks     1 (1 open)"


def generation(seq: int, type: str, at: float = AT, **data: Any) -> Event:
    return Event(seq, at, f"generation.{type}", data=msgspec.Raw(msgspec.json.encode({"generation": 2, **data})))


def test_a_reload_shows_its_stages_and_the_seconds_left(daemon, rmctl):
    daemon.answers["reload.request"] = ReloadAnswer(
        state="requested", words="", running=1, cursor=7, stages=("policy", "tests"), probation_s=1e9
    )
    gate_seen, end = threading.Event(), threading.Event()

    def events():
        yield generation(8, "made", source="target", commit="c" * 40)
        yield generation(9, "gated", stage="policy", result="passed", wall_s=0.1, words="")
        gate_seen.wait(30)
        yield generation(10, "gated", stage="tests", result="passed", wall_s=0.1, words="")
        yield generation(11, "tried")
        end.wait(30)
        yield generation(12, "good")

    daemon.answers["events.subscribe"] = Stream("events.event", events())
    drawn = b"generation 2: its gate: tests  1 of 2, 50 %"

    def go_on():
        gate_seen.set()
        end.set()

    ended = rmctl.on_terminal("reload", "--wait", seen=(drawn, go_on))
    assert left(ended) == [
        "generation 2 is made: target cccccccccccc",
        "generation 2: policy passed in 0.1s",
        "generation 2: tests passed in 0.1s",
        "generation 2 is on trial",
        "generation 2 is live",
    ]
    daemon.answers["events.subscribe"] = Stream("events.event", events_of_a_trial(end := threading.Event()))
    ended = rmctl.on_terminal("reload", "--wait", seen=(b"h ", end.set))
    assert ended.code == 0
    assert "m left" in ended.out


def events_of_a_trial(end):
    yield generation(8, "made", source="target", commit="c" * 40)
    yield generation(11, "tried")
    end.wait(30)
    yield generation(12, "good")
