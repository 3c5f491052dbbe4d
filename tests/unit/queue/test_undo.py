"""Taking back what a person did: back to the very state, whole or not at all. Every step recounts all invariants."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.attempt import LandingIntent
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, Task, TaskType
from ringmaster.protocol.task import DependencyWish, TaskDepParams, TaskEditParams
from ringmaster.protocol.task_control import TaskUndone
from ringmaster.queue import closing, control, decide, holding, intake, report
from ringmaster.queue.history import task_history
from ringmaster.queue.undo import undo
from ringmaster.store.tasks import release_due
from tests.unit.queue.making import Queue

K = DependencyKind
S = TaskState
COUNTED = {"version", "updated_at"}


async def take_back(queue: Queue, target: str = "") -> TaskUndone:
    queue.clock.now += 1
    return await queue.do(undo, target, actor="ann")


async def refused(queue: Queue, target: str = "") -> str:
    """The one line of an undo that cannot be, after which nothing has changed."""
    before = await queue.store.read(lambda conn: conn.rows("SELECT * FROM tasks") + conn.rows("SELECT * FROM undone"))
    with pytest.raises(RingmasterError) as caught:
        await take_back(queue, target)
    after = await queue.store.read(lambda conn: conn.rows("SELECT * FROM tasks") + conn.rows("SELECT * FROM undone"))
    assert before == after
    assert "\n" not in caught.value.message
    return caught.value.message


async def edit(queue: Queue, id: str, **changes: Any) -> None:
    queue.clock.now += 1
    await queue.do(intake.edit_task, TaskEditParams(id=id, **changes), actor="t")


async def depend(queue: Queue, id: str, **fields: Any) -> None:
    await queue.do(intake.change_dependencies, id, TaskDepParams(id=id, **fields), actor="t")


def kept(task: Task, *, but: frozenset[str] = frozenset()) -> dict[str, object]:
    """What an undo brings back: all fields but those that count what was done."""
    return {name: getattr(task, name) for name in Task.__struct_fields__ if name not in COUNTED | but}


async def test_an_edit_is_taken_back_field_by_field_with_its_rank(queue: Queue):
    id = await queue.add_task(title="old", labels=("a",), limits=Limits(wall_s=5))
    before = await queue.task(id)
    await edit(
        queue, id, title="new", priority=0, labels=("b",), limits=Limits(turns=3), deadline_at=99e6, type=TaskType.EPIC
    )
    done = await take_back(queue)
    assert kept(before) == kept(await queue.task(id))
    assert (done.view.task.title, done.others) == ("old", ())
    assert "priority 2 -> 0" in done.note


async def test_what_changed_since_is_not_taken_back_also_when_it_was_changed_back(queue: Queue):
    id = await queue.add_task(title="a")
    await edit(queue, id, title="b")
    [event] = await queue.events("task.edited")
    await edit(queue, id, title="c")
    await edit(queue, id, title="b")
    words = await refused(queue, str(event.seq))
    assert words == (
        f"event {event.seq} ({id}: title a -> b) cannot be taken back: {id} has changed since, by event"
        f" {event.seq + 2} (title c -> b); nothing was changed"
    )


async def test_work_that_has_begun_or_landed_is_not_taken_back(queue: Queue):
    id = await queue.add_task(title="a")
    await edit(queue, id, title="b")
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert "is running: work has begun; nothing was changed" in await refused(queue)
    await queue.do(control.cancel_task, id, actor="t")
    await queue.do(
        report.end_attempt, found.attempt.id, found.attempt.token, Outcome.CANCELLED, "by a person", rng=queue.rng
    )
    assert "cannot be taken back: " in await refused(queue, id)
    cancelled = (await queue.events("task.cancelled"))[-1]
    assert "it came of an answer, or of work that had begun" in await refused(queue, str(cancelled.seq))


async def test_what_has_landed_is_not_taken_back(queue: Queue):
    id = await queue.add_task(title="a")
    await edit(queue, id, title="b")
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    await queue.hand_over(found)
    names = (found.attempt.id, found.attempt.token)
    await queue.do(report.store_intent, *names, LandingIntent(ref="r", old="0" * 40, new="1" * 40))
    await queue.do(report.complete_landing, *names, parked_commit="")
    assert f"{id} has landed as 111111111111; nothing was changed" in await refused(queue)


async def test_a_retry_is_taken_back_with_its_counters_and_its_time(queue: Queue):
    found = await queue.begin()
    id = found.task.id
    await queue.do(report.end_attempt, found.attempt.id, found.attempt.token, Outcome.FAILED, "no", rng=queue.rng)
    before = await queue.task(id)
    assert (before.counted_attempts, before.not_before_at is not None) == (1, True)
    await queue.do(control.retry_with_words, id, message="", actor="t", rng=queue.rng)
    assert (await queue.task(id)).not_before_at is None
    await take_back(queue)
    assert kept(before) == kept(await queue.task(id))


@pytest.mark.parametrize("more", [{}, {"is_draft": True}, {"is_held": True}])
async def test_a_cancelled_task_comes_back_as_what_it_was(queue: Queue, more: dict[str, Any]):
    other = await queue.add_task()
    id = await queue.add_task(after=(other,), not_before_at=queue.clock.now + 1e6, **more)
    last = await queue.add_task(after=(id,))
    before = await queue.task(id)
    await queue.do(control.cancel_with_words, id, message="no", actor="t", rng=queue.rng)
    await take_back(queue)
    assert kept(before) == kept(await queue.task(id))
    assert (await queue.task(last)).open_blockers == 1


async def test_a_failed_task_comes_back_failed_with_its_decision_and_once_more(queue: Queue):
    found = await queue.begin(max_attempts=1)
    id = found.task.id
    await queue.do(report.end_attempt, found.attempt.id, found.attempt.token, Outcome.FAILED, "no", rng=queue.rng)
    before, [asked] = await queue.task(id), await queue.asked(id)
    for act in (control.cancel_task, closing.close_task, closing.reopen_task):
        await queue.do(act, id, actor="t")
        assert await queue.asked(id) == []
        done = await take_back(queue)
        assert kept(before) == kept(await queue.task(id))
        assert await queue.asked(id) == [asked]
        await take_back(queue, str(done.by_seq))
        assert await queue.asked(id) == []
        await take_back(queue, id)
        assert kept(before) == kept(await queue.task(id))
    await queue.do(control.retry_with_words, id, message="", actor="t", rng=queue.rng)
    assert "came of an answer" in await refused(queue, str((await queue.events("task.opened"))[-1].seq))


async def test_a_reopened_task_is_done_again_with_its_commit(queue: Queue):
    id = await queue.add_task()
    await queue.do(closing.close_task, id, actor="t")
    await queue.store.write(lambda conn: conn.execute("UPDATE tasks SET landed_commit = 'abc' WHERE id = ?", (id,)))
    before = await queue.task(id)
    await queue.do(closing.reopen_task, id, actor="t")
    await take_back(queue)
    assert kept(before) == kept(await queue.task(id))


async def test_all_that_was_cancelled_together_comes_back_together(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    done, child = [await queue.add_task(parent_id=epic) for _ in range(2)]
    draft = await queue.add_task(after=(epic,), is_draft=True)
    last = await queue.add_task(after=(draft,))
    await queue.do(closing.close_task, done, actor="t")
    ids = (epic, done, child, draft, last)
    before = [await queue.task(id) for id in ids]
    await queue.do(control.cancel_task, epic, actor="t", dependents="cancel")
    assert (await queue.task(last)).state is S.CANCELLED
    # By the name of one that was only taken along.
    undone = await take_back(queue, last)
    assert set(undone.others) == {child, draft, last}
    for task, id in zip(before, ids, strict=True):
        assert kept(task) == kept(await queue.task(id))
    again = await take_back(queue, str(undone.by_seq))
    assert [(await queue.task(id)).state for id in ids] == [S.CANCELLED, S.DONE, *[S.CANCELLED] * 3]
    await take_back(queue, str(again.by_seq))
    for task, id in zip(before, ids, strict=True):
        assert kept(task) == kept(await queue.task(id))


async def test_or_not_at_all(queue: Queue):
    first = await queue.add_task()
    after = await queue.add_task(after=(first,))
    await queue.do(control.cancel_task, first, actor="t", dependents="cancel")
    await queue.do(decide.retry_task, after, actor="t")
    assert f"{after} has changed since, by event" in await refused(queue, first)


async def test_closing_an_epic_with_its_children_is_taken_back_whole(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    done, child = [await queue.add_task(parent_id=epic) for _ in range(2)]
    fallback = await queue.add_task(depends=(DependencyWish(id=epic, kind=K.CONDITIONAL_BLOCKS),))
    await queue.do(closing.close_task, done, actor="t")
    ids = (epic, done, child, fallback)
    before = [await queue.task(id) for id in ids]
    await queue.do(closing.close_task, epic, actor="t", children="cancel")
    assert (await queue.task(fallback)).state is S.DONE, "it is not needed any more"
    await take_back(queue, epic)
    for task, id in zip(before, ids, strict=True):
        assert kept(task) == kept(await queue.task(id))


async def test_freed_dependents_wait_again(queue: Queue):
    first = await queue.add_task()
    after = await queue.add_task(after=(first,), depends=(DependencyWish(id=first, kind=K.WAITS_FOR, mode="any"),))
    assert (await queue.task(after)).open_blockers == 2
    await queue.do(control.cancel_task, first, actor="t", dependents="free")
    assert (await queue.task(after)).open_blockers == 0
    undone = await take_back(queue)
    kinds = await queue.store.read(
        lambda conn: conn.rows("SELECT kind, mode FROM dependencies WHERE task_id = ? ORDER BY kind", (after,))
    )
    assert kinds == [("blocks", ""), ("waits-for", "any")]
    await take_back(queue, str(undone.by_seq))
    assert (await queue.task(after)).open_blockers == 0


async def test_a_dependency_is_taken_back_and_put_back_only_where_no_circle_closes(queue: Queue):
    one, other = [await queue.add_task() for _ in range(2)]
    await depend(queue, one, add=(other,), kind=K.WAITS_FOR, mode="any")
    await take_back(queue)
    assert (await queue.task(one)).open_blockers == 0
    await depend(queue, one, add=(other,))
    await depend(queue, one, remove=(other,))
    removal = (await queue.events("task.dependencies_changed"))[-1]
    await depend(queue, other, add=(one,))
    assert "closes the circle" in await refused(queue, str(removal.seq))
    await take_back(queue, other)
    await take_back(queue, str(removal.seq))
    assert (await queue.task(one)).open_blockers == 1


async def test_a_hold_a_release_and_a_deferral_are_taken_back(queue: Queue):
    id = await queue.add_task(is_draft=True, is_held=True)
    await queue.do(holding.release_task, id, actor="t")
    await take_back(queue)
    task = await queue.task(id)
    assert (task.state, task.held_at is not None) == (S.DRAFT, True)
    await queue.do(holding.release_task, id, actor="t")
    await queue.do(holding.hold_task, id, actor="t")
    await take_back(queue)
    assert (await queue.task(id)).held_at is None
    await queue.do(holding.defer_task, id, queue.clock.now + 50, actor="t")
    await take_back(queue)
    assert (await queue.task(id)).not_before_at is None


async def test_releasing_a_draft_that_was_not_held_is_taken_back_and_done_again(queue: Queue):
    id = await queue.add_task(is_draft=True)
    await queue.do(holding.release_task, id, actor="t")
    undone = await take_back(queue)
    assert (await queue.task(id)).state is S.DRAFT
    await take_back(queue, str(undone.by_seq))
    assert (await queue.task(id)).state is S.OPEN


async def test_a_deferral_whose_time_has_come_is_not_taken_back(queue: Queue):
    id = await queue.add_task()
    await queue.do(holding.defer_task, id, queue.clock.now + 5, actor="t")
    queue.clock.now += 10
    # As any claim does, also for another task.
    await queue.do(release_due)
    words = await refused(queue, id)
    assert f"that time has come, and {id} was given free" in words


async def test_the_history_tells_each_change_with_before_and_after(queue: Queue):
    id = await queue.add_task(title="old")
    await edit(queue, id, title="new", priority=1)
    await queue.do(holding.hold_task, id, message="wait", actor="ben")
    await take_back(queue)
    history = await queue.store.read(task_history, id, 100)
    assert [(line.actor, line.words) for line in history.lines] == [
        ("test", "created: old"),
        ("t", "title old -> new; priority 2 -> 1"),
        ("ben", "held: wait"),
        ("ann", f"released [takes back event {history.lines[2].seq}]"),
    ]
    assert [line.can_undo for line in history.lines] == [False, True, False, True]
    assert history.lines[2].undone_by == history.lines[3].seq
    assert history.is_whole
    assert not (await queue.store.read(task_history, id, 2)).is_whole


@pytest.mark.parametrize("is_closed", [True, False])
async def test_undoing_ends_nothing_else_however_the_rows_come_back(queue: Queue, is_closed: bool):
    outer = await queue.add_task(type=TaskType.EPIC)
    inner = await queue.add_task(type=TaskType.EPIC, parent_id=outer)
    done, child = [await queue.add_task(parent_id=inner) for _ in range(2)]
    await queue.do(closing.close_task, done, actor="t")
    fallback = await queue.add_task(depends=(DependencyWish(id=inner, kind=K.CONDITIONAL_BLOCKS),))
    ids = (outer, inner, child, fallback)
    before = [await queue.task(id) for id in ids]
    if is_closed:
        await queue.do(closing.close_task, outer, actor="t", children="cancel")
    else:
        await queue.do(closing.cancel_task, outer, actor="t", dependents=closing.Dependents.CANCEL)
    await take_back(queue, outer)
    for one in before:
        assert kept(one) == kept(await queue.task(one.id))


@pytest.mark.parametrize("how", ["free", "conditional", "release", "draft", "dependency"])
async def test_an_epic_that_a_change_let_end_is_open_again_without_it(queue: Queue, how: str):
    first, outer = await queue.add_task(), await queue.add_task(type=TaskType.EPIC)
    more: dict[str, Any] = {"parent_id": outer, "is_held": how == "release", "is_draft": how == "draft"}
    epic = await queue.add_task(type=TaskType.EPIC, **more)
    child = await queue.add_task(parent_id=epic)
    if how in ("free", "dependency", "conditional"):
        kind = K.CONDITIONAL_BLOCKS if how == "conditional" else K.BLOCKS
        await depend(queue, epic, add=(first,), kind=kind)
    after = await queue.add_task(after=(epic,))
    await queue.do(closing.close_task, child, actor="t")
    ids = (first, outer, epic, child, after)
    before = [await queue.task(id) for id in ids]
    if how in ("release", "draft"):
        await queue.do(holding.release_task, epic, actor="t")
    elif how == "dependency":
        await depend(queue, epic, remove=(first,))
    else:
        await queue.do(control.cancel_task, first, actor="t", dependents="free" if how == "free" else "keep")
    ended = [await queue.task(id) for id in ids]
    assert [task.done_by for task in ended[1:3]] == ["children", "children"]
    undone = await take_back(queue)
    for task in before:
        assert kept(task, but=frozenset({"held_at"})) == kept(await queue.task(task.id), but=frozenset({"held_at"}))
    await take_back(queue, str(undone.by_seq))
    for task in ended:
        assert kept(task) == kept(await queue.task(task.id))


async def test_what_older_code_left_ended_without_a_rank_gets_one_when_it_is_opened_again(queue: Queue):
    reopened, restored = [await queue.add_task() for _ in range(2)]
    await queue.do(closing.close_task, reopened, actor="t")
    await queue.do(closing.cancel_task, restored, actor="t")
    await queue.store.write(lambda conn: conn.execute("UPDATE tasks SET rank = 0"))
    await queue.do(closing.reopen_task, reopened, actor="t")
    await take_back(queue, restored)
    ranks = await queue.store.read(lambda conn: conn.rows("SELECT rank FROM tasks ORDER BY id = ?", (restored,)))
    assert ranks == [(1000,), (1001,)]
