"""What asks a person before it is tried: what they are shown, and that their yes is enough to make it good and live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.house import git, steps, write_step
from tests.fakes.own_source import PROJECT, OwnSource, open_own_source
from tests.fakes.rmctl import Rmctl
from tests.fakes.unharmed import Unharmed, open_unharmed

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]

INIT, PATIENCE = "ringmaster/__init__.py", "ringmaster/reload/patience.py"
TOY, HELD = "tests/unit/test_toy.py", "tests/contract/test_held.py"
TESTS = "def test_sum():\n    assert 1 + 1 == 2\n    assert 2 + 2 == 4\n"
# What it says is no part of an assertion: to change it is not to weaken the test.
HOLDS = (
    "import pathlib\n\n\ndef test_name():\n    words = {words!r}\n"
    "    assert words in pathlib.Path('ringmaster/__init__.py').read_text()\n"
)
NEWER = '"""Newer."""\n\n__version__ = "9.{}"\n'
VERSION = '__version__ = "9.{}"'
QUERIES = "sql/queries/events.sql"
PYTHON = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"
# An interpreter with pytest, as a set-up makes one.
SETUP = [
    f"mkdir -p .venv/bin; printf '#!/bin/sh\\nexec {PYTHON} \"$@\"\\n' >.venv/bin/python; chmod +x .venv/bin/python"
]


class Asked:
    """A person with rmctl before a daemon that asks."""

    def __init__(self, own: OwnSource, unharmed: Unharmed) -> None:
        self.own = own
        self.unharmed = unharmed
        self.rmctl = Rmctl(own.daemon.socket)
        self.base = str(own.daemon.call("daemon.version")["version"])
        own.daemon.call("worker.spawn", agent="scripted", id="w")

    @property
    def running(self) -> int:
        return self.own.generation

    def work(self, title: str, files: dict[str, str]) -> None:
        """Have an agent change files of the source."""
        written = [write_step(name, text) for name, text in files.items()]
        self.own.daemon.call("task.add", title=title, description=steps(*written), project_id=PROJECT)

    def restart(self) -> None:
        """Kill the daemon, and start it again."""
        self.own.daemon.kill()
        self.own.daemon.start()
        self.reconnect()

    def reconnect(self) -> None:
        self.unharmed.reconnect()
        self.unharmed.pid = self.unharmed.steady.ask("daemon.health")["pid"]

    def show(self, decision_id: str) -> str:
        """What the terminal shows of a question, without the indent of its detail."""
        return self.ok("decision", "show", decision_id).replace("\n  ", "\n")

    def ok(self, *words: str) -> str:
        ended = self.rmctl(*words)
        assert ended.code == 0, ended
        return ended.out

    def wait_question(self, after: int) -> Any:
        """The event of the next question about a release; while it is open, what ran before serves."""
        serves = self.running
        event = self.own.daemon.wait_for(
            lambda seen: seen["type"] in ("generation.put_off", "generation.good", "generation.bad"), after
        )
        assert (event["type"], bool(event.get("decision_id"))) == ("generation.put_off", True), event
        self.unharmed.assert_serves(serves)
        row = self.unharmed.row(event["data"]["generation"])
        assert (row["state"], row["reason"]) == ("candidate", f"waits for decision {event['decision_id']}")
        assert f"generation {row['id']}" in self.ok("decision", "list")
        return event

    def accept(self, event: Any) -> int:
        """Say yes at the terminal; the cursor from before."""
        after = self.own.cursor
        with self.unharmed.open_repository_kept():
            self.ok("decision", "answer", event["decision_id"], "accept")
        return after

    def check_live(self, generation: int, after: int, version: str) -> None:
        """It is good and serves, on the connection of before, and nobody is asked any more."""
        with self.unharmed.open_repository_kept():
            event = self.own.wait_settled(after)
        assert (event["type"], event["data"]["generation"]) == ("generation.good", generation), event
        self.unharmed.assert_serves(generation)
        assert self.own.daemon.call("daemon.version")["version"] == version
        assert version in self.ok("version")
        assert self.own.daemon.call("decision.list")["decisions"] == []
        results = {one["stage"]: one["result"] for one in self.unharmed.row(generation)["receipts"]}
        assert {name: results[name] for name in ("import", "gate", "boot")} == dict.fromkeys(
            ("import", "gate", "boot"), "passed"
        )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    files = {TOY: TESTS, HELD: HOLDS.format(words="__version__"), "Makefile": "all:\n\ttrue\n", ".gitignore": ".venv\n"}
    config: dict[str, Any] = {"update_checkout": "clean", "protected": [QUERIES], "setup": SETUP, "cache": [".venv"]}
    root = tmp_path_factory.mktemp("own")
    with open_own_source(root, files=files, **config) as own, open_unharmed(own) as unharmed:
        unharmed.find_first()
        yield Asked(own, unharmed)


def test_a_weakened_test_is_shown_in_both_texts_and_accepted_it_is_live(asked: Asked) -> None:
    own, after = asked.own, asked.own.cursor
    weaker = TESTS.replace("    assert 2 + 2 == 4\n", "")
    own.commit({TOY: weaker, **own.append(INIT, "# weaker\n")})
    event = asked.wait_question(after)
    shown = asked.show(event["decision_id"])
    for words in (f"test weakened: {TOY}::test_sum", "--- running", "+++ candidate"):
        assert words in shown
    before, _, now = shown.partition("+++ candidate")
    assert "assert 2 + 2 == 4" in before
    assert "assert 2 + 2 == 4" not in now
    assert "assert 1 + 1 == 2" in now
    asked.check_live(event["data"]["generation"], asked.accept(event), asked.base)


def test_a_question_that_a_killed_daemon_asked_is_asked_once_and_its_answer_counts(asked: Asked) -> None:
    own, after = asked.own, asked.own.cursor
    own.commit({TOY: None, INIT: NEWER.format(1)})
    event = asked.wait_question(after)
    assert "+++ candidate\n(removed)" in asked.show(event["decision_id"])
    asked.restart()
    (question,) = own.daemon.call("decision.list")["decisions"]
    assert question["id"] == event["decision_id"]
    after = asked.accept(event)
    # In the middle of what follows, which takes some seconds.
    asked.restart()
    asked.check_live(event["data"]["generation"], after, "9.1")
    asked_for = [one for one in own.daemon.call("events.read", limit=500)["events"] if one["type"] == "decision.opened"]
    assert len(asked_for) == 2


def test_a_question_of_a_killed_daemon_is_taken_back_with_its_change(asked: Asked) -> None:
    own, after = asked.own, asked.own.cursor
    own.commit({TOY: TESTS, HELD: None, INIT: NEWER.format("0")})
    event = asked.wait_question(after)
    own.daemon.kill()
    git("reset", "--quiet", "--hard", "HEAD~", cwd=own.repository)
    own.daemon.start()
    asked.reconnect()
    own.daemon.wait_for(lambda seen: seen["type"] == "decision.withdrawn", event["seq"])
    assert own.daemon.call("decision.list")["decisions"] == []
    asked.unharmed.assert_serves(asked.running)


def test_changed_behaviour_is_shown_in_both_texts_and_each_question_is_asked_once(asked: Asked) -> None:
    own, after = asked.own, asked.own.cursor
    # The old version passes: nobody has to be asked.
    event = own.take({HELD: HOLDS.format(words=VERSION.format(1)), **own.append(INIT, "# the same\n")})
    assert event["type"] == "generation.good", asked.show(event["decision_id"])
    after = own.cursor
    own.commit({HELD: HOLDS.format(words=VERSION.format(2)), INIT: NEWER.format(2)})
    event = asked.wait_question(after)
    shown = asked.show(event["decision_id"])
    before, _, now = shown.partition("+++ candidate")
    assert f"behaviour changed: {HELD}::test_name" in before
    assert VERSION.format(2) in now
    assert VERSION.format(2) not in before
    asked.check_live(event["data"]["generation"], asked.accept(event), "9.2")
    # Gone altogether it is asked about as a test that went, and as behaviour that changed.
    after = own.cursor
    own.commit({HELD: None, INIT: NEWER.format(3)})
    first = asked.wait_question(after)
    assert f"test weakened: {HELD}" in asked.show(first["decision_id"])
    second = asked.wait_question(asked.accept(first))
    assert second["decision_id"] != first["decision_id"]
    shown = asked.show(second["decision_id"])
    assert f"behaviour changed: {HELD}::test_name" in shown
    assert "+++ candidate\n(removed)" in shown
    asked.check_live(first["data"]["generation"], asked.accept(second), "9.3")


def test_what_judges_all_others_is_asked_about_when_an_agent_changed_it(asked: Asked) -> None:
    own, after = asked.own, asked.own.cursor
    text = (own.repository / PATIENCE).read_text().replace("RETRY_S = 60.0", "RETRY_S = 61.0")
    asked.work("Be patient", {PATIENCE: text, INIT: NEWER.format(4)})
    event = asked.wait_question(after)
    shown = asked.show(event["decision_id"])
    assert f"protected: {PATIENCE} changed" in shown
    before, _, now = shown.partition("+++ candidate")
    assert ("RETRY_S = 60.0" in before, "RETRY_S = 61.0" in now) == (True, True), shown
    asked.check_live(event["data"]["generation"], asked.accept(event), "9.4")


def test_what_a_person_was_asked_before_it_landed_is_not_asked_again(asked: Asked) -> None:
    own, after = asked.own, asked.own.cursor
    queries = (own.repository / QUERIES).read_text()
    files = {"Makefile": "all:\n\tfalse\n", QUERIES: f"-- Of an agent.\n{queries}", INIT: NEWER.format(5)}
    asked.work("Change the rules", files)
    event = own.daemon.wait_for(lambda seen: seen["type"] == "decision.opened", after)
    shown = asked.show(event["decision_id"])
    for name in ("Makefile", QUERIES):
        assert name in shown
    tip = git("rev-parse", "main", cwd=own.repository)
    after = own.cursor
    asked.accept(event)
    settled = own.wait_settled(after)
    assert settled["type"] == "generation.good", settled
    assert git("rev-parse", "main^1", cwd=own.repository) == tip
    asked.unharmed.assert_serves(settled["data"]["generation"])
    assert own.daemon.call("daemon.version")["version"] == "9.5"
    assert own.daemon.call("decision.list")["decisions"] == []
