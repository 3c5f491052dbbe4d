"""Generations: made, gated, tried, settled; each move guarded, told by an event, and taken again without harm."""

from __future__ import annotations

import json

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Generation, GenerationState, Measures, Origin, Receipt, StageResult
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report, rollout
from ringmaster.redaction.redactor import REDACTED
from ringmaster.store import generations
from ringmaster.store.connection import Connection
from ringmaster.store.events import events_after
from tests.unit.queue.making import Queue

G = GenerationState


FIRST = Origin(release="r1", digest="d", python="/py", source="package")


def make(conn: Connection, /, release: str = "r2", *, above: int = 0, **changes: str) -> Generation:
    plain = {"digest": "d", "python": "/py", "source": "target", "project_id": "own", "commit": "c" * 40}
    return rollout.make_generation(conn, Origin(release=release, parent=1, **(plain | changes)), above=above)


async def first(queue: Queue) -> Generation:
    return await queue.do(rollout.ensure_generation, 1, FIRST)


async def told(queue: Queue) -> list[tuple[str, int]]:
    found = await queue.store.read(events_after, 0, 1000)
    return [
        (event.type, json.loads(bytes(event.data))["generation"])
        for event in found
        if event.type.startswith("generation.")
    ]


async def refused(queue: Queue, *call: object, **more: object) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        await queue.do(*call, **more)  # type: ignore[arg-type]
    return caught.value


async def test_a_generation_goes_from_made_to_good_and_each_step_is_told_once(queue: Queue):
    one = await first(queue)
    assert (one.id, one.state, one.parent, one.settled_at) == (1, G.GOOD, 0, queue.clock())
    two = await queue.do(make)
    assert (two.id, two.state, two.tried_at, two.receipts, two.measures) == (2, G.CANDIDATE, None, (), Measures())
    # Twice each: a kill between the boot record and the row repeats the step.
    for _ in range(2):
        await queue.do(rollout.note_receipt, 2, Receipt("policy", StageResult.PASSED, 0.1, "nothing protected"))
        await queue.do(rollout.begin_trial, 2)
        two = await queue.do(rollout.note_measures, 2, Measures(rpc_p99_s=0.01))
    for _ in range(2):
        await queue.do(rollout.note_measures, 2, Measures(lag_s=0.2))
        two = await queue.do(rollout.settle_good, 2)
    assert (two.state, two.tried_at, two.settled_at) == (G.GOOD, queue.clock(), queue.clock())
    assert two.receipts == (Receipt("policy", StageResult.PASSED, 0.1, "nothing protected"),)
    assert two.measures == Measures(rpc_p99_s=0.01, lag_s=0.2)
    assert await told(queue) == [
        ("generation.made", 1),
        ("generation.tried", 1),
        ("generation.good", 1),
        ("generation.made", 2),
        ("generation.gated", 2),
        ("generation.tried", 2),
        ("generation.good", 2),
    ]


async def test_the_event_of_a_stage_has_one_line_and_the_receipt_all(queue: Queue):
    await first(queue)
    await queue.do(make)
    words = "`make test`: exit status 1: FAILED test_a\nE  assert 1 == 2\nFAILED test_a"
    found = await queue.do(rollout.note_receipt, 2, Receipt("gate", StageResult.FAILED, 0.1, words))
    assert [receipt.words for receipt in found.receipts] == [words]
    event = (await queue.store.read(events_after, 0, 1000))[-1]
    assert event.type == "generation.gated"
    assert json.loads(bytes(event.data))["words"] == "`make test`: exit status 1: FAILED test_a"


async def test_a_settled_generation_stays_as_it_is(queue: Queue):
    await first(queue)
    for release, settle in (("a", rollout.settle_bad), ("b", rollout.supersede)):
        id = (await queue.do(make, release)).id
        settled = await queue.do(settle, id, "because")
        assert settled.reason == "because"
        for move in (rollout.begin_trial, rollout.settle_good):
            assert (await refused(queue, move, id)).kind is ErrorKind.WRONG_STATE
        assert (await refused(queue, rollout.put_off, id, "later")).kind is ErrorKind.WRONG_STATE
        assert not await queue.do(rollout.note_failure, id, "died")
        assert await queue.store.read(generations.find_generation, id) == settled
    error = await refused(queue, rollout.settle_bad, 1, "no more")
    assert error.message == "generation 1 is good, so it cannot become bad"
    assert not await queue.do(rollout.note_failure, 1, "its release was damaged")
    assert (await refused(queue, rollout.settle_bad, 9, "x")).kind is ErrorKind.NOT_FOUND


async def test_a_row_that_moved_since_it_was_read_is_not_moved_again(queue: Queue):
    await first(queue)
    read = await queue.do(make)
    await queue.do(rollout.supersede, read.id, "newer")
    error = await refused(queue, generations.set_state, read, G.TRIAL)
    assert error.kind is ErrorKind.WRONG_STATE
    assert (await queue.store.read(generations.generation_by_id, read.id)).state is G.SUPERSEDED


async def test_what_is_not_its_fault_puts_a_candidate_off_and_is_told_once(queue: Queue):
    await first(queue)
    await queue.do(make)
    for _ in range(2):
        waiting = await queue.do(rollout.put_off, 2, "no index in reach")
        assert (waiting.state, waiting.reason, waiting.settled_at) == (G.CANDIDATE, "no index in reach", None)
    await queue.do(rollout.begin_trial, 2)
    waiting = await queue.do(rollout.put_off, 2, "the machine went down")
    assert (waiting.state, waiting.reason) == (G.CANDIDATE, "the machine went down")
    assert [generation.id for generation in await queue.store.read(generations.unsettled)] == [2]
    assert [type for type, _ in await told(queue)][-3:] == [
        "generation.put_off",
        "generation.tried",
        "generation.put_off",
    ]


async def test_a_trial_that_died_is_bad_with_the_stubs_words(queue: Queue):
    await first(queue)
    await queue.do(make)
    await queue.do(rollout.begin_trial, 2)
    assert await queue.do(rollout.note_failure, 2, "it ended with signal 11")
    assert not await queue.do(rollout.note_failure, 2, "it ended with signal 11")
    bad = await queue.store.read(generations.generation_by_id, 2)
    assert (bad.state, bad.reason) == (G.BAD, "it ended with signal 11")
    assert await queue.store.read(generations.last_reload) == bad


async def test_a_stage_that_runs_again_replaces_its_receipt(queue: Queue):
    await first(queue)
    await queue.do(make)
    for receipt in (
        Receipt("policy", StageResult.PASSED),
        Receipt("tests", StageResult.RETRY, 9.0, "no index"),
        Receipt("tests", StageResult.PASSED, 8.0),
    ):
        await queue.do(rollout.note_receipt, 2, receipt)
    kept = (await queue.store.read(generations.generation_by_id, 2)).receipts
    assert [(receipt.stage, receipt.result) for receipt in kept] == [
        ("policy", StageResult.PASSED),
        ("tests", StageResult.PASSED),
    ]


async def test_a_result_that_newer_code_left_is_read_as_unknown(queue: Queue):
    await first(queue)

    def leave(conn: Connection) -> None:
        conn.execute('UPDATE generations SET receipts = \'[{"stage":"x","result":"new"}]\'')

    await queue.store.write(leave)
    assert (await queue.store.read(generations.generation_by_id, 1)).receipts == (Receipt("x", StageResult.UNKNOWN),)


async def test_numbers_go_on_behind_what_the_boot_record_knows(queue: Queue):
    await first(queue)
    assert (await queue.do(make, above=7)).id == 8
    assert (await queue.do(make, above=3)).id == 9
    # A database put back from a copy: the generation that boots has no row.
    found = await queue.do(rollout.ensure_generation, 12, FIRST)
    assert (found.id, found.state) == (12, G.GOOD)


async def test_undo_goes_to_a_good_one_that_does_not_run(queue: Queue):
    await first(queue)
    assert (await refused(queue, rollout.find_undo, None, running=1)).kind is ErrorKind.NOT_FOUND
    for id in (2, 3, 4):
        await queue.do(make)
        await queue.do(rollout.begin_trial, id)
        await (queue.do(rollout.settle_bad, id, "slow") if id == 3 else queue.do(rollout.settle_good, id))
    assert (await queue.do(rollout.find_undo, None, running=4)).id == 2
    assert (await queue.do(rollout.find_undo, 1, running=4)).id == 1
    assert (await refused(queue, rollout.find_undo, 4, running=4)).message == "generation 4 is the one that runs"
    assert "is bad: only a good one" in (await refused(queue, rollout.find_undo, 3, running=4)).message
    assert (await refused(queue, rollout.restore, 3, "x")).kind is ErrorKind.WRONG_STATE
    assert (await queue.do(rollout.restore, 1, "undone")).state is G.GOOD


def make_ended(conn: Connection, id: str, outcome: str, cost_usd: float, ended_at: float) -> None:
    assert conn.execute(
        "UPDATE attempts SET outcome = ?, cost_usd = ?, started_at = ?, ended_at = ? WHERE id = ?",
        (outcome, cost_usd, ended_at - 30, ended_at, id),
    )


async def test_history_measures_each_generation_by_the_attempts_of_its_own_time(queue: Queue):
    began_at = queue.clock()
    await first(queue)
    queue.clock.now += 100
    await queue.do(make)
    await queue.do(rollout.begin_trial, 2)
    queue.clock.now += 100
    await queue.do(rollout.note_measures, 2, Measures(rpc_p99_s=0.5))
    await queue.do(rollout.settle_bad, 2, "slow")
    # The one before runs again: what it did first counts too.
    await first(queue)
    queue.clock.now += 100
    for outcome, cost, after_s in (
        ("succeeded", 1.0, 50),
        ("failed", 3.0, 150),
        ("gate_failed", 0.5, 250),
        ("interrupted", 9.0, 400),
    ):
        attempt = (await queue.begin()).attempt
        await queue.do(report.end_attempt, attempt.id, attempt.token, Outcome.FAILED, "x", rng=queue.rng)
        await queue.store.write(make_ended, attempt.id, outcome, cost, began_at + after_s)
    history = await queue.store.read(rollout.read_history, 10, running=1, good=1)
    two, one = history.generations
    assert (one.is_running, one.is_good, two.is_running, two.is_good) == (True, True, False, False)
    assert one.generation.measures == Measures(attempts=2, succeeded=1, cost_usd=1.5, work_s=60.0)
    assert (one.success_rate, one.cost_per_success_usd, one.work_per_success_s) == (0.5, 1.5, 60.0)
    assert two.generation.measures == Measures(attempts=1, succeeded=0, cost_usd=3.0, work_s=30.0, rpc_p99_s=0.5)
    assert (two.success_rate, two.cost_per_success_usd, two.work_per_success_s) == (0.0, None, None)


async def test_why_a_generation_is_bad_is_kept_without_keys(queue: Queue):
    await first(queue)
    await queue.do(make)
    bad = await queue.do(rollout.settle_bad, 2, "Authorization: Bearer abcdefghijklmnop \x1b[2J")
    assert bad.reason == f"Authorization: Bearer {REDACTED} "
