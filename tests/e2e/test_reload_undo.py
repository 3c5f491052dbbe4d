"""A person goes back to a good generation, and it stays so until there is something newer or they ask again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.own_source import OwnSource, open_own_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NEWER = '"""Newer."""\n\n__version__ = "{}"\n'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSource]:
    with open_own_source(tmp_path_factory.mktemp("own")) as made:
        yield made


def test_what_was_gone_back_from_is_not_taken_again_by_itself(own: OwnSource) -> None:
    pid = own.daemon.call("daemon.health")["pid"]
    assert own.take({"ringmaster/__init__.py": NEWER.format("9.1")})["type"] == "generation.good"
    after = own.cursor
    answer = own.daemon.call("rollout.undo")
    assert (answer["state"], answer["generation"]) == ("requested", 1)
    event = own.daemon.wait_for(lambda event: event["type"] == "generation.restored", after)
    assert event["data"] == {"generation": 1, "reason": "generation 2: a person went back"}
    assert own.generation == 1
    assert own.daemon.call("daemon.health")["pid"] == pid
    assert own.daemon.call("rollout.status")["good"] == 1

    # What the branch holds is generation 2's, and good: had it been taken, that were the third.
    commit = own.commit({"ringmaster/__init__.py": NEWER.format("9.2")})
    event = own.wait_settled(after)
    assert (event["type"], event["data"]["generation"]) == ("generation.good", 3), event
    assert own.history()[0]["generation"]["commit"] == commit


def test_who_asks_gets_it_again(own: OwnSource) -> None:
    running, after = own.generation, own.cursor
    own.daemon.call("rollout.undo")
    own.daemon.wait_for(lambda event: event["type"] == "generation.restored", after)
    plan = own.daemon.call("reload.request", is_dry_run=True)
    assert plan["state"] == "looked"
    after = own.cursor
    own.daemon.call("reload.request")
    event = own.wait_settled(after)
    assert (event["type"], event["data"]["generation"]) == ("generation.good", running + 1), event
    newest, _, before = own.history()[:3]
    assert newest["generation"]["release"] != before["generation"]["release"]
    assert newest["is_running"]


def test_who_follows_learns_whether_the_process_is_still_the_one_that_was_asked(own: OwnSource) -> None:
    recovered = list(own.daemon.call("events.read", after=0, type=("daemon.recovered",))["events"])
    assert [event["data"]["is_continued"] for event in recovered] == [False, *[True] * (len(recovered) - 1)]
    assert len(recovered) > 1
    after = own.cursor
    own.daemon.stop()
    own.daemon.start()
    event = own.daemon.wait_for(lambda event: event["type"] == "daemon.recovered", after)
    assert not event["data"]["is_continued"]
