"""Holding, releasing and deferring a task, and pausing the queue. Every step recounts all invariants."""

from __future__ import annotations

import random

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.queue import control, holding, lease, pausing, report
from ringmaster.workers.dispatcher import fill_seats
from tests.unit.queue.making import Queue


async def test_a_held_task_is_not_given_out_until_it_is_released(queue: Queue):
    id = await queue.add_task()
    assert "rmctl task release" in await queue.do(holding.hold_task, id, message="wait", actor="ann")
    assert await queue.claim(await queue.add_worker()) is None
    assert await queue.do(holding.release_task, id, actor="ann") == f"{id} is released"
    assert await queue.claim("w1") is not None


async def test_a_hold_is_counted_once_and_counts_the_version_up_once(queue: Queue):
    id = await queue.add_task()
    await queue.do(holding.hold_task, id, actor="t")
    with pytest.raises(RingmasterError, match="is held already"):
        await queue.do(holding.hold_task, id, actor="t")
    task = await queue.task(id)
    assert (task.open_blockers, task.version) == (1, 2)
    await queue.do(holding.release_task, id, actor="t")
    with pytest.raises(RingmasterError, match="is open and not held"):
        await queue.do(holding.release_task, id, actor="t")
    assert (await queue.task(id)).version == 3


async def test_what_runs_goes_on_and_is_held_when_it_comes_back(queue: Queue):
    found = await queue.begin()
    assert "goes on" in await queue.do(holding.hold_task, found.task.id, actor="t")
    await queue.do(report.end_attempt, found.attempt.id, found.attempt.token, Outcome.INTERRUPTED, "x", rng=queue.rng)
    queue.clock.now += 60
    assert await queue.claim("w1") is None


async def test_the_children_of_a_held_epic_wait_with_it(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    await queue.do(holding.hold_task, epic, actor="t")
    assert (await queue.task(child)).open_blockers == 1
    await queue.do(holding.release_task, epic, actor="t")
    assert (await queue.task(child)).open_blockers == 0


async def test_what_has_ended_cannot_be_held(queue: Queue):
    id = await queue.add_task()
    await queue.do(control.cancel_task, id, actor="t")
    with pytest.raises(RingmasterError, match="is cancelled, so it cannot be held"):
        await queue.do(holding.hold_task, id, actor="t")


async def test_a_release_opens_a_draft_and_says_what_is_still_in_its_way(queue: Queue):
    first = await queue.add_task()
    draft = await queue.add_task(is_draft=True, is_held=True, after=(first,))
    assert "1 more in its way" in await queue.do(holding.release_task, draft, actor="t")
    task = await queue.task(draft)
    assert (task.state, task.held_at, task.open_blockers) == (TaskState.OPEN, None, 1)


async def test_a_deferred_task_is_given_out_when_its_time_has_come(queue: Queue):
    id = await queue.add_task()
    note = await queue.do(holding.defer_task, id, queue.clock.now + 100, actor="t")
    assert note == f"{id} is not given out before 1970-01-01 00:18:20 UTC"
    await queue.add_worker()
    assert await queue.claim("w1") is None
    queue.clock.now += 101
    assert await queue.claim("w1") is not None
    with pytest.raises(RingmasterError, match="is running, and only an open one can be deferred"):
        await queue.do(holding.defer_task, id, queue.clock.now + 9, actor="t")
    with pytest.raises(RingmasterError, match="has passed") as caught:
        await queue.do(holding.defer_task, id, queue.clock.now - 9, actor="t")
    assert caught.value.kind is ErrorKind.USAGE


async def test_a_paused_queue_gives_out_nothing_and_what_runs_goes_on(queue: Queue):
    rng = random.Random(1)
    running = await queue.begin()
    await queue.add_task()
    await queue.add_worker("w2")
    await queue.add_worker("h1", agent="hand", is_pulled=True)
    assert "what runs goes on" in await queue.do(pausing.pause, message="lunch", actor="ann")
    assert await queue.do(pausing.pause, message="again", actor="ben") == "the queue was paused already"
    assert (await queue.do(fill_seats, ["t1", "t2"], 64, rng)).claims == ()
    with pytest.raises(RingmasterError, match="the queue is paused by a person, lunch: nothing is given out") as caught:
        await queue.do(lease.pull, "h1", "t3", lease_s=60.0, is_run=False, max_running=64, actor="t", rng=rng)
    assert (caught.value.kind, caught.value.hint) == (ErrorKind.REFUSED, "rmctl resume")
    await queue.do(report.complete_without_diff, running.attempt.id, running.attempt.token, {})
    assert await queue.do(pausing.resume, actor="ann") == "the queue is resumed"
    assert await queue.do(pausing.resume, actor="ann") == "the queue was not paused"
    assert len((await queue.do(fill_seats, ["t1", "t2"], 64, rng)).claims) == 1
    assert [event.actor for event in await queue.events("queue.")] == ["ann", "ann"]


async def test_a_paused_project_keeps_its_reason_and_the_others_go_on(queue: Queue):
    await queue.add_project("other")
    await queue.add_task(project_id="toy")
    other = await queue.add_task(project_id="other")
    await queue.do(pausing.pause, "to", message="it is red", actor="t")
    await queue.add_worker()
    found = await queue.claim("w1")
    assert found is not None
    assert found.task.id == other
    assert await queue.claim(await queue.add_worker()) is None
    await queue.do(pausing.resume, "toy", actor="t")
    assert await queue.claim("w2") is not None
