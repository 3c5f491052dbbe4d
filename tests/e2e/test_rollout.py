"""Generations as a person handles them: asking, following, looking, going back; what each measured and what is kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ringmaster.store.migrate import load_migrations
from ringmaster.store.queries import find_sql_dir
from tests.fakes.house import steps
from tests.fakes.own_source import PROJECT, OwnSource, open_own_source
from tests.fakes.rmctl import Rmctl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

INIT = "ringmaster/__init__.py"
MIGRATION = "sql/migrations/{:04d}_{}.sql"
HANDLERS = "ringmaster/rpc/handlers/daemon.py"
BROKEN = """

import sys

if "--boot" in sys.argv and "candidates" not in "".join(sys.argv):

    def health(ctx: Ctx, params: EmptyParams) -> Health:
        \"\"\"Well on a copy, broken on trial.\"\"\"
        raise ZeroDivisionError("broken on trial")
"""
SETTINGS = """\
[limits]
cancel_grace_s = 0.2
[self]
debounce_s = 60.0
probation_s = 0.1
keep_releases = 1
"""


class Person:
    """Somebody at a terminal. Nothing is taken before they ask: the debounce outlasts the test."""

    def __init__(self, own: OwnSource) -> None:
        self.own = own
        self.rmctl = Rmctl(own.daemon.socket)

    def ok(self, *words: str) -> str:
        ended = self.rmctl(*words)
        assert ended.code == 0, ended
        return ended.out

    def take(self, files: Mapping[str, str | None]) -> str:
        """Commit and reload; what is said."""
        self.own.commit(files)
        return self.ok("--timeout", "100", "reload", "--wait")


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with open_own_source(tmp_path_factory.mktemp("own")) as own:
        after = own.cursor
        (own.daemon.state / "config.toml").write_text(SETTINGS)
        own.daemon.wait_for(lambda event: event["type"] == "settings.reloaded", after)
        yield Person(own)


def releases(own: OwnSource) -> set[str]:
    return {place.name for place in (own.daemon.state / "releases").iterdir()}


def release_of(own: OwnSource, generation: int) -> str:
    (found,) = [row["generation"]["release"] for row in own.history() if row["generation"]["id"] == generation]
    return str(found)


def schema(own: OwnSource) -> str:
    with sqlite3.connect(f"file:{own.daemon.state}/ringmaster.db?mode=ro", uri=True) as db:
        return str(db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()[0])


def test_what_is_newer_is_asked_for_followed_and_looked_at(person: Person) -> None:
    own = person.own
    assert "generation 1 is what there is" in person.ok("reload", "--dry-run")
    assert "generation 1 is what there is" in person.ok("reload", "--wait")
    commit = own.commit({INIT: '"""Newer."""\n\n__version__ = "9.9"\n'})
    planned = person.ok("reload", "--dry-run")
    for words in (commit[:9], f"M {INIT}", "policy, import, gate, behaviour, boot"):
        assert words in planned
    assert own.generation == 1
    ended = person.rmctl("--timeout", "100", "reload", "--wait")
    assert (ended.code, ended.out.strip()) == (0, "generation 2 is live"), ended
    for words in ("generation 2 is made: target", "boot passed in", "generation 2 is on trial"):
        assert words in ended.err
    version = person.ok("version")
    for words in ("9.9", "generation", "2", commit[:12]):
        assert words in version
    status = person.ok("rollout", "status")
    for words in ("generation 2", "good", commit[:12], "branch main of ", "generation 2 good"):
        assert words in status


def test_history_shows_what_each_measured(person: Person) -> None:
    assert person.own.generation == 2
    newest, first = person.own.history()
    assert first["generation"]["measures"]["rpc_p99_s"] > 0
    assert first["generation"]["measures"]["rss_bytes"] > 1_000_000
    assert newest["generation"]["measures"]["rss_bytes"] > 1_000_000, "of the one that runs, as it is now"
    assert newest["generation"]["parent"] == 1
    shown = person.rmctl.on_terminal("rollout", "history", columns=200)
    assert shown.code == 0
    lines = shown.out.splitlines()
    for words in ("GEN", "STATE", "SUCCESS", "COST/OK", "TIME/OK", "P99", "MEMORY"):
        assert words in lines[0]
    assert "runs,boots" in lines[1]
    assert "ms" in lines[2]


def test_going_back_and_forth(person: Person) -> None:
    own = person.own
    assert person.ok("rollout", "undo", "--wait").strip() == "generation 1 is live"
    assert own.generation == 1
    assert person.own.history()[0]["generation"]["measures"]["rpc_p99_s"] > 0
    refused = person.rmctl("rollout", "undo", "1")
    assert (refused.code, "generation 1 is the one that runs" in refused.err) == (5, True), refused
    assert person.rmctl("rollout", "undo", "77").code == 4
    assert person.ok("rollout", "undo", "2", "--wait").strip() == "generation 2 is live"
    assert own.generation == 2


def test_older_code_goes_on_with_the_schema_of_a_release_that_failed(person: Person) -> None:
    own = person.own
    next_number = len(load_migrations(find_sql_dir())) + 1
    name = MIGRATION.format(next_number, "colours")
    text = "CREATE TABLE colours (id INTEGER PRIMARY KEY) STRICT;\n"
    own.commit({name: text, **own.append(HANDLERS, BROKEN)})
    refused = person.rmctl("--timeout", "100", "reload", "--wait")
    assert refused.code == 6, refused
    assert "ZeroDivisionError" in refused.err or "health" in refused.err
    assert own.generation == 2
    assert schema(own) == str(next_number)
    assert (own.daemon.state / f"ringmaster.db.before-{next_number:04d}").is_file()
    assert own.daemon.call("task.add", title="go on", project_id=PROJECT, is_draft=True)["view"]["shown"] == "draft"
    own.daemon.stop()
    own.daemon.start()
    assert own.generation == 2
    # Another text under the number that ran is no repair; what ran and a further number is.
    healthy = (own.repository / HANDLERS).read_text().removesuffix(BROKEN)
    own.commit({name: text.replace("colours", "shades"), HANDLERS: healthy})
    refused = person.rmctl("--timeout", "100", "reload", "--wait")
    assert refused.code == 6, refused
    assert f"{next_number:04d}" in refused.err
    further = {name: text, MIGRATION.format(next_number + 1, "shades"): text.replace("colours", "shades")}
    assert "is live" in person.take(further)
    assert schema(own) == str(next_number + 1)


@pytest.mark.storm
def test_what_nothing_needs_goes_and_what_an_agent_was_started_from_stays(person: Person) -> None:
    own = person.own
    began, gate = own.generation, own.daemon.state / "fifo"
    release = release_of(own, began)
    own.daemon.call("worker.spawn", agent="scripted", id="w")
    os.mkfifo(gate)
    step = {"do": "fifo", "path": str(gate)}
    after = own.cursor
    added: Any = own.daemon.call("task.add", title="long", description=steps(step), project_id=PROJECT)
    own.daemon.wait_for(lambda event: event["type"] == "attempt.job_started", after)
    for number in range(3):
        assert "is live" in person.take({INIT: f'"""Newer {number}."""\n\n__version__ = "9.{number}"\n'})
    assert release in releases(own), "the agent's shim was started from it"
    assert release_of(own, own.generation) in releases(own)
    assert release_of(own, own.generation - 1) in releases(own)
    assert release_of(own, 1) not in releases(own)
    shown = own.daemon.call("task.show", id=added["view"]["task"]["id"])
    assert len(shown["attempts"]) == 1
