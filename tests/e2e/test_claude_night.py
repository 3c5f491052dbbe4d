"""Real CLI, scripted model: ten tasks by three real Claude Code processes at once, each ending in its own way."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.operator import Operator
from tests.fakes.house import make_repository
from tests.fakes.model_server import Turn
from tests.fakes.model_wire import Fail, Reply, Say, Use
from tests.fakes.real_claude import DONE, Claudes, bash, open_claudes, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FILES = {
    ".gitignore": "__pycache__\n",
    "README": "A small calculator.\n",
    "calc.py": "def add(a, b):\n    return a + b\n",
    "test_calc.py": (
        "import unittest\n\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n        self.assertEqual(add(0, 0), 0)\n"
    ),
}
GATE = "python3 -m unittest -q"
WEAKER = FILES["test_calc.py"].replace("        self.assertEqual(add(0, 0), 0)\n", "")
QUESTION = '{"type": "result", "status": "needs_decision", "question": "Round up or down?", "options": ["up", "down"]}'


def module(name: str, value: str = "1") -> tuple[Reply, ...]:
    """A module with its test, the test run, and the end."""
    test = (
        f"import unittest\n\nimport {name}\n\n\nclass {name.title()}Test(unittest.TestCase):\n"
        f"    def test_value(self):\n        self.assertEqual({name}.VALUE, 1)\n"
    )
    return (write(f"{name}.py", f"VALUE = {value}\n"), write(f"test_{name}.py", test), bash(GATE), DONE)


def nth(turn: Turn, *replies: Reply) -> Reply:
    return replies[min(turn.number, len(replies) - 1)]


def teach(claudes: Claudes, fifo: Path, reset_at: int) -> None:
    """Every script of the night."""
    limit = (
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", str(reset_at)),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
    )
    served = claudes.model.served
    # Three processes wait here for each other: one that were alone would wait in vain.
    together = threading.Barrier(3)

    def at_once(name: str) -> None:
        script = claudes.model.scripts[name]
        is_first = True

        def meet(turn: Turn) -> Reply:
            nonlocal is_first
            if is_first:
                is_first = False
                together.wait(60)
            return script(turn)

        claudes.model.scripts[name] = meet

    def once(name: str, first: Reply, then: tuple[Reply, ...]) -> None:
        def script(turn: Turn) -> Reply:
            return first if not any(one.script == name for one in served) else nth(turn, *then)

        claudes.model.scripts[name] = script

    claudes.model.script("right", *module("right"))
    claudes.model.script("also", *module("also"))
    claudes.model.script("weakens", Use("Read", {"file_path": "test_calc.py"}), write("test_calc.py", WEAKER), DONE)
    claudes.model.script("nothing", DONE)
    claudes.model.script(
        "denied", Use("WebFetch", {"url": "http://127.0.0.1:9/", "prompt": "what is it"}), Say("I may not look.")
    )
    claudes.model.scripts["asks"] = lambda turn: (
        nth(turn, *module("asks")) if "answers" in turn.prompt else Say(f"I must know.\n{QUESTION}")
    )
    claudes.model.scripts["wrong"] = lambda turn: (
        nth(turn, *module("wrong", "2")[:2], DONE)
        if turn.attempt == 1
        else nth(turn, bash("printf 'VALUE = 1\\n' > wrong.py"), bash(GATE), DONE)
    )
    once("limited", Fail(429, "rate_limit_error", "limit", limit), module("limited"))
    once("broken", Fail(500), module("broken"))
    once("killed", bash(f"echo on > {fifo}; sleep 1000"), module("killed"))
    for name in ("wrong", "broken", "limited"):
        at_once(name)


OUTCOMES = {
    "right": ["succeeded"],
    "also": ["succeeded"],
    "wrong": ["gate_failed", "succeeded"],
    "asks": ["needs_decision", "succeeded"],
    "denied": ["needs_decision"],
    "limited": ["rate_limited", "succeeded"],
    "broken": ["failed", "succeeded"],
    "killed": ["failed", "succeeded"],
    "nothing": ["no_changes"],
}
LANDED = ("right", "also", "wrong", "asks", "limited", "broken", "killed")


def test_a_night_of_three_claudes(tmp_path: Path, claude_program: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    repository = make_repository(tmp_path / "calc", FILES)
    with open_claudes(tmp_path, claude_program) as claudes:
        operator = claudes.operator
        teach(claudes, fifo, int(time.time()) + 4)
        project = operator.project(repository, agent="claude", gate=GATE)
        operator.daemon.call("worker.spawn", id="second", agent="claude", project_id=project.name)
        operator.daemon.call("worker.spawn", id="third", agent="subscribed", project_id=project.name)
        ids = {"killed": claudes.add("killed", project.name, agent="claude")}
        with open(fifo) as started:
            assert started.readline() == "on\n"
        claudes.kill_agent(operator.daemon.call("attempt.show", id=ids["killed"]))
        ids |= {name: claudes.add(name, project.name, agent="claude") for name in ("wrong", "broken", "asks")}
        ids["limited"] = claudes.add("limited", project.name, agent="subscribed")
        names = ("right", "also", "denied", "nothing", "weakens")
        ids |= {name: claudes.add(name, project.name, agent="claude") for name in names}
        for name in ("killed", "wrong", "broken"):
            claudes.again(ids[name])
        operator.ended(ids["asks"])
        asked = operator.json("decision", "list", "--fields", "id,task_id,question")
        question = next(row for row in asked if row["task_id"] == ids["asks"])
        operator.ok("decision", "answer", question["id"], "up")
        for name in LANDED:
            operator.landed(ids[name])
        for name in ("denied", "nothing", "weakens"):
            operator.settled(ids[name])
        details = {name: operator.detail(task_id) for name, task_id in ids.items()}
        for name, outcomes in OUTCOMES.items():
            # A process that is killed may or may not have stored its conversation; where not, going on with it is
            # tried once, said, and begun anew.
            tried = [a for a in details[name]["attempts"] if not a["report"].get("is_session_lost")]
            assert [a["outcome"] for a in tried] == outcomes, (name, details[name])
        check_counts(details)
        check_costs(claudes, details)
        check_morning(operator, ids, details)


def check_counts(details: dict[str, Any]) -> None:
    """What was not the task's fault did not count."""
    counted = {name: detail["view"]["task"]["counted_attempts"] for name, detail in details.items()}
    assert (counted["limited"], counted["asks"], counted["denied"], counted["nothing"]) == (1, 1, 0, 0)
    reset = details["limited"]["attempts"][0]
    assert reset["reason"].startswith("the agent's account is rate limited")


def check_costs(claudes: Claudes, details: dict[str, Any]) -> None:
    """Each figure is what the model served: per task, and dollars at the list price of the model that answered."""
    for name, detail in details.items():
        served = claudes.model.total(name)
        stated = [(a["tokens_in"], a["tokens_out"], a["cost_usd"]) for a in detail["attempts"]]
        assert sum(row[0] for row in stated) == served.input + served.cached, (name, stated, served)
        if name == "killed":
            continue  # the answer that it was killed over is known by its beginning alone
        assert sum(row[1] for row in stated) == served.output, (name, stated, served)
        dollars = (served.input * 3 + served.output * 15) / 1e6
        assert abs(sum(row[2] for row in stated) - dollars) < 1e-9, (name, stated, served)


def check_morning(operator: Operator, ids: dict[str, str], details: dict[str, Any]) -> None:
    """What a person reads first: three questions with their tasks, seven landed tasks, and how to go on."""
    decisions = operator.ok("decision", "list")
    assert decisions.count("\n") == 3, decisions
    for name, words in (("denied", "refused a permission"), ("nothing", "without a change"), ("weakens", "test")):
        [line] = [line for line in decisions.splitlines() if ids[name] in line]
        assert words in line, decisions
    assert any("test" in decision["question"] for decision in details["weakens"]["decisions"])
    listed = {row["id"]: row["shown"] for row in operator.json("task", "list", "--all", "--fields", "id,shown")}
    assert {name for name, task_id in ids.items() if listed[task_id] == "done"} == set(LANDED)
    assert len(listed) == 10
    table = operator.ok("task", "list", "--all")
    for name, task_id in ids.items():
        [line] = [line for line in table.splitlines() if line.startswith(task_id)]
        assert f"Task {name}" in line
    status = operator.ok("status")
    needs = [line for line in status.splitlines() if line.startswith("needs")]
    for name in ("denied", "nothing", "weakens"):
        [line] = [line for line in needs if f"\t{ids[name]}\t" in line]
        assert "rmctl decision answer d-" in line, status
    assert "queue\tdone\t7" in status, status
