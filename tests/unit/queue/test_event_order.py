"""The last event about a task's state tells the state that it is left in."""

from __future__ import annotations

import pytest

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish, TaskEditParams
from ringmaster.queue import control, decide, intake, report
from ringmaster.queue.claim import Claim
from tests.unit.queue.making import Queue


async def finish(queue: Queue, id: str) -> None:
    found = await queue.claim()
    assert found is not None
    assert found.task.id == id
    await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {})


async def test_a_retry_of_what_would_be_done_at_once_is_refused_and_changes_nothing(queue: Queue):
    first = await queue.add_task()
    wish = DependencyWish(id=first, kind=DependencyKind.CONDITIONAL_BLOCKS)
    fallback = await queue.add_task(depends=(wish,))
    await queue.do(control.cancel_task, fallback, actor="t")
    await queue.add_worker()
    await finish(queue, first)
    with pytest.raises(RingmasterError, match="would be done at once: it is not needed any more") as raised:
        await queue.do(control.retry_with_words, fallback, message="", actor="t", rng=queue.rng)
    assert raised.value.kind is ErrorKind.WRONG_STATE
    assert (await queue.task(fallback)).state is TaskState.CANCELLED
    assert (await queue.events())[-1].task_id == first


async def test_an_epic_that_is_done_as_it_is_released_says_so_last(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    await queue.add_worker()
    found = await queue.claim()
    assert found is not None
    await queue.do(intake.edit_task, TaskEditParams(id=epic, is_draft=True), actor="t")
    await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {})
    assert (await queue.task(epic)).state is TaskState.DRAFT
    await queue.do(intake.edit_task, TaskEditParams(id=epic, is_draft=False), actor="t")
    assert (await queue.task(epic)).state is TaskState.DONE
    told = [e.type for e in await queue.events("task.") if e.task_id == epic and e.type in ("task.opened", "task.done")]
    assert told == ["task.opened", "task.done"]
    assert child == found.task.id


async def begin_unneeded(queue: Queue) -> Claim:
    """An attempt at a fallback, its last, of what has come through since it began."""
    first = await queue.add_task(max_attempts=1)
    wish = DependencyWish(id=first, kind=DependencyKind.CONDITIONAL_BLOCKS)
    fallback = await queue.add_task(depends=(wish,), max_attempts=1)
    await queue.add_worker()
    found = await queue.claim()
    assert found is not None
    await queue.do(report.end_attempt, found.attempt.id, found.attempt.token, Outcome.FAILED, "no", rng=queue.rng)
    other = await queue.claim()
    assert other is not None
    assert other.task.id == fallback
    await queue.hand_over(other)
    await queue.do(decide.retry_task, first, actor="t")
    await finish(queue, first)
    return other


async def test_nothing_is_asked_about_a_fallback_that_is_done_as_its_last_attempt_fails(queue: Queue):
    found = await begin_unneeded(queue)
    spent = (found.attempt.id, found.attempt.token, Outcome.GATE_FAILED, "no")
    assert await queue.do(report.end_attempt, *spent, rng=queue.rng) is TaskState.DONE
    assert await queue.asked(found.task.id) == []


async def test_a_fallback_that_is_rejected_does_not_run_again(queue: Queue):
    found = await begin_unneeded(queue)
    names = (found.attempt.id, found.attempt.token, DecisionKind.ACCEPT)
    await queue.do(report.wait_for_person, *names, question="?", detail="", rng=queue.rng)
    await queue.do(control.reject_task, found.task.id, message="no", actor="t")
    assert (await queue.task(found.task.id)).done_by == "unneeded"


async def test_a_task_is_told_of_before_what_comes_of_its_dependencies(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    await queue.add_worker()
    await finish(queue, child)
    before = len(await queue.events())
    other = await queue.add_task(parent_id=epic)
    told = [(event.type, event.task_id) for event in (await queue.events())[before:]]
    assert told == [("task.created", other), ("task.opened", epic)]
