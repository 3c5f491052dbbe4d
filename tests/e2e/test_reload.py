"""The daemon replaces its own code: the way through the whole of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.own_source import OwnSource, open_own_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSource]:
    with open_own_source(tmp_path_factory.mktemp("own")) as made:
        yield made


def test_what_is_committed_is_judged_tried_and_good_in_the_same_process(own: OwnSource) -> None:
    assert own.generation == 1
    pid = own.daemon.call("daemon.health")["pid"]
    event = own.take({"ringmaster/__init__.py": '"""Newer."""\n\n__version__ = "9.9"\n'})
    assert (event["type"], event["data"]["generation"]) == ("generation.good", 2), event
    assert own.daemon.call("daemon.health")["pid"] == pid
    version = own.daemon.call("daemon.version")
    assert (version["version"], version["generation"]) == ("9.9", 2)
    newest = own.history()[0]
    assert newest["is_running"]
    assert newest["is_good"]
    stages = {receipt["stage"]: receipt["result"] for receipt in newest["generation"]["receipts"]}
    # Skipped where the change came before the first look, which finds what the running release came with.
    assert stages.pop("behaviour") in ("skipped", "passed")
    assert stages == {"policy": "passed", "import": "passed", "gate": "passed", "boot": "passed"}


def test_what_waits_for_its_libraries_is_told_and_shown_until_it_is_over(own: OwnSource) -> None:
    lock = (own.repository / "requirements.lock").read_text()
    event = own.take({"requirements.lock": "trio==0\n"})
    assert event["type"] == "generation.put_off", event
    assert "no hashes to install them by" in event["data"]["reason"]
    waits = f"generation {event['data']['generation']} waits: {event['data']['reason']}"
    assert own.daemon.call("rollout.status")["step"] == waits
    newest = {"requirements.lock": lock, "ringmaster/__init__.py": '"""Newest."""\n\n__version__ = "9.10"\n'}
    over = own.take(newest)
    assert (over["type"], over["data"]["generation"]) == ("generation.superseded", event["data"]["generation"])
    event = own.wait_settled(over["seq"])
    assert event["type"] == "generation.good", event
    assert own.daemon.call("rollout.status")["step"] == ""
