"""The same failure over and over, and agents that cannot be started: a person is asked early, and once."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.decision import Decision
from ringmaster.model.outcomes import BACKOFF_FIRST_S, Outcome
from ringmaster.queue import control, decide, report
from ringmaster.queue.agent_pauses import SPAWN_LIMIT
from ringmaster.queue.claim import Claim
from ringmaster.store import decisions, spawn_failures
from tests.unit.queue.making import Queue


async def again(queue: Queue, outcome: Outcome = Outcome.GATE_FAILED, reason: str = "red", **facts: Any) -> str:
    """The next attempt, once its time has come, and how its task stands after it."""
    queue.clock.now += 10_000
    found = await queue.claim()
    assert found is not None
    return await end(queue, found, outcome, reason, **facts)


async def end(queue: Queue, found: Claim, outcome: Outcome, reason: str = "why", **facts: Any) -> str:
    state = await queue.do(
        report.end_attempt, found.attempt.id, found.attempt.token, outcome, reason, rng=queue.rng, **facts
    )
    return str(state)


async def open_ones(queue: Queue) -> list[Decision]:
    return await queue.store.read(decisions.open_decisions, 100)


async def test_the_same_failure_three_times_in_a_row_asks_early_with_what_was_tried(queue: Queue):
    await queue.add_worker()
    id = await queue.add_task(max_attempts=9)
    assert await again(queue, reason="2 tests failed in 3.1 s", failed_tests=("a", "b")) == "open"
    assert await again(queue, reason="2 tests failed in 4 s", failed_tests=("b", "a")) == "open"
    assert await again(queue, Outcome.INTERRUPTED, "killed") == "open", "what is nobody's fault is no part of the row"
    assert (await queue.task(id)).same_failures == 2
    assert await again(queue, reason="2 tests failed in 5 s", failed_tests=("a", "b")) == "failed"
    asked = await queue.asked(id)
    assert [decision.kind for decision in asked] == ["attempts_spent"]
    assert "failed 3 times in a row in the same way (2 tests failed in 5 s)" in asked[0].question
    assert asked[0].detail.splitlines()[0] == "attempt 1 (scripted): gate_failed: 2 tests failed in 3.1 s"
    assert len(asked[0].detail.splitlines()) == 4


async def test_another_failure_begins_another_row(queue: Queue):
    await queue.add_worker()
    id = await queue.add_task(max_attempts=9)
    for reason in ("one", "one", "other", "one", "one"):
        assert await again(queue, reason=reason) == "open"
    assert await queue.asked(id) == []


@pytest.mark.parametrize("how", ["retry", "reject", "answer"])
async def test_a_persons_word_ends_the_row(queue: Queue, how: str):
    await queue.add_worker()
    id = await queue.add_task(max_attempts=9)
    for _ in range(2):
        await again(queue)
    if how == "retry":
        await queue.do(control.retry_with_words, id, message="mind the edge", actor="t", rng=queue.rng)
    else:
        queue.clock.now += 10_000
        found = await queue.claim()
        assert found is not None
        names = (found.attempt.id, found.attempt.token)
        if how == "reject":
            await queue.hand_over(found)
            await queue.do(decide.reject_attempt, found.attempt.id, "no", actor="t")
        else:
            await queue.do(report.ask, *names, question="?", detail="", options=(), rng=queue.rng)
            await queue.do(decide.answer_decision, (await queue.asked(id))[0].id, answer="a", message="", actor="t")
            await end(queue, found, Outcome.INTERRUPTED)
    assert (await queue.task(id)).same_failures == 0
    assert await again(queue) == "open"


async def test_a_retry_waits_by_the_table(queue: Queue):
    await queue.add_worker()
    id = await queue.add_task(max_attempts=9)
    for number in range(1, 4):
        before = queue.clock.now + 10_000
        await again(queue, reason="other" * number)
        wait_s = ((await queue.task(id)).not_before_at or 0) - before
        assert BACKOFF_FIRST_S * 2 ** (number - 1) / 2 <= wait_s <= BACKOFF_FIRST_S * 2 ** (number - 1), number


async def fail_to_start(queue: Queue, number: int) -> None:
    found = await queue.begin(title=f"t{number}")
    await end(queue, found, Outcome.SPAWN_FAILED, "no such program")


async def test_an_agent_kind_that_cannot_be_started_is_paused_whatever_the_task(queue: Queue):
    for number in range(SPAWN_LIMIT):
        assert await queue.events("agent.paused") == []
        await fail_to_start(queue, number)
    assert len(await queue.events("agent.paused")) == 1
    asked = await open_ones(queue)
    assert [(one.kind, one.project_id, one.task_id, one.options) for one in asked] == [
        ("agent_broken", "", "", ("resume",))
    ]
    await queue.add_task()
    assert await queue.claim() is None
    await queue.add_task(agent="other")
    assert await queue.claim(await queue.add_worker(agent="other")) is not None, "another kind is not held back"
    await queue.do(decide.answer_decision, asked[0].id, answer="resume", message="", actor="t")
    queue.clock.now += 10_000
    assert await queue.claim() is not None
    assert len(await queue.events("agent.resumed")) == 1


async def test_one_start_that_works_ends_the_row_of_failures(queue: Queue):
    for number in range(SPAWN_LIMIT - 1):
        await fail_to_start(queue, number)
    await end(queue, await queue.begin(), Outcome.INTERRUPTED)
    await queue.hand_over(await queue.begin())
    await fail_to_start(queue, 9)
    assert await open_ones(queue) == []


async def test_resuming_by_another_way_takes_the_question_back(queue: Queue):
    for number in range(SPAWN_LIMIT):
        await fail_to_start(queue, number)
    assert await queue.do(decide.resume_agent, "scripted", actor="t")
    assert await open_ones(queue) == []
    assert not await queue.store.read(spawn_failures.is_paused, "scripted")
    assert not await queue.do(decide.resume_agent, "scripted", actor="t")
