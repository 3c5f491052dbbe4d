"""`reload.*` and `rollout.*` over the socket, with a scripted part that reloads."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind
from ringmaster.model.generation import Measures, Origin, Receipt, StageResult
from ringmaster.protocol.rollout import ReloadAnswer, ReloadPlan
from ringmaster.queue import decide, rollout
from ringmaster.settings import Settings
from tests.integration.rpc.harness import Table, attempt_caller


async def make_generations(table: Table) -> None:
    """1 good, 2 good, 3 refused by its gate; 2 runs."""
    write = table.store.write
    more: Any = {"digest": "d", "python": "/py"}
    await write(rollout.ensure_generation, 1, Origin(release="r1", source="package", **more))
    for release in ("r2", "r3"):
        made_of = Origin(release=release, parent=1, source="target", commit="c" * 40, **more)
        await write(rollout.make_generation, made_of)
    await write(rollout.begin_trial, 2)
    await write(rollout.note_measures, 2, Measures(rpc_p99_s=0.004, rss_bytes=1 << 26))
    await write(rollout.settle_good, 2)
    await write(rollout.note_receipt, 3, Receipt("tests", StageResult.FAILED, 3.5, "2 tests failed"))
    await write(rollout.settle_bad, 3, "2 tests failed")
    table.reload.now = msgspec.structs.replace(table.reload.now, running=2, good=2, before=1)


async def events_of(table: Table, noun: str) -> list[dict[str, object]]:
    found = await table.call("events.read", after=0, type=[noun])
    return list(found["events"])


async def test_a_reload_is_asked_for_once_and_followed_from_before_it_began(table: Table):
    await make_generations(table)
    before = (await table.call("daemon.status"))["cursor"]
    for _ in range(2):
        answer = await table.call("reload.request", idempotency_key="k")
        assert (answer["state"], answer["running"], answer["cursor"]) == ("requested", 1, before)
        # Whoever follows it can say how far it is.
        assert answer["stages"] == ["policy", "import", "gate", "behaviour", "boot"]
        assert answer["probation_s"] == Settings().own.probation_s
    assert table.reload.asked == [("request", False, "operator")]
    assert [event["type"] for event in await events_of(table, "reload.")] == ["reload.requested"]


async def test_a_dry_run_says_what_would_be_taken_and_leaves_no_trace(table: Table):
    plan = ReloadPlan(source="target", commit="c2", tree="t2", files=("M ringmaster/a.py",), stages=("policy", "tests"))
    table.reload.answer = ReloadAnswer(state="looked", words="c2 would be taken", running=1, plan=plan)
    answer = await table.call("reload.request", is_dry_run=True, idempotency_key="k")
    assert msgspec.convert(answer["plan"], ReloadPlan) == plan
    assert table.reload.asked == [("request", True, "operator")]
    assert await events_of(table, "reload.") == []
    # The key is not used up by a question.
    table.reload.answer = ReloadAnswer(state="nothing_new", words="what runs is what there is", running=1)
    assert (await table.call("reload.request", idempotency_key="k2"))["state"] == "nothing_new"


async def test_status_says_what_runs_and_how_the_last_one_went(table: Table):
    assert (await table.call("rollout.status"))["last"] is None
    await make_generations(table)
    status = await table.call("rollout.status")
    assert (status["running"], status["good"], status["before"], status["is_watching"]) == (2, 2, 1, True)
    assert (status["last"]["id"], status["last"]["state"], status["last"]["reason"]) == (3, "bad", "2 tests failed")
    screen = await table.call("daemon.status")
    assert (screen["generation"], screen["last_reload"]["id"]) == (2, 3)


async def test_status_has_the_open_question_about_a_bad_release(table: Table):
    assert (await table.call("rollout.status"))["bad_release"] is None
    await table.add_project("own")
    _, about = [
        await table.store.write(
            decide.open_decision, kind, project_id="own", question="Revert?", rng=random.Random(number)
        )
        for number, kind in enumerate((DecisionKind.BASE_RED, DecisionKind.BAD_RELEASE))
    ]
    found = (await table.call("rollout.status"))["bad_release"]
    assert (found["id"], found["question"], found["options"]) == (about, "Revert?", ["revert", "resume"])
    await table.call("decision.answer", id=about, answer="resume")
    assert (await table.call("rollout.status"))["bad_release"] is None


async def test_history_shows_generations_side_by_side(table: Table):
    await make_generations(table)
    three, two, one = (await table.call("rollout.history"))["generations"]
    assert [view["generation"]["id"] for view in (three, two, one)] == [3, 2, 1]
    assert [(view["is_running"], view["is_good"]) for view in (three, two)] == [(False, False), (True, True)]
    assert three["generation"]["receipts"] == [
        {"stage": "tests", "result": "failed", "wall_s": 3.5, "words": "2 tests failed"}
    ]
    assert two["generation"]["measures"]["rpc_p99_s"] == 0.004
    assert (two["success_rate"], one["generation"]["state"]) == (None, "good")
    assert [view["generation"]["id"] for view in (await table.call("rollout.history", limit=1))["generations"]] == [3]


async def test_undo_goes_to_a_good_generation_once(table: Table):
    await make_generations(table)
    for _ in range(2):
        answer = await table.call("rollout.undo", idempotency_key="k")
        assert (answer["state"], answer["generation"]) == ("requested", 1)
    assert table.reload.asked == [("undo", 1, "operator")]
    (event,) = await events_of(table, "reload.")
    assert (event["type"], event["data"]) == ("reload.undo_requested", {"generation": 1})


async def test_on_a_full_disk_one_can_go_back_and_takes_nothing_new(table: Table):
    await make_generations(table)
    table.store._writer.is_degraded = True  # type: ignore[union-attr]
    assert (await table.call("rollout.undo", idempotency_key="k"))["generation"] == 1
    assert (await table.refusal("reload.request", idempotency_key="k2")).kind is ErrorKind.DISK_FULL
    assert table.reload.asked == [("undo", 1, "operator")]


@pytest.mark.parametrize(
    ("generation", "kind", "words"),
    [
        (2, ErrorKind.WRONG_STATE, "generation 2 is the one that runs"),
        (3, ErrorKind.WRONG_STATE, "generation 3 is bad: only a good one can be gone back to"),
        (9, ErrorKind.NOT_FOUND, "there is no generation 9"),
        (0, ErrorKind.USAGE, ""),
    ],
)
async def test_undo_of_what_cannot_be_gone_back_to_is_refused(
    table: Table, generation: int, kind: ErrorKind, words: str
):
    await make_generations(table)
    error = await table.refusal("rollout.undo", generation=generation)
    assert error.kind is kind
    assert words in error.message
    assert (table.reload.asked, await events_of(table, "reload.")) == ([], [])


async def test_an_agent_neither_reloads_nor_looks(table: Table):
    agent = attempt_caller("rm-abc12/1")
    for method in ("reload.request", "rollout.undo", "rollout.status", "rollout.history"):
        assert (await table.refusal(method, caller=agent)).kind is ErrorKind.PERMISSION
    assert table.reload.asked == []


async def test_the_version_names_the_generation_and_the_release(table: Table):
    version = await table.call("daemon.version")
    assert (version["generation"], version["release"], version["commit"]) == (1, "r1", "c1")
