"""So many depend on one task that they are told in pieces: who hears late is never given out too early."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringmaster.model.dependency import DependencyKind, OtherFacts, is_in_the_way
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish, TaskDepParams
from ringmaster.queue import blockers, closing, intake, lease, report
from ringmaster.queue.blockers import spread_further
from ringmaster.store import dependencies, spreading, standings
from ringmaster.store.connection import Connection
from ringmaster.workers.dispatcher import Dispatched, Vacancy, fill_seats
from tests.unit.queue.making import Queue, open_queue
from tests.unit.queue.test_walk import STEPS, Walk


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockers, "MANY", 2)
    monkeypatch.setattr(blockers, "PIECE", 2)


async def fill(queue: Queue) -> Dispatched:
    tokens = [f"{queue.rng.getrandbits(64):x}" for _ in range(8)]
    return await queue.do(fill_seats, tokens, 64, random.Random(1))


async def finish(queue: Queue, id: str, worker_id: str) -> None:
    found = await queue.claim(worker_id)
    assert found is not None
    assert found.task.id == id
    await queue.do(report.complete_without_diff, found.attempt.id, found.attempt.token, {})


async def family(queue: Queue, count: int) -> tuple[str, list[str]]:
    parent = await queue.add_task("parent", priority=4)
    return parent, [await queue.add_task(f"{number}", parent_id=parent) for number in range(count)]


def is_truly_blocked(conn: Connection, task_id: str) -> bool:
    """By states alone, without what was counted or told of dependencies."""
    for gate in dependencies.gates_of(conn, task_id):
        other = standings.standing_of(conn, gate.blocker_id)
        asked = conn.value("SELECT count(*) FROM decisions WHERE task_id = ? AND state = 'open'", (other.id,))
        is_asked = other.type == TaskType.EPIC and asked > 0
        facts = OtherFacts(
            state=other.state,
            is_held_up=other.held_at is not None or is_asked or is_truly_blocked(conn, other.id),
            open_children=other.open_children,
            done_children=other.done_children,
        )
        if is_in_the_way(gate.kind, gate.mode, facts):
            return True
    return False


async def test_many_dependents_are_freed_in_pieces_and_the_dispatcher_goes_on_until_all_are(queue: Queue):
    blocker = await queue.add_task()
    await queue.add_worker()
    waiting = [await queue.add_task(after=(blocker,)) for _ in range(5)]
    await finish(queue, blocker, "w1")
    (event,) = await queue.events("task.spreading")
    vacancy = Vacancy()
    vacancy.close(vacancy.begin_round())
    assert vacancy.wakes(event), "also with every seat taken"
    assert [(await queue.task(id)).open_blockers for id in waiting] == [1] * 5, (
        "the landing itself takes no time for it"
    )
    for _ in range(5):
        await queue.add_worker()
    rounds: list[Dispatched] = []
    while not rounds or rounds[-1].is_unfinished:
        rounds.append(await fill(queue))
    assert [len(done.claims) for done in rounds] == [2, 2, 1, 0]
    assert len(await queue.events("task.unblocked")) == 5


async def test_who_has_not_heard_yet_is_not_given_out(queue: Queue):
    parent, children = await family(queue, 5)
    other = await queue.add_task("other", priority=4)
    await queue.do(intake.change_dependencies, parent, TaskDepParams(id=parent, add=(other,)), actor="t")
    assert [(await queue.task(id)).open_blockers for id in children] == [0] * 5
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert found.task.id == other, "each of the children was asked, and told, when it was picked"
    seat = lease.any_hand_seat(0.0)
    assert not await queue.store.read(lease.is_worth_pulling, seat, 8)
    while await queue.do(spread_further):
        pass
    await queue.check()
    assert [(await queue.task(id)).open_blockers for id in children] == [1] * 5


async def test_what_a_parent_has_not_heard_holds_its_children(queue: Queue):
    grand, parents = await family(queue, 4)
    child = await queue.add_task("child", parent_id=parents[3], priority=0)
    other = await queue.add_task("other", priority=4)
    await queue.do(intake.change_dependencies, grand, TaskDepParams(id=grand, add=(other,)), actor="t")
    assert (await queue.task(child)).open_blockers == 0
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert found.task.id == other


async def test_a_change_meanwhile_begins_anew_and_ends_true(queue: Queue):
    parent, children = await family(queue, 5)
    other = await queue.add_task("other")
    change = intake.change_dependencies
    await queue.do(change, parent, TaskDepParams(id=parent, add=(other,)), actor="t")
    await queue.do(spread_further)
    assert sum([(await queue.task(id)).open_blockers for id in children]) == 2
    await queue.do(change, parent, TaskDepParams(id=parent, remove=(other,)), actor="t")
    assert len(await queue.events("task.spreading")) == 1
    while await queue.do(spread_further):
        pass
    assert [(await queue.task(id)).open_blockers for id in children] == [0] * 5


@pytest.mark.parametrize("is_over", [True, False])
async def test_an_epic_that_has_not_heard_what_it_waits_for_does_not_end_before_it(queue: Queue, is_over: bool):
    first = await queue.add_task()
    for _ in range(4):
        await queue.add_task(after=(first,))
    epic = await queue.add_task(type=TaskType.EPIC, after=(first,))
    child = await queue.add_task(parent_id=epic)

    async def tell_all() -> None:
        while await queue.do(spread_further):
            pass

    await queue.do(closing.close_task, first, actor="t")
    await tell_all()
    await queue.do(closing.reopen_task, first, actor="t")
    await queue.do(closing.close_task, child, actor="t")
    assert (await queue.task(epic)).state is TaskState.OPEN
    if is_over:
        # What it has not heard of is over before it hears, so nothing changes for it.
        await queue.do(closing.close_task, first, actor="t")
    await tell_all()
    assert (await queue.task(epic)).state is (TaskState.DONE if is_over else TaskState.OPEN)
    if not is_over:
        await queue.do(closing.close_task, first, actor="t")
        await tell_all()
        assert (await queue.task(epic)).state is TaskState.DONE


async def test_an_end_that_changes_nothing_for_those_who_wait_tells_none_of_them(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    children = [await queue.add_task(parent_id=epic) for _ in range(2)]
    for _ in range(4):
        await queue.add_task(after=(epic,))
    assert await queue.store.read(spreading.first) is None
    await queue.do(closing.close_task, children[0], actor="t")
    assert await queue.store.read(spreading.first) is None
    assert not await queue.events("task.spreading")
    await queue.do(closing.close_task, children[1], actor="t")
    assert len(await queue.events("task.spreading")) == 1


async def test_many_who_were_for_its_failure_end_with_it_though_none_waits(queue: Queue):
    failing = await queue.begin(max_attempts=1)
    id, names = failing.task.id, (failing.attempt.id, failing.attempt.token)
    wishes = (DependencyWish(id=id, kind=DependencyKind.CONDITIONAL_BLOCKS),)
    fallbacks = [await queue.add_task(depends=wishes) for _ in range(4)]
    await queue.do(report.end_attempt, *names, Outcome.FAILED, "no", rng=queue.rng)
    while await queue.do(spread_further):
        pass
    assert {(await queue.task(fallback)).open_blockers for fallback in fallbacks} == {0}
    await queue.do(closing.close_task, id, actor="t")
    while await queue.do(spread_further):
        pass
    assert {(await queue.task(fallback)).done_by for fallback in fallbacks} == {"unneeded"}


class Pieces(Walk):
    """The same walk, with spreads in pieces, and a look at all that a claim gives out."""

    async def claim(self) -> None:
        if self.rng.random() < 0.3:
            await self.queue.do(spread_further)
        found = await self.queue.claim(f"w{self.rng.randrange(1, 5)}")
        if found is not None:
            assert not await self.queue.store.read(is_truly_blocked, found.task.id), found.task.id

    async def there_and_back(self) -> None:
        """Only there: what is told in pieces is not back at once."""
        if self.tasks:
            await self.rng.choice((self.keep_back, self.end_or_open, self.depend))()


@pytest.mark.parametrize("seed", range(6))
async def test_no_walk_gives_out_what_is_blocked_and_each_ends_true(seed: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blockers, "MANY", seed % 2)
    monkeypatch.setattr(blockers, "PIECE", 1)
    async with open_queue() as queue:
        walk = Pieces(queue, 100 + seed)
        await walk.run()
        assert walk.taken > STEPS / 3
        while await queue.do(spread_further):
            pass
        assert await queue.store.read(spreading.first) is None
        await queue.check()
        held: Any = await queue.store.read(lambda conn: conn.rows("SELECT id FROM tasks WHERE state = 'open'"))
        for (id,) in held:
            task = await queue.task(id)
            assert task.state is TaskState.OPEN
            if await queue.store.read(is_truly_blocked, id):
                assert task.open_blockers, id
