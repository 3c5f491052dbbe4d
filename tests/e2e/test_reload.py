"""The daemon replaces its own code: the way through the whole of it, and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.own_source import OwnSource, open_own_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
INIT = "ringmaster/__init__.py"
NEWER = '"""Newer."""\n\n__version__ = "{}"\n'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSource]:
    with open_own_source(tmp_path_factory.mktemp("own"), probation_s=0.1) as made:
        yield made


def test_what_is_committed_is_judged_tried_and_good_in_the_same_process(own: OwnSource) -> None:
    assert own.generation == 1
    pid = own.daemon.call("daemon.health")["pid"]
    event = own.take({INIT: NEWER.format("9.1")})
    assert (event["type"], event["data"]["generation"]) == ("generation.good", 2), event
    assert own.daemon.call("daemon.health")["pid"] == pid
    version = own.daemon.call("daemon.version")
    assert (version["version"], version["generation"]) == ("9.1", 2)
    newest = own.history()[0]
    assert newest["is_running"]
    assert newest["is_good"]
    stages = {receipt["stage"]: receipt["result"] for receipt in newest["generation"]["receipts"]}
    # Skipped where the change came before the first look, which finds what the running release came with.
    assert stages.pop("behaviour") in ("skipped", "passed")
    assert stages == {"policy": "passed", "import": "passed", "gate": "passed", "boot": "passed"}


def test_what_was_gone_back_from_is_not_taken_again_by_itself(own: OwnSource) -> None:
    pid, running, after = own.daemon.call("daemon.health")["pid"], own.generation, own.cursor
    answer = own.daemon.call("rollout.undo")
    assert (answer["state"], answer["generation"]) == ("requested", running - 1)
    event = own.daemon.wait_for(lambda event: event["type"] == "generation.restored", after)
    assert event["data"] == {"generation": running - 1, "reason": f"generation {running}: a person went back"}
    assert own.generation == running - 1
    assert own.daemon.call("daemon.health")["pid"] == pid
    assert own.daemon.call("rollout.status")["good"] == running - 1

    # What the branch holds was good: had it been taken, that were the next generation.
    lock, after = (own.repository / "requirements.lock").read_text(), event["seq"]
    commit = own.commit({"requirements.lock": "trio==0\n"})
    event = own.wait_settled(after)
    made = own.history()[0]["generation"]
    assert (event["type"], event["data"]["generation"]) == ("generation.put_off", running + 1), event
    assert (made["id"], made["commit"]) == (running + 1, commit)

    # It waits for its libraries, which is told and shown until it is over.
    assert "no hashes to install them by" in event["data"]["reason"]
    waits = f"generation {running + 1} waits: {event['data']['reason']}"
    assert own.daemon.call("rollout.status")["step"] == waits
    over = own.take({"requirements.lock": lock, INIT: NEWER.format("9.2")})
    assert (over["type"], over["data"]["generation"]) == ("generation.superseded", running + 1)
    event = own.wait_settled(over["seq"])
    assert (event["type"], event["data"]["generation"]) == ("generation.good", running + 2), event
    assert own.daemon.call("rollout.status")["step"] == ""


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
    rows = {view["generation"]["id"]: view for view in own.history()}
    assert rows[running + 1]["generation"]["release"] == rows[running]["generation"]["release"]
    assert rows[running + 1]["is_running"]


def test_who_follows_learns_whether_the_process_is_still_the_one_that_was_asked(own: OwnSource) -> None:
    recovered = list(own.daemon.call("events.read", after=0, type=("daemon.recovered",))["events"])
    assert [event["data"]["is_continued"] for event in recovered] == [False, *[True] * (len(recovered) - 1)]
    assert len(recovered) > 1
    after = own.cursor
    own.daemon.stop()
    own.daemon.start()
    event = own.daemon.wait_for(lambda event: event["type"] == "daemon.recovered", after)
    assert not event["data"]["is_continued"]
