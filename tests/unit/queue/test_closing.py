"""Closing, reopening and cancelling, and what each does to those that wait. Every step recounts all invariants."""

from __future__ import annotations

import pytest

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish
from ringmaster.queue import closing, control, report, undo
from ringmaster.queue.closing import Dependents
from ringmaster.store import attempts
from tests.unit.queue.making import Queue

S = TaskState


async def states(queue: Queue, *ids: str) -> list[TaskState]:
    return [(await queue.task(id)).state for id in ids]


async def end(queue: Queue, id: str, outcome: Outcome = Outcome.CANCELLED) -> None:
    """End the live attempt of a task as its supervisor does."""
    attempt = (await queue.store.read(attempts.salvaged_of_task, id))[-1]
    await queue.do(report.end_attempt, attempt.id, attempt.token, outcome, "why", rng=queue.rng)


async def test_a_closed_task_is_done_by_a_person_and_frees_what_waits(queue: Queue):
    first = await queue.add_task(is_draft=True)
    after = await queue.add_task(after=(first,))
    assert await queue.do(closing.close_task, first, message="done by hand", actor="ann") == (
        f"{first} is done; ready now: {after}"
    )
    task = await queue.task(first)
    assert (task.state, task.done_by) == (S.DONE, "person")
    with pytest.raises(RingmasterError, match="is done, so it cannot be closed"):
        await queue.do(closing.close_task, first, actor="t")


async def test_what_runs_cannot_be_closed(queue: Queue):
    found = await queue.begin()
    with pytest.raises(RingmasterError, match="is running, so it cannot be closed") as caught:
        await queue.do(closing.close_task, found.task.id, actor="t")
    assert caught.value.kind is ErrorKind.WRONG_STATE


async def test_an_epic_with_open_children_is_closed_only_with_a_word_about_them(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    with pytest.raises(RingmasterError, match="1 of the 1 children of epic") as caught:
        await queue.do(closing.close_task, epic, actor="t")
    assert caught.value.kind is ErrorKind.CONFLICT
    assert "--children keep|cancel" in caught.value.hint
    await queue.do(closing.close_task, epic, actor="t", children="keep")
    assert await states(queue, epic, child) == [S.DONE, S.OPEN]
    assert (await queue.task(child)).open_blockers == 0


async def test_closing_an_epic_cancels_its_children_and_theirs_if_told_to(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    inner = await queue.add_task(parent_id=epic, type=TaskType.EPIC)
    leaf = await queue.add_task(parent_id=inner)
    done = await queue.add_task(parent_id=epic)
    after = await queue.add_task(after=(leaf,))
    await queue.do(closing.close_task, done, actor="t")
    note = await queue.do(closing.close_task, epic, actor="t", children="cancel")
    assert await states(queue, epic, inner, leaf, done) == [S.DONE, S.CANCELLED, S.CANCELLED, S.DONE]
    assert f"{inner}, {leaf} cancelled with it" in note
    assert (await queue.task(after)).open_blockers == 1, "what waits for a child goes on waiting"


async def test_reopening_blocks_again_and_says_what(queue: Queue):
    first = await queue.add_task()
    after = await queue.add_task(after=(first,))
    await queue.do(closing.close_task, first, actor="t")
    note = await queue.do(closing.reopen_task, first, actor="t")
    assert note == f"{first} is open again; it blocks {after} again"
    assert (await queue.task(after)).open_blockers == 1
    with pytest.raises(RingmasterError, match="is open, so it is open"):
        await queue.do(closing.reopen_task, first, actor="t")


async def test_what_would_be_done_again_at_once_is_not_reopened(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    fallback = await queue.add_task(depends=(DependencyWish(id=child, kind=DependencyKind.CONDITIONAL_BLOCKS),))
    await queue.do(closing.close_task, child, actor="t")
    assert await states(queue, epic, fallback) == [S.DONE, S.DONE]
    with pytest.raises(RingmasterError, match="done again at once: its children are all over"):
        await queue.do(closing.reopen_task, epic, actor="t")
    with pytest.raises(RingmasterError, match="done again at once: it is not needed any more"):
        await queue.do(closing.reopen_task, fallback, actor="t")
    assert await states(queue, epic, fallback) == [S.DONE, S.DONE]


async def graph(queue: Queue) -> tuple[str, str, str, str]:
    """A task, one that waits for it, one that waits for that, and a child."""
    first = await queue.add_task()
    after = await queue.add_task(after=(first,))
    last = await queue.add_task(after=(after,))
    return first, after, last, await queue.add_task(parent_id=first)


async def test_cancelling_keeps_dependents_and_children_waiting_and_says_so(queue: Queue):
    first, after, last, child = await graph(queue)
    note = await queue.do(control.cancel_task, first, actor="t")
    assert note == f"{first} is cancelled; {after} still waits for it; its child waits until it is opened again"
    assert await states(queue, after, last, child) == [S.OPEN] * 3
    assert [(await queue.task(id)).open_blockers for id in (after, last, child)] == [1, 1, 1]


async def test_cancelling_frees_dependents_if_told_to(queue: Queue):
    first, after, _, child = await graph(queue)
    note = await queue.do(control.cancel_task, first, actor="t", dependents="free")
    assert f"{after} no longer waits for it" in note
    assert [(await queue.task(id)).open_blockers for id in (after, child)] == [0, 1]


async def test_cancelling_cancels_all_that_waits_if_told_to_and_a_fallback_runs(queue: Queue):
    first, after, last, child = await graph(queue)
    fallback = await queue.add_task(depends=(DependencyWish(id=first, kind=DependencyKind.CONDITIONAL_BLOCKS),))
    note = await queue.do(control.cancel_task, first, actor="t", dependents="cancel")
    assert await states(queue, first, after, last, child) == [S.CANCELLED] * 4
    assert (await queue.task(fallback)).open_blockers == 0
    assert f"{after}, {child}, {last} cancelled with it" in note


async def test_a_long_chain_is_cancelled_without_recursion_and_counted(queue: Queue):
    first = last = await queue.add_task()
    for _ in range(7):
        last = await queue.add_task(after=(last,))
    note = await queue.do(control.cancel_task, first, actor="t", dependents="cancel")
    assert "(7 in all) cancelled with it" in note


@pytest.mark.parametrize("choice", list(Dependents))
async def test_the_choice_for_a_running_task_is_kept_until_it_is_really_cancelled(queue: Queue, choice: Dependents):
    found = await queue.begin()
    id = found.task.id
    after = await queue.add_task(after=(id,))
    note = await queue.do(control.cancel_task, id, actor="ann", dependents=choice)
    assert "is being ended" in note
    assert after in note
    assert (await queue.task(after)).open_blockers == 1, "it has not ended yet"
    await end(queue, id)
    task = await queue.task(after)
    expected = {Dependents.KEEP: (S.OPEN, 1), Dependents.FREE: (S.OPEN, 0), Dependents.CANCEL: (S.CANCELLED, 1)}
    assert (task.state, task.open_blockers) == expected[choice]
    if choice is Dependents.CANCEL:
        assert (await queue.events("task.cancelled"))[-1].actor == "ann"


async def test_a_dependent_that_runs_again_is_ended_before_it_is_cancelled(queue: Queue):
    first = await queue.add_task()
    after = await queue.add_task(after=(first,))
    await queue.do(closing.close_task, first, actor="t")
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    await queue.do(closing.reopen_task, first, actor="t")
    note = await queue.do(control.cancel_task, first, actor="t", dependents="cancel")
    assert f"{after} being ended, then cancelled" in note
    await end(queue, after)
    assert await states(queue, first, after) == [S.CANCELLED, S.CANCELLED]


async def test_failing_says_how_many_wait(queue: Queue):
    found = await queue.begin(max_attempts=1)
    await queue.add_task(after=(found.task.id,))
    await end(queue, found.task.id, Outcome.FAILED)
    [asked] = await queue.asked(found.task.id)
    assert "and 1 task waits for it" in asked.question


async def all_rows(queue: Queue) -> list[object]:
    return await queue.store.read(
        lambda conn: [
            row for table in ("tasks", "dependencies", "events") for row in conn.rows(f"SELECT * FROM {table}")
        ]
    )


@pytest.mark.parametrize("choice", [Dependents.FREE, Dependents.CANCEL])
async def test_no_change_takes_more_with_it_than_one_transaction_should(
    queue: Queue, choice: Dependents, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(closing, "MOST", 3)
    first = await queue.add_task()
    waiting = [await queue.add_task(after=(first,)) for _ in range(3)]
    one_more = await queue.add_task(after=(first if choice is Dependents.FREE else waiting[0],))
    before = await all_rows(queue)
    with pytest.raises(RingmasterError, match=f"more than 3 tasks wait for {first}, too many to {choice}") as caught:
        await queue.do(closing.cancel_task, first, actor="t", dependents=choice)
    assert caught.value.hint.startswith(f"rmctl cancel {first} --dependents keep")
    assert await all_rows(queue) == before
    await queue.do(closing.cancel_task, one_more, actor="t", dependents=Dependents.FREE)
    await queue.do(closing.cancel_task, waiting[0], actor="t", dependents=Dependents.CANCEL)
    await queue.do(closing.cancel_task, first, actor="t", dependents=choice)
    monkeypatch.setattr(undo, "MOST", 1)
    before = await all_rows(queue)
    with pytest.raises(RingmasterError, match="more than 1 tasks were changed with it"):
        await queue.do(undo.undo, first, actor="t")
    assert await all_rows(queue) == before


async def test_closing_an_epic_cancels_only_so_many_below_it(queue: Queue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(closing, "MOST", 3)
    epic = await queue.add_task(type=TaskType.EPIC)
    children = [await queue.add_task(parent_id=epic) for _ in range(3)]
    below = await queue.add_task(parent_id=children[0])
    before = await all_rows(queue)
    with pytest.raises(RingmasterError, match=f"more than 3 below {epic} have not ended"):
        await queue.do(closing.close_task, epic, actor="t", children="cancel")
    assert await all_rows(queue) == before
    await queue.do(closing.cancel_task, below, actor="t")
    await queue.do(closing.close_task, epic, actor="t", children="cancel")


async def test_that_an_attempt_ended_is_written_down_however_many_wait_by_then(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(closing, "MOST", 1)
    found = await queue.begin()
    first = await queue.add_task(after=(found.task.id,))
    await queue.do(closing.cancel_task, found.task.id, actor="t", dependents=Dependents.CANCEL)
    second = await queue.add_task(after=(found.task.id,))
    await end(queue, found.task.id)
    assert await states(queue, found.task.id, first, second) == [S.CANCELLED, S.OPEN, S.OPEN]
