"""What the gate of a candidate stops: the old code goes on, the reason is named, and nobody's files are touched."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.own_source import OwnSource
from tests.fakes.rmctl import Rmctl
from tests.fakes.unharmed import Unharmed, open_unharmed_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

GATE = "sh tests/run"
INIT = "ringmaster/__init__.py"
TOY = "tests/unit/test_toy.py"
TESTS = "def test_sum():\n    assert 1 + 1 == 2\n    assert 2 + 2 == 4\n"
FILES = {"tests/run": "exit 0\n", TOY: TESTS}
# The first module by name after the package itself: what comes behind it is not imported.
MODULE = "ringmaster/aaa.py"


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unharmed]:
    # The daemon's pip finds no index in it.
    home = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        with open_unharmed_source(home, files=FILES, gate=GATE) as made:
            yield made


@pytest.fixture(scope="module")
def own(unharmed: Unharmed) -> OwnSource:
    return unharmed.own


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({MODULE: "def broken(:\n"}, f"import: {MODULE}:1: SyntaxError: "),
        # Each of these has a test of its stage alone, which is quicker.
        pytest.param(
            {MODULE: "import nothing_of_the_kind\n"},
            f"import: {MODULE}:1: importing ringmaster.aaa: ModuleNotFoundError",
            marks=pytest.mark.storm,
        ),
        pytest.param(
            {MODULE: "import os\nos._exit(3)\n"},
            "import: importing ringmaster.aaa ended the process (exit status 3)",
            marks=pytest.mark.storm,
        ),
        pytest.param(
            {"sql/migrations/0006_generations.sql": None},
            "policy: migration not additive: sql/migrations/0006_",
            marks=pytest.mark.storm,
        ),
        ({"bin/ringmasterd": "nonsense\n"}, "boot: the daemon ended before it listened (exit status 1): NameError: "),
    ],
    ids=["syntax", "import", "exit", "migration", "stub"],
)
def test_what_cannot_be_run_is_bad(unharmed: Unharmed, files: dict[str, str | None], words: str) -> None:
    event = unharmed.take(files)
    unharmed.assert_bad(event, words, serves=1)
    # The traceback is in the receipt.
    assert "\n" not in event["data"]["reason"]


def test_a_failing_test_is_named_and_mending_it_alone_is_enough(unharmed: Unharmed, own: OwnSource) -> None:
    newer = unharmed.append(INIT, "# newer\n")
    event = unharmed.take({**newer, "tests/run": "echo 'FAILED test_sums'\necho '1 failed'\nexit 1\n"})
    unharmed.assert_bad(event, "gate: `sh tests/run`: exit status 1: FAILED test_sums", serves=1)
    receipts = unharmed.row(event["data"]["generation"])["receipts"]
    assert next(one["words"] for one in receipts if one["stage"] == "gate").endswith("FAILED test_sums\n1 failed")
    rmctl = Rmctl(own.daemon.socket)
    assert "FAILED test_sums" in rmctl("rollout", "history").out
    # The same content again is not tried again, and who asks is told why.
    answer = own.daemon.call("reload.request", is_dry_run=True)
    assert answer["state"] == "nothing_new"
    assert f"generation {event['data']['generation']} had the same content and is bad: gate:" in answer["words"]
    again = rmctl("reload", "--wait")
    assert (again.code, "had the same content and is bad" in again.out) == (0, True)
    # Its release is the same, and yet it is judged anew.
    event = unharmed.take({**newer, "tests/run": "echo 'still red'\nexit 1\n"})
    unharmed.assert_bad(event, "still red", serves=1)


def ask(unharmed: Unharmed, files: dict[str, str | None]) -> Any:
    """The decision that a change becomes."""
    event = unharmed.take(files)
    assert event["type"] == "generation.put_off", event
    unharmed.assert_serves(1)
    row = unharmed.row(event["data"]["generation"])
    assert (row["state"], row["reason"]) == ("candidate", f"waits for decision {event['decision_id']}")
    status = unharmed.own.daemon.call("rollout.status")
    assert (status["candidate"], status["decision_id"]) == (row["id"], event["decision_id"])
    return unharmed.own.daemon.call("decision.show", id=event["decision_id"])


def test_a_weakened_test_is_a_decision_with_both_texts_and_no_is_the_end(unharmed: Unharmed, own: OwnSource) -> None:
    weaker = TESTS.replace("    assert 2 + 2 == 4\n", "")
    decision = ask(unharmed, {**unharmed.append(INIT, "# weaker\n"), TOY: weaker})
    assert f"test weakened: {TOY}::test_sum" in decision["question"]
    assert f"--- running\n{TESTS}+++ candidate\n{weaker}".strip() in decision["detail"]
    after = own.cursor
    with unharmed.open_repository_kept():
        own.daemon.call("decision.answer", id=decision["id"], answer="reject")
        event = own.wait_settled(after)
    unharmed.assert_bad(event, "a person said reject: policy: test weakened", serves=1)


def test_a_deleted_test_is_a_decision_that_is_taken_back_with_the_change(unharmed: Unharmed, own: OwnSource) -> None:
    decision = ask(unharmed, {**unharmed.append(INIT, "# without\n"), TOY: None})
    assert f"--- running\n{TESTS.strip()}\n+++ candidate\n(removed)" in decision["detail"]
    event = unharmed.take({})
    assert event["type"] == "generation.superseded"
    assert own.daemon.call("decision.show", id=decision["id"])["state"] == "withdrawn"
    unharmed.assert_serves(1)


def test_a_gate_is_ended_with_all_it_started_when_a_newer_change_comes(
    unharmed: Unharmed, own: OwnSource, tmp_path: Path
) -> None:
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    after = own.cursor
    # In the import stage already: what blocks there blocks for good.
    unharmed.commit(
        {
            MODULE: f"import os\nfile = open({str(sign)!r}, 'w')\nprint(os.getpid(), file=file)\n"
            "file.close()\nimport threading\nthreading.Lock().acquire()\nthreading.Event().wait()\n"
        }
    )
    pid = int(sign.read_text())
    pidfd = os.pidfd_open(pid)
    made = own.daemon.wait_for(lambda event: event["type"] == "generation.made", after)
    status = own.daemon.call("rollout.status")
    assert status["candidate"] == made["data"]["generation"]
    assert status["step"].startswith("its gate runs")
    event = unharmed.take({**unharmed.append(INIT, "# and this"), MODULE: "def broken(:\n"})
    assert (event["type"], event["data"]["generation"]) == ("generation.superseded", made["data"]["generation"])
    # Readable means that it has ended: at once, since nothing is superseded before it has.
    assert select.select([pidfd], [], [], 0)[0]
    os.close(pidfd)
    unharmed.assert_bad(own.wait_settled(event["seq"]), "SyntaxError", serves=1)
    left = sorted(name for name in os.listdir(own.daemon.state / "candidates") if name.isdigit())
    assert left == [str(made["data"]["generation"] + 1)]


def test_what_goes_back_to_what_runs_is_no_longer_wanted(unharmed: Unharmed, own: OwnSource, tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    after = own.cursor
    unharmed.commit({MODULE: f"open({str(sign)!r}, 'w').close()\nimport threading\nthreading.Event().wait()\n"})
    sign.read_text()
    event = unharmed.take({})
    assert event["type"] == "generation.superseded", own.history()[0]
    assert event["seq"] > after
    unharmed.assert_serves(1)


@pytest.mark.storm
def test_libraries_without_an_index_in_reach_wait_and_are_no_fault_of_the_change(
    unharmed: Unharmed, own: OwnSource
) -> None:
    lock = "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274\n"
    event = unharmed.take({"requirements.lock": lock})
    assert event["type"] == "generation.put_off", event
    assert "no package index is in reach" in event["data"]["reason"]
    row = unharmed.row(event["data"]["generation"])
    assert (row["state"], row["reason"]) == ("candidate", event["data"]["reason"])
    assert "no package index is in reach" in own.daemon.call("rollout.status")["step"]
    unharmed.assert_serves(1)
    # It is what runs again: nobody waits for an index any more.
    event = unharmed.take({})
    assert event["type"] == "generation.superseded"
    assert own.daemon.call("rollout.status")["step"] == ""
    unharmed.assert_serves(1)
