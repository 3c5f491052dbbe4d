"""A graph of tasks: what each kind of dependency does as its tasks move. Every step recounts all invariants."""

from __future__ import annotations

import pytest

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish, TaskDepParams, TaskEditParams
from ringmaster.queue import control, decide, intake, report
from tests.unit.queue.making import Queue

K = DependencyKind


async def finish(queue: Queue, id: str) -> None:
    """A worker takes the task, which must be the next one, and does it without a change."""
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert found.task.id == id
    await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {})


async def fail(queue: Queue, id: str) -> None:
    """The same, and it uses up its attempts."""
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert found.task.id == id
    ended = (found.attempt.id, found.attempt.token, Outcome.FAILED, "no")
    assert await queue.do(report.end_attempt, *ended, rng=queue.rng) is TaskState.FAILED


async def depend(queue: Queue, id: str, other: str, kind: DependencyKind, mode: str = "") -> None:
    wish = TaskDepParams(id=id, add=(other,), kind=kind, mode=mode)  # type: ignore[arg-type]  # a literal by name
    await queue.do(intake.change_dependencies, id, wish, actor="t")


async def test_children_have_ids_below_their_parents_that_are_never_given_twice(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    first, second = [await queue.add_task(parent_id=epic) for _ in range(2)]
    assert (first, second) == (f"{epic}.1", f"{epic}.2")
    assert await queue.add_task(parent_id=second) == f"{epic}.2.1"
    await queue.do(
        intake.change_dependencies, second, TaskDepParams(id=second, remove=(epic,), kind=K.PARENT_CHILD), actor="t"
    )
    assert await queue.add_task(parent_id=epic) == f"{epic}.3"


async def test_an_epic_is_never_given_out_and_done_with_its_last_child(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC, priority=0)
    after = await queue.add_task(after=(epic,))
    first, second, third = [await queue.add_task(parent_id=epic) for _ in range(3)]
    await finish(queue, first)
    await queue.do(control.cancel_task, second, actor="t")
    assert (await queue.task(epic)).state is TaskState.OPEN
    await finish(queue, third)
    task = await queue.task(epic)
    assert (task.state, task.done_by) == (TaskState.DONE, "children")
    await finish(queue, after)


async def test_a_child_that_is_opened_again_opens_its_epic_and_what_waits_for_it(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    first, second = [await queue.add_task(parent_id=epic) for _ in range(2)]
    after = await queue.add_task(after=(epic,))
    await queue.do(control.cancel_task, second, actor="t")
    await finish(queue, first)
    assert (await queue.task(after)).open_blockers == 0
    await queue.do(decide.retry_task, second, actor="t")
    assert (await queue.task(epic)).state is TaskState.OPEN
    assert (await queue.task(after)).open_blockers == 1


async def test_an_epic_whose_children_were_all_cancelled_waits_for_a_person(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    await queue.do(control.cancel_task, child, actor="t")
    assert (await queue.task(epic)).state is TaskState.OPEN


async def test_what_blocks_a_parent_holds_its_children_and_theirs(queue: Queue):
    first = await queue.add_task()
    epic = await queue.add_task(type=TaskType.EPIC, after=(first,))
    child = await queue.add_task(parent_id=epic, type=TaskType.EPIC)
    grandchild = await queue.add_task(parent_id=child)
    assert (await queue.task(grandchild)).open_blockers == 1
    await finish(queue, first)
    await finish(queue, grandchild)
    assert (await queue.task(epic)).state is TaskState.DONE


async def test_a_cancelled_parent_holds_its_children(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    await queue.do(control.cancel_task, epic, actor="t")
    assert (await queue.task(child)).open_blockers == 1
    assert await queue.claim(await queue.add_worker()) is None


async def test_a_fallback_runs_only_if_the_other_failed(queue: Queue):
    first = await queue.add_task(max_attempts=1)
    fallback = await queue.add_task(depends=(DependencyWish(id=first, kind=K.CONDITIONAL_BLOCKS),))
    await fail(queue, first)
    assert (await queue.task(fallback)).open_blockers == 0
    await queue.do(decide.retry_task, first, actor="t")
    assert (await queue.task(fallback)).open_blockers == 1, "it may succeed yet"
    after = await queue.add_task(after=(fallback,))
    await finish(queue, first)
    task = await queue.task(fallback)
    assert (task.state, task.done_by) == (TaskState.DONE, "unneeded")
    await finish(queue, after)


async def test_a_fallback_that_ran_while_the_other_came_through_is_given_up_when_it_ends(queue: Queue):
    first = await queue.add_task(max_attempts=1)
    fallback = await queue.add_task(depends=(DependencyWish(id=first, kind=K.CONDITIONAL_BLOCKS),))
    await fail(queue, first)
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert found.task.id == fallback
    await queue.do(decide.retry_task, first, actor="t")
    await finish(queue, first)
    assert (await queue.task(fallback)).state is TaskState.RUNNING
    ended = (found.attempt.id, found.attempt.token, Outcome.FAILED, "no")
    await queue.do(report.end_attempt, *ended, rng=queue.rng)
    assert (await queue.task(fallback)).done_by == "unneeded"


@pytest.mark.parametrize(("mode", "after_one"), [("all", 1), ("any", 0), ("", 1)])
async def test_who_waits_for_children_waits_for_any_or_all_of_them(queue: Queue, mode: str, after_one: int):
    epic = await queue.add_task(type=TaskType.EPIC)
    first, second = [await queue.add_task(parent_id=epic) for _ in range(2)]
    waiting = await queue.add_task()
    await depend(queue, waiting, epic, K.WAITS_FOR, mode)
    await finish(queue, first)
    assert (await queue.task(waiting)).open_blockers == after_one
    await queue.do(control.cancel_task, second, actor="t")
    assert (await queue.task(waiting)).open_blockers == 0


@pytest.mark.parametrize("kind", [K.RELATED, K.DISCOVERED_FROM, K.DUPLICATES, K.SUPERSEDES])
async def test_what_is_only_related_blocks_nothing_and_closes_no_circle(queue: Queue, kind: DependencyKind):
    first, second = await queue.add_task(), await queue.add_task()
    await depend(queue, first, second, kind)
    await depend(queue, second, first, K.BLOCKS)
    assert (await queue.task(first)).open_blockers == 0


async def test_a_second_parent_is_refused(queue: Queue):
    first, second = await queue.add_task(), await queue.add_task()
    child = await queue.add_task(parent_id=first)
    with pytest.raises(RingmasterError, match=f"is a child of {first} already"):
        await depend(queue, child, second, K.PARENT_CHILD)


async def test_circles_through_kinship_are_refused(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    outside = await queue.add_task(after=(epic,))
    for id, other, kind in (
        (child, epic, K.BLOCKS),
        (child, epic, K.WAITS_FOR),
        (child, outside, K.BLOCKS),
        (epic, child, K.BLOCKS),
        (epic, child, K.PARENT_CHILD),
    ):
        with pytest.raises(RingmasterError) as raised:
            await depend(queue, id, other, kind)
        assert raised.value.kind is ErrorKind.CONFLICT
        assert "closes the circle" in raised.value.message
    with pytest.raises(RingmasterError, match="closes the circle"):
        await queue.add_task(parent_id=epic, after=(outside,))


async def test_an_epic_with_children_stays_one(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    await queue.do(intake.edit_task, TaskEditParams(id=epic, type=TaskType.TASK), actor="t")
    assert (await queue.task(epic)).open_blockers == 0
    await queue.do(intake.edit_task, TaskEditParams(id=epic, type=TaskType.EPIC), actor="t")
    await queue.add_task(parent_id=epic)
    with pytest.raises(RingmasterError, match="cannot stop being an epic"):
        await queue.do(intake.edit_task, TaskEditParams(id=epic, type=TaskType.TASK), actor="t")


async def test_the_end_of_one_child_reads_none_of_the_others(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    children = [await queue.add_task(parent_id=epic) for _ in range(30)]
    before = await queue.task(children[-1])
    await finish(queue, children[0])
    assert await queue.task(children[-1]) == before
    assert (await queue.task(epic)).open_children == 29
