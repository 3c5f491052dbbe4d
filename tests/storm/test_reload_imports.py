"""Imports without an end: each takes the ten seconds that a module has, and is not held against the change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.unharmed import Unharmed, open_unharmed_source

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]

MODULE = "ringmaster/aaa.py"


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unharmed]:
    with open_unharmed_source(tmp_path_factory.mktemp("own")) as made:
        yield made


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1000)\n",
        "while True:\n    pass\n",
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n",
    ],
    ids=["sleeps", "spins", "blocks"],
)
def test_an_import_without_an_end_waits_and_is_over_with_the_change(unharmed: Unharmed, text: str) -> None:
    event = unharmed.take({MODULE: text})
    assert event["type"] == "generation.put_off", event
    words = "import: importing ringmaster.aaa took more than 10 s"
    assert event["data"]["reason"] == words
    row = unharmed.row(event["data"]["generation"])
    assert (row["state"], row["reason"]) == ("candidate", words)
    assert unharmed.own.daemon.call("rollout.status")["step"] == f"generation {row['id']} waits: {words}"
    unharmed.assert_serves(1)
    event = unharmed.take({})
    assert (event["type"], event["data"]["generation"]) == ("generation.superseded", row["id"])
    unharmed.assert_serves(1)
