"""How attempts end: the outcome table on rows, tokens, and that an attempt ends once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ringmaster.model.attempt import LandingIntent
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import OUTCOME_RULES, Outcome
from ringmaster.queue import control, report
from ringmaster.queue.claim import Claim
from ringmaster.redaction.redactor import REDACTED
from ringmaster.store import attempts
from tests.unit.queue.making import Queue

INTENT = LandingIntent(ref="refs/heads/main", old="0" * 40, new="3" * 40)


async def end(queue: Queue, found: Claim, outcome: Outcome, **more: Any) -> str:
    names = (found.attempt.id, found.attempt.token)
    return str(await queue.do(report.end_attempt, *names, outcome, "why", rng=queue.rng, **more))


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED])
async def test_every_outcome_does_what_the_table_says(queue: Queue, outcome: Outcome):
    found = await queue.begin()
    rule = OUTCOME_RULES[outcome]
    state = await end(queue, found, outcome)
    task = await queue.task(found.task.id)
    assert state == task.state == (rule.next_state or "open")
    assert task.counted_attempts == (1 if rule.is_counted else 0)
    assert (task.not_before_at is not None) == (rule.delay != "none")
    asks = {Outcome.NO_CHANGES: ["no_changes"], Outcome.NEEDS_DECISION: ["question"]}
    assert [decision.kind for decision in await queue.asked(task.id)] == asks.get(outcome, [])
    ended = await queue.store.read(attempts.attempt_by_id, found.attempt.id)
    assert (ended.state, ended.outcome, ended.reason) == ("ended", outcome, "why")


async def test_an_attempt_has_one_outcome(queue: Queue):
    found = await queue.begin()
    await end(queue, found, Outcome.CONFLICT)
    for outcome in (Outcome.CONFLICT, Outcome.FAILED, Outcome.CANCELLED):
        with pytest.raises(RingmasterError) as raised:
            await end(queue, found, outcome)
        assert raised.value.kind is ErrorKind.LEASE_LOST
    assert len(await queue.events("attempt.ended")) == 1


async def test_a_wrong_token_changes_nothing_whatever_it_asks(queue: Queue):
    found = await queue.begin()
    wrong = Claim(found.task, await queue.store.read(attempts.attempt_by_id, found.attempt.id))
    names = (wrong.attempt.id, "wrong")
    before = len(await queue.events())
    calls: list[tuple[Any, dict[str, Any]]] = [
        (report.begin_work, {"branch": "b", "base_commit": "x"}),
        (report.hand_over, {"head_commit": "x", "report": {}}),
        (report.take_intent_back, {"reason": "x"}),
        (report.complete_landing, {"parked_commit": ""}),
        (report.ask, {"question": "?", "detail": "", "options": (), "rng": queue.rng}),
        (report.wait_for_person, {"kind": DecisionKind.ACCEPT, "question": "", "detail": "", "rng": queue.rng}),
    ]
    for fn, params in calls:
        with pytest.raises(RingmasterError) as raised:
            await queue.do(fn, *names, **params)
        assert raised.value.kind is ErrorKind.LEASE_LOST
    assert len(await queue.events()) == before


async def test_spent_attempts_fail_the_task_and_ask_once(queue: Queue):
    await queue.add_worker()
    id = await queue.add_task(max_attempts=2)
    for expected in ("open", "failed"):
        queue.clock.now += 10_000
        found = await queue.claim()
        assert found is not None
        assert await end(queue, found, Outcome.GATE_FAILED) == expected
    decision = (await queue.asked(id))[0]
    assert decision.kind == "attempts_spent"
    assert decision.detail == "attempt 1 (scripted): gate_failed: why\nattempt 2 (scripted): gate_failed: why"


async def test_an_uncounted_failure_leaves_the_attempts_alone(queue: Queue):
    found = await queue.begin(max_attempts=1)
    assert await end(queue, found, Outcome.FAILED, is_counted=False) == "open"
    assert (await queue.task(found.task.id)).counted_attempts == 0


async def test_five_interruptions_in_a_row_ask_a_person(queue: Queue):
    await queue.add_worker()
    id = await queue.add_task()
    for number in range(5):
        assert await queue.asked(id) == []
        queue.clock.now += 10_000
        found = await queue.claim()
        assert found is not None, number
        await end(queue, found, Outcome.INTERRUPTED if number % 2 else Outcome.SPAWN_FAILED)
    assert [decision.kind for decision in await queue.asked(id)] == ["interrupted"]
    assert (await queue.task(id)).counted_attempts == 0


async def test_a_rate_limit_waits_until_its_end(queue: Queue):
    found = await queue.begin()
    await end(queue, found, Outcome.RATE_LIMITED, reset_at=4321.0)
    assert (await queue.task(found.task.id)).not_before_at == 4321.0


async def test_handing_over_frees_the_seat_and_keeps_the_lease(queue: Queue):
    found = await queue.begin()
    await queue.hand_over(found)
    assert (await queue.task(found.task.id)).state == "validating"
    assert (await queue.events("worker.freed"))[0].worker_id == found.attempt.worker_id
    lane = await queue.store.read(attempts.next_in_lane, "toy")
    assert lane is not None
    assert lane.id == found.attempt.id


async def test_landing_in_three_steps_frees_what_waits(queue: Queue):
    found = await queue.begin()
    waiting = await queue.add_task(after=(found.task.id,))
    names = (found.attempt.id, found.attempt.token)
    await queue.hand_over(found)
    await queue.do(report.store_intent, *names, INTENT)
    # From here nobody cancels it.
    with pytest.raises(RingmasterError) as raised:
        await queue.do(control.cancel_task, found.task.id, actor="test")
    assert raised.value.kind is ErrorKind.WRONG_STATE
    await queue.do(report.take_intent_back, *names, "the ref had moved")
    await queue.do(report.store_intent, *names, INTENT)
    freed = await queue.do(report.complete_landing, *names, parked_commit="")
    assert freed == [waiting]
    task = await queue.task(found.task.id)
    assert (task.state, task.done_by, task.landed_commit) == ("done", "landed", INTENT.new)
    assert (await queue.task(waiting)).open_blockers == 0
    with pytest.raises(RingmasterError):
        await queue.do(report.complete_landing, *names, parked_commit="")


async def test_a_task_without_a_diff_is_done_when_its_agent_says_so(queue: Queue):
    found = await queue.begin(is_diff_needed=False)
    await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {"summary": "42"})
    task = await queue.task(found.task.id)
    assert (task.state, task.landed_commit) == ("done", "")
    ended = await queue.store.read(attempts.attempt_by_id, found.attempt.id)
    assert (ended.outcome, ended.report["summary"]) == ("succeeded", "42")


async def test_the_lane_goes_by_priority_and_leaves_out_what_waits_for_a_person(queue: Queue):
    low, high = await queue.begin(priority=3), await queue.begin(priority=1)
    for found in (low, high):
        await queue.hand_over(found)
    await queue.do(
        report.wait_for_person,
        high.attempt.id,
        high.attempt.token,
        DecisionKind.ACCEPT,
        question="?",
        detail="",
        rng=queue.rng,
    )
    lane = await queue.store.read(attempts.next_in_lane, "toy")
    assert lane is not None
    assert lane.id == low.attempt.id
    await queue.do(control.accept_task, high.task.id, message="", actor="test")
    lane = await queue.store.read(attempts.next_in_lane, "toy")
    assert lane is not None
    assert (lane.id, lane.is_accepted) == (high.attempt.id, True)


async def test_a_question_outlives_its_attempt_and_others_do_not(queue: Queue):
    found = await queue.begin()
    names = (found.attempt.id, found.attempt.token)
    asked = await queue.do(report.ask, *names, question="which?", detail="", options=(), rng=queue.rng)
    await queue.hand_over(found)
    await queue.do(report.wait_for_person, *names, DecisionKind.PROTECTED, question="?", detail="", rng=queue.rng)
    assert len(await queue.asked(found.task.id)) == 2
    await end(queue, found, Outcome.CONFLICT)
    assert [decision.id for decision in await queue.asked(found.task.id)] == [asked]


async def test_a_cancelled_attempt_cancels_its_task_whatever_it_came_to(queue: Queue):
    found = await queue.begin(max_attempts=1)
    await queue.do(control.cancel_task, found.task.id, actor="test")
    assert await end(queue, found, Outcome.FAILED) == "cancelled"
    assert await queue.asked(found.task.id) == []


async def test_why_an_attempt_ended_is_kept_without_keys(queue: Queue):
    found = await queue.begin()
    words = "git: https://me:hunter2@host \x1b[1mrefused\x1b[0m"
    await queue.do(report.end_attempt, found.attempt.id, found.attempt.token, Outcome.INTERRUPTED, words, rng=queue.rng)
    ended = await queue.store.read(attempts.attempt_by_id, found.attempt.id)
    assert ended.reason == f"git: https://{REDACTED}@host refused"
    assert [msgspec.json.decode(event.data)["reason"] for event in await queue.events("attempt.ended")] == [
        ended.reason
    ]
