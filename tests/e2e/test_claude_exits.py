"""Real CLI, scripted model: the rows of the table of exits that the night does not have, one task each."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringmaster.cli.instance import open_process, wait_gone
from tests.fakes.model_wire import Fail, Reply, Silence
from tests.fakes.real_claude import DONE, KEY, RETRIES, URL, Claudes, agent_table, bash, open_claudes, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def claudes(tmp_path_factory: pytest.TempPathFactory, claude_program: Path) -> Iterator[Claudes]:
    root = tmp_path_factory.mktemp("exits")
    nowhere = root / "nowhere"
    nowhere.write_text(f'#!/bin/sh\nANTHROPIC_BASE_URL=http://127.0.0.1:9 exec {claude_program} "$@"\n')
    nowhere.chmod(0o755)
    forbidden = agent_table("forbidden", claude_program, URL, KEY, RETRIES, key_env="OTHER_KEY")
    more = forbidden + agent_table("nowhere", nowhere, RETRIES, key_env=KEY)
    with open_claudes(root, claude_program, more=more, OTHER_KEY="sk-other") as made:
        yield made


EDIT = write("one.txt", "1\n")
EXITS: list[tuple[str, tuple[Reply, ...], dict[str, Any], str, bool, str]] = [
    ("api529", (EDIT, Fail(529, "overloaded_error")), {}, "failed", False, "529"),
    ("api400", (EDIT, Fail(400, "invalid_request_error")), {}, "failed", True, "400"),
    ("api403", (Fail(403, "permission_error"),), {"agent": "forbidden"}, "failed", False, "403"),
    ("refused", (DONE,), {"agent": "nowhere"}, "failed", False, "connect"),
    ("turns", (EDIT, bash("true")), {"limits": {"turns": 2}}, "failed", True, "maximum number of turns (2)"),
    ("budget", (EDIT, bash("true")), {"limits": {"budget_usd": 0.001}}, "failed", True, "maximum budget ($0.001)"),
    ("silent", (EDIT, Silence()), {"limits": {"idle_s": 2.0}}, "timed_out", True, "without output"),
]


def test_each_exit_ends_the_attempt_as_the_table_says(claudes: Claudes):
    operator = claudes.operator
    project = operator.project(agent="claude")
    for number, agent in enumerate(("claude", "claude", "forbidden", "nowhere")):
        operator.daemon.call("worker.spawn", id=f"more-{number}", agent=agent, project_id=project.name)
    ids = {}
    for name, replies, fields, *_ in EXITS:
        claudes.model.script(name, *replies)
        ids[name] = claudes.add(name, project.name, **{"agent": "claude", **fields})
    for name, _, _, outcome, is_counted, words in EXITS:
        attempt = operator.ended(ids[name])
        assert (attempt["outcome"], words in attempt["reason"]) == (outcome, True), (name, attempt["reason"])
        counted = operator.detail(ids[name])["view"]["task"]["counted_attempts"]
        assert counted == int(is_counted), name
        if name == "budget":
            assert 0.001 < attempt["cost_usd"] < 0.002, "it is over by one answer at most"
    paused = operator.daemon.call("events.read", type=["account.paused"])["events"]
    assert [event["data"]["account"][:7] for event in paused] == ["claude:"], "of all these 403 alone lets one rest"
    for task in ids.values():
        operator.ok("cancel", task)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "the agent says that it failed"),
        (signal.SIGTERM, "exited with 143"),
        (signal.SIGHUP, "exited with 129"),
        (signal.SIGKILL, "died of SIGKILL"),
    ],
)
def test_a_signal_ends_it_and_what_its_tool_left_running(
    claudes: Claudes, tmp_path: Path, number: signal.Signals, words: str
):
    """Its commands have a session of their own, and live on when it dies."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    operator = claudes.operator
    claudes.model.script(number.name, bash(f"echo $$ > {fifo}; sleep 1000"))
    project = operator.project(agent="claude")
    task = claudes.add(number.name, project.name)
    tool = open_process(int(fifo.read_text()), None, "tool")
    assert tool is not None
    claudes.kill_agent(operator.daemon.call("attempt.show", id=f"{task}/1"), number)
    attempt = operator.ended(task)
    assert (attempt["outcome"], attempt["reason"].startswith(words)) == ("failed", True), attempt["reason"]
    assert wait_gone([tool], 0) == []
    tool.close()
    assert operator.detail(task)["view"]["task"]["counted_attempts"] == 1
    operator.ok("cancel", task)
