"""Which change an undo means: the one that is named, or the newest; never one in place of another."""

from __future__ import annotations

import pytest

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.queue import comments, control, decide, pausing
from tests.unit.queue.making import Queue
from tests.unit.queue.test_undo import edit, refused, take_back


async def test_undoing_goes_further_back_and_never_toggles(queue: Queue):
    id = await queue.add_task(priority=2)
    for priority in (1, 3):
        await edit(queue, id, priority=priority)
    for expected in (1, 2):
        await take_back(queue)
        assert (await queue.task(id)).priority == expected
    assert f"({id}: created: t) cannot be taken back" in await refused(queue)
    assert await refused(queue, id) == f"there is no change of {id} that could be taken back"


async def test_an_event_is_taken_back_once_and_its_undo_by_its_own_number(queue: Queue):
    id = await queue.add_task(title="old")
    await edit(queue, id, title="new")
    first = await take_back(queue)
    assert f"it was, by event {first.by_seq}" in await refused(queue, str(first.seq))
    again = await take_back(queue, str(first.by_seq))
    assert (await queue.task(id)).title == "new"
    assert f"it was, by event {again.by_seq}" in await refused(queue, str(first.by_seq))
    last = await take_back(queue)
    assert (last.seq, (await queue.task(id)).title) == (first.seq, "old")


async def test_a_live_attempt_that_was_ended_is_not_passed_over_for_something_older(queue: Queue):
    id = await queue.add_task(title="a")
    await edit(queue, id, title="b")
    other = (await queue.begin(project_id="toy", priority=0)).task.id
    await queue.do(control.cancel_task, other, actor="t")
    words = await refused(queue)
    assert f"({other}: {other}/1: asked for the attempt to be ended) cannot be taken back: work had begun" in words
    await take_back(queue, id)
    assert (await queue.task(id)).title == "a"


@pytest.mark.parametrize("last", ["add", "pause", "answer", "comment"])
async def test_nothing_older_is_taken_back_in_place_of_the_newest_that_cannot_be(queue: Queue, last: str):
    id = await queue.add_task(title="old")
    asked = await queue.do(
        decide.open_decision, DecisionKind.QUESTION, project_id="toy", task_id=id, question="Which?", rng=queue.rng
    )
    await edit(queue, id, title="new")
    queue.clock.now += 1
    if last == "add":
        await queue.add_task()
    elif last == "pause":
        await queue.do(pausing.pause, "toy", actor="t")
    elif last == "comment":
        await queue.do(comments.add_comment, id, "so be it", actor="t")
    else:
        await queue.do(decide.answer_decision, asked, answer="this", message="", actor="t")
    words = await refused(queue)
    assert "cannot be taken back: it is the newest thing done, and there is no undo of it; nothing was" in words
    await take_back(queue, id)
    assert (await queue.task(id)).title == "old"


async def test_what_others_do_meanwhile_keeps_nothing_from_being_taken_back(queue: Queue):
    id = await queue.add_task(title="old")
    await edit(queue, id, title="new")
    queue.clock.now += 1
    await queue.do(comments.add_comment, id, "found more", actor="attempt:rm-aaaaa/1")
    await take_back(queue)
    assert (await queue.task(id)).title == "old"


async def test_what_is_no_change_of_a_person_is_refused_by_its_number(queue: Queue):
    id = await queue.add_task()
    assert f"({id}: created: t) cannot be taken back: it is no change" in await refused(queue, "2")
    assert await refused(queue, "999") == "no event 999"
    with pytest.raises(RingmasterError) as caught:
        await take_back(queue, "rm-nope")
    assert caught.value.kind is ErrorKind.NOT_FOUND
