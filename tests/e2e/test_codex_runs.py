"""Real CLI, scripted model: Codex edits, and the daemon commits what it leaves and holds its limits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.operator import Project
from tests.fakes.model_server import SCRIPT, Turn
from tests.fakes.model_wire import Fail, Reply, Say, Use
from tests.fakes.real_claude import Claudes, open_claudes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
CONFIG = """\
[agents.codex]
bin = "{program}"
config = "isolated"
key_env = "MODEL_KEY"
model = "gpt-5.1-codex"
extra_args = ["-c", 'model_provider="scripted"', "-c", '{provider}']
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not where the suite lies: that may be /dev/shm, and Codex's own sandbox hides all of /dev."""
    with tempfile.TemporaryDirectory(prefix="rm-", dir="/tmp") as place:
        yield Path(place)


@contextmanager
def open_codex(root: Path, program: Path) -> Iterator[Claudes]:
    """A daemon whose agent `codex` is the real program with a scripted model."""
    (root / "tmp").mkdir()
    with open_claudes(root, program, MODEL_KEY="k", TMPDIR=str(root / "tmp")) as claudes:
        provider = (
            f'model_providers.scripted={{name="scripted",base_url="{claudes.model.url}/v1"'
            ',env_key="MODEL_KEY",wire_api="responses",request_max_retries=0,stream_max_retries=0}'
        )
        operator = claudes.operator
        assert operator.daemon.stop() == 0
        config = operator.daemon.state / "config.toml"
        config.write_text(config.read_text() + CONFIG.format(program=program, provider=provider))
        operator.daemon.start()
        yield claudes


def make_project(claudes: Claudes, **config: Any) -> Project:
    # Codex refuses a home of its own below TMPDIR's default, and the tests' state lies there.
    return claudes.operator.project(agent="codex", agent_env=("TMPDIR",), **config)


def test_codex_edits_and_the_daemon_commits(tmp_path: Path, codex_program: Path):
    with open_codex(tmp_path, codex_program) as claudes:
        failing, writing = "echo broken; exit 3", "echo two > two.txt"
        uses = [Use("exec_command", {"cmd": command}) for command in (failing, writing)]
        claudes.model.script("edit", *uses, Say("I wrote two.txt."))
        project = make_project(claudes)
        (attempt,) = claudes.operator.landed(claudes.add("edit", project.name))["attempts"]
        assert project.git("show", "main:two.txt") == "two"
        assert "Agent: Codex" in project.git("log", "--format=%B", "main")
        served = claudes.model.total("edit")
        assert (attempt["tokens_in"], attempt["tokens_out"]) == (served.input, served.output)
        assert attempt["cost_usd"] == pytest.approx((served.input * 1.25 + served.output * 10) / 1e6)
        assert attempt["session_id"]
        steps = claudes.operator.json("logs", attempt["id"], "-S", "steps")["steps"]
        ends = [step for step in steps if step["kind"] == "command" and not step.get("is_start")]
        assert [(step["exit_code"], step.get("is_failed", False)) for step in ends] == [(3, True), (0, False)]
        assert failing in ends[0]["command"]
        assert ends[0]["text"].endswith("\nbroken")
        assert steps[-1]["tokens_in"] == served.input


def test_the_daemon_ends_it_at_its_turns_and_at_its_budget_and_knows_what_it_cost(tmp_path: Path, codex_program: Path):
    """One answer costs 200 * 1.25 + 20 * 10 millionths of a dollar, and it would go on for ever."""
    with open_codex(tmp_path, codex_program) as claudes:
        operator = claudes.operator
        for name in ("turns", "budget"):
            claudes.model.script(name, Use("exec_command", {"cmd": "echo again >> again.txt"}))
        project = make_project(claudes)
        turns = operator.ended(claudes.add("turns", project.name, limits={"turns": 3}))
        assert (turns["outcome"], turns["reason"]) == ("failed", "reached its maximum number of turns (3)")
        budget = operator.ended(claudes.add("budget", project.name, limits={"budget_usd": 0.001}))
        assert (budget["outcome"], budget["reason"]) == ("failed", "reached its maximum budget ($0.0010)")
        for name, attempt in (("turns", turns), ("budget", budget)):
            served = claudes.model.total(name)
            # The answer that was on its way when it was ended may or may not have come.
            assert attempt["tokens_in"] in (served.input, served.input - 200), (attempt, served)
            assert attempt["cost_usd"] == pytest.approx(attempt["tokens_in"] / 200 * 450e-6)
        assert budget["cost_usd"] >= 0.001


def test_a_retry_goes_on_with_the_same_thread_and_is_charged_for_itself(tmp_path: Path, codex_program: Path):
    with open_codex(tmp_path, codex_program) as claudes:
        prompts: dict[int, int] = {}

        def script(turn: Turn) -> Reply:
            prompts[turn.attempt] = len(SCRIPT.findall(json.dumps(turn.body["input"])))
            word = "wrong" if turn.attempt == 1 else "right"
            return Use("exec_command", {"cmd": f"echo {word} > value.txt"}) if turn.number == 0 else Say("Done.")

        claudes.model.scripts["again"] = script
        project = make_project(claudes, gate="! grep -rqw wrong --include=*.txt .")
        task = claudes.add("again", project.name)
        claudes.again(task)
        first, second = claudes.operator.landed(task)["attempts"]
        assert (first["outcome"], second["outcome"]) == ("gate_failed", "succeeded")
        assert first["session_id"] == second["session_id"] != ""
        assert prompts == {1: 1, 2: 2}, "the second run's thread holds the first one's prompt"
        served = claudes.model.total("again")
        assert first["tokens_in"] + second["tokens_in"] == served.input
        assert first["tokens_out"] + second["tokens_out"] == served.output
        assert first["tokens_in"] == second["tokens_in"]


def test_errors_of_its_api_are_not_the_tasks_fault(tmp_path: Path, codex_program: Path):
    with open_codex(tmp_path, codex_program) as claudes:
        operator = claudes.operator
        project = make_project(claudes)
        claudes.model.script("busy", Fail(500))
        claudes.model.script("login", Fail(401, "authentication_error"))
        busy = operator.ended(claudes.add("busy", project.name))
        assert busy["outcome"] == "failed"
        login = operator.ended(claudes.add("login", project.name))
        assert login["outcome"] == "failed"
        for attempt in (busy, login):
            assert operator.detail(attempt["task_id"])["view"]["task"]["counted_attempts"] == 0, attempt["reason"]
        [paused] = operator.daemon.call("events.read", type=["account.paused"])["events"]
        assert paused["data"]["account"] == login["account"]
