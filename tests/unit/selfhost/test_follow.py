"""Events and output of several connections are told in one order, whatever order they arrive in."""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.follow import Follower
from ringmaster.selfhost.screen import Screen
from ringmaster.selfhost.story import Story
from tests.unit.selfhost.events import BEGUN, DONE, LANDED, PROJECT, QUESTION, TASK, event


class Daemon:
    """What a follower reads: a history, then events as the test gives them, and the logs of jobs."""

    def __init__(self, history: list[dict[str, Any]], logs: dict[str, list[dict[str, Any]]] | None = None) -> None:
        self.history = history
        self.live: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.logs = logs or {}
        self.log_may_end = threading.Event()
        self.log_may_end.set()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def call(self, method: str, params: Any, **options: Any) -> Any:
        assert method == "events.read"
        events = [one for one in self.history if one["seq"] > params.after]
        return {"events": events, "cursor": events[-1]["seq"] if events else params.after}

    def stream(self, method: str, params: Any, resume: Callable[[Any], Any]) -> Iterator[Any]:
        if method == "logs.follow":
            yield from self.logs.get(params.job, [])
            self.log_may_end.wait()
            yield {"text": "", "steps": [], "is_end": True, "stream": params.stream}
            return
        while True:
            item = self.live.get()
            if isinstance(item, RingmasterError):
                raise item
            yield item


def follow(daemon: Daemon, out: io.StringIO) -> str:
    screen = Screen(out, is_terminal=False)
    follower = Follower(lambda: cast(Client, daemon), screen, Story(TASK, PROJECT))
    return follower.follow()


def step(text: str, kind: str = "tool") -> dict[str, Any]:
    return {"text": text, "steps": [{"kind": kind, "text": text}], "is_end": False, "stream": "steps"}


def gate_text(text: str) -> dict[str, Any]:
    return {"text": text, "steps": [], "is_end": False, "stream": "gate"}


def test_it_tells_the_whole_run_in_order():
    logs = {
        "agent": [step("edit a.py"), step("19\n18", "other")],
        "gate-1": [gate_text("ruff: fi"), gate_text("ne\n7 pas"), gate_text("sed")],
    }
    daemon, out = Daemon(BEGUN[:1], logs), io.StringIO()
    for one in [*BEGUN[1:], event(49.0, "attempt.job_ended", kind="gate-1", reason="exited", code=0), *LANDED, DONE]:
        daemon.live.put(one)
    assert follow(daemon, out) == "landed"
    lines = [
        line.split(maxsplit=1)[-1].strip() if line[:1].isdigit() else line.strip()
        for line in out.getvalue().splitlines()
    ]
    wanted = ["edit a.py", "19", "18", "agent      exited with status 0", "ruff: fine", "7 passed"]
    assert [line for line in lines if line in wanted] == wanted
    assert lines[-1] == f"landed     {'e' * 40}"


def test_a_jobs_end_waits_for_its_output():
    daemon, out = Daemon([], {"agent": [step("late words")]}), io.StringIO()
    daemon.log_may_end.clear()
    for one in [*BEGUN[:-1], *LANDED, DONE]:
        daemon.live.put(one)
    daemon.log_may_end.set()
    follow(daemon, out)
    text = out.getvalue()
    assert text.index("late words") < text.index("exited with status 0") < text.index("validating")


def test_a_finished_task_is_told_from_history_alone():
    daemon, out = Daemon([*BEGUN, *LANDED, DONE]), io.StringIO()
    assert follow(daemon, out) == "landed"


def test_an_old_failure_is_history_and_a_new_one_the_end():
    red = [
        event(60.0, "attempt.ended", outcome="gate_failed", reason="red"),
        event(60.0, "task.opened", reason="red"),
    ]
    daemon, out = Daemon([*BEGUN, *red]), io.StringIO()
    for one in [{**one, "seq": one["seq"] + 900, "at": one["at"] + 90} for one in [*BEGUN[1:], *red]]:
        daemon.live.put(one)
    assert follow(daemon, out) == "red"
    assert daemon.live.empty()


def test_an_open_decision_of_an_earlier_run_ends_it_at_once():
    daemon = Daemon([*BEGUN, event(20.0, "decision.opened", "d-1", **QUESTION)])
    assert follow(daemon, io.StringIO()) == "decision"


def test_a_lost_daemon_is_an_error_in_words():
    daemon = Daemon(BEGUN[:1])
    daemon.live.put(RingmasterError(ErrorKind.UNREACHABLE, "the daemon has died"))
    with pytest.raises(RingmasterError, match="has died"):
        follow(daemon, io.StringIO())


def test_output_that_cannot_be_read_does_not_end_the_story():
    class Unreadable(Daemon):
        def stream(self, method: str, params: Any, resume: Callable[[Any], Any]) -> Iterator[Any]:
            if method == "logs.follow":
                raise RingmasterError(ErrorKind.NOT_FOUND, "the output is gone")
            yield from super().stream(method, params, resume)

    daemon, out = Unreadable([]), io.StringIO()
    for one in [*BEGUN, *LANDED, DONE]:
        daemon.live.put(one)
    assert follow(daemon, out) == "landed"
    assert "the output is gone" in out.getvalue()


def test_on_a_terminal_the_last_line_says_what_is_under_way():
    daemon, out = Daemon(BEGUN[:2]), io.StringIO()

    class Watched(Screen):
        def passing(self, text: str, ago_s: float | None = None) -> None:
            super().passing(text, ago_s)
            for one in [*BEGUN[2:], *LANDED, DONE]:
                daemon.live.put(one)

    follower = Follower(lambda: cast(Client, daemon), Watched(out, is_terminal=True), Story(TASK, PROJECT))
    assert follower.follow() == "landed"
    assert "making the workspace" in out.getvalue()


def test_control_characters_of_an_agent_stay_out_of_the_terminal():
    daemon, out = Daemon([], {"agent": [step("\x1b[2Jgone\x07")]}), io.StringIO()
    for one in [*BEGUN, *LANDED, DONE]:
        daemon.live.put(one)
    follow(daemon, out)
    assert "\x1b" not in out.getvalue()
    assert "gone" in out.getvalue()
