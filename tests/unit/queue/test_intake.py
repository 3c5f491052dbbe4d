"""Tasks in, and what waits for what."""

from __future__ import annotations

import random

import msgspec
import pytest

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish, TaskAddParams, TaskDepParams, TaskEditParams
from ringmaster.queue import control, intake, report
from ringmaster.store import tasks
from tests.unit.queue.making import Queue


async def test_a_cycle_is_refused_and_named_in_the_order_of_waiting(queue: Queue):
    chain = [await queue.add_task()]
    for _ in range(50):
        chain.append(await queue.add_task(after=(chain[-1],)))
    with pytest.raises(RingmasterError) as raised:
        await queue.do(intake.change_dependencies, chain[0], TaskDepParams(id=chain[0], add=(chain[3],)), actor="test")
    assert raised.value.kind is ErrorKind.CONFLICT
    named = " -> ".join((chain[0], chain[3], chain[2], chain[1], chain[0]))
    assert raised.value.message.endswith(f"closes the circle {named}")
    with pytest.raises(RingmasterError) as raised:
        await queue.do(intake.change_dependencies, chain[0], TaskDepParams(id=chain[0], add=(chain[0],)), actor="test")
    assert "cannot wait for itself" in raised.value.message


async def test_a_diamond_is_no_cycle_and_is_freed_once_all_is_done(queue: Queue):
    top = await queue.add_task()
    sides = [await queue.add_task(after=(top,)) for _ in range(2)]
    bottom = await queue.add_task(after=tuple(sides))
    await queue.add_worker()
    assert (await queue.task(bottom)).open_blockers == 2
    for id in (top, *sides):
        found = await queue.claim()
        assert found is not None
        assert found.task.id == id
        await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {})
    assert (await queue.task(bottom)).open_blockers == 0


async def test_waiting_for_what_is_done_blocks_nothing(queue: Queue):
    found = await queue.begin()
    await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {})
    id = await queue.add_task(after=(found.task.id, found.task.id))
    assert (await queue.task(id)).open_blockers == 0


async def test_what_failed_or_was_cancelled_still_blocks(queue: Queue):
    first = await queue.add_task()
    second = await queue.add_task(after=(first,))
    note = await queue.do(control.cancel_task, first, actor="test")
    assert f"{second} still waits for it" in note
    assert (await queue.task(second)).open_blockers == 1
    note = await queue.do(intake.change_dependencies, second, TaskDepParams(id=second, remove=(first,)), actor="test")
    assert note == "waits for 0 more and 1 less"
    assert (await queue.task(second)).open_blockers == 0


async def test_a_dependency_counts_once_however_often_it_is_added(queue: Queue):
    first, second = await queue.add_task(), await queue.add_task()
    for expected in ("waits for 1 more and 0 less", "nothing changed"):
        assert (
            await queue.do(intake.change_dependencies, second, TaskDepParams(id=second, add=(first,)), actor="t")
            == expected
        )
    assert (await queue.task(second)).open_blockers == 1


async def test_a_bad_blocker_leaves_no_task_behind(queue: Queue):
    with pytest.raises(RingmasterError) as raised:
        await queue.add_task(after=("rm-nope",))
    assert raised.value.kind is ErrorKind.NOT_FOUND
    assert await queue.events("task.") == []


async def test_an_edit_keeps_what_was_in_its_event(queue: Queue):
    id = await queue.add_task("old", capabilities=("b", "a"))
    params = TaskEditParams(id=id, title="new", capabilities=("z", "a", "z"))
    await queue.do(intake.edit_task, params, actor="test")
    task = await queue.task(id)
    assert (task.title, task.capabilities, task.version) == ("new", ("a", "z"), 2)
    event = (await queue.events("task.edited"))[0]
    assert b'"before":{"title":"old","capabilities":["a","b"]}' in bytes(event.data)
    await queue.do(intake.edit_task, TaskEditParams(id=id), actor="test")
    assert len(await queue.events("task.edited")) == 1


async def test_an_edit_moves_the_task_to_the_seats_that_can_take_it(queue: Queue):
    id = await queue.add_task(agent="claude")
    worker = await queue.add_worker()
    assert await queue.claim(worker) is None
    await queue.do(intake.edit_task, TaskEditParams(id=id, agent=""), actor="test")
    assert await queue.claim(worker) is not None


async def test_what_is_answered_of_a_new_task_is_its_row(queue: Queue):
    params = TaskAddParams(title=" t ", labels=("a", "a"), capabilities=("y", "x"), not_before_at=1.5, is_draft=True)
    row = await queue.do(intake.store_task, params, actor="test", max_attempts=4, rng=queue.rng)
    assert row == await queue.store.read(tasks.row_by_id, row.task.id)


async def test_a_taken_id_gives_a_longer_one(queue: Queue):
    first = await queue.do(
        intake.add_task, TaskAddParams(title="t"), actor="test", max_attempts=1, rng=random.Random(1)
    )
    second = await queue.do(
        intake.add_task, TaskAddParams(title="t"), actor="test", max_attempts=1, rng=random.Random(1)
    )
    assert (len(first), len(second)) == (8, 9)


async def test_the_event_of_a_new_task_says_all_that_is_in_its_way(queue: Queue):
    parent, other = await queue.add_task(type=TaskType.EPIC), await queue.add_task()
    wish = DependencyWish(id=other[:6], kind=DependencyKind.WAITS_FOR, mode="any")
    await queue.add_task(parent_id=parent, depends=(wish,), after=(other,), is_held=True)
    told = msgspec.json.decode((await queue.events("task.created"))[-1].data)
    assert told["parent_id"] == parent
    assert told["is_held"]
    assert told["after"] == [other]
    assert told["depends"] == [{"id": other, "kind": "waits-for", "mode": "any"}]
