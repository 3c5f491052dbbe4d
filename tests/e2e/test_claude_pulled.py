"""Real CLI, scripted model: Claude Code in a terminal of one's own, by `rmctl worker run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.e2e.conftest import find_agent
from tests.fakes.house import git
from tests.fakes.model_server import Turn
from tests.fakes.model_wire import Reply
from tests.fakes.real_claude import DONE, Claudes, bash, open_claudes, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def claudes(tmp_path: Path, left_out: Callable[[str, str], NoReturn]) -> Iterator[Claudes]:
    with open_claudes(tmp_path, find_agent("claude", left_out)) as made:
        yield made


def test_claude_code_pulls_works_and_its_work_is_landed_and_the_next_task_follows(claudes: Claudes):
    operator = claudes.operator

    def script(turn: Turn) -> Reply:
        # The second goes on from the first one's file, which it has not read.
        first = write("value.txt", "wrong\n") if turn.attempt == 1 else bash("echo right > value.txt")
        steps = (first, bash("test -s value.txt && echo tested"), DONE)
        return steps[min(turn.number, len(steps) - 1)]

    claudes.model.scripts["value"] = script
    claudes.model.script("after", bash("grep right value.txt && echo seen > after.txt"), DONE)
    project = operator.project(agent="claude", gate="! grep -rqw wrong --include=*.txt .")
    operator.daemon.call("worker.stop", id=f"w-{project.name}")
    first = claudes.add("value", project.name)
    second = claudes.add("after", project.name, after=[first])
    args = ("worker", "run", "terminal", "--agent", "claude", "-P", project.name)
    with operator.rmctl.start(*args) as process:
        try:
            claudes.again(first)
            attempts = operator.landed(first)["attempts"]
            operator.landed(second)
        finally:
            process.terminate()
            out, err = process.communicate(timeout=30)
    assert [attempt["outcome"] for attempt in attempts] == ["gate_failed", "succeeded"]
    assert [attempt["worker_id"] for attempt in attempts] == ["terminal", "terminal"]
    # Each has its own place, to which its conversation belongs.
    assert attempts[0]["session_id"] != attempts[1]["session_id"]
    assert len({attempt["workspace"] for attempt in attempts}) == 2
    served = claudes.model.total("value")
    assert sum(attempt["tokens_out"] for attempt in attempts) == served.output
    assert b"It is done." in out, "what it said was shown"
    assert git("show", "main:after.txt", cwd=project.path) == "seen"
    assert process.returncode in (0, 128 + 15), err
