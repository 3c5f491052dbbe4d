"""Ranks by the graph, from the rows and back into them; the program's part is run here without a process."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.graph_order import Terms
from ringmaster.model.order import DAY_S, HOUR_S, PATIENCE_S, RANK_LIMIT, RULES, OrderRules, base_rank
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import TaskDepParams, TaskEditParams
from ringmaster.queue import control, intake, order
from ringmaster.queue.listing import ready_list
from ringmaster.queue.order_run import iter_changed, read_graph
from ringmaster.store.connection import Connection
from tests.unit.queue.making import Queue, open_queue
from tests.unit.queue.test_walk import Walk

PLAIN = RULES._replace(critical_path_s=0, unblocks_s=0, pagerank_s=0, betweenness_s=0)
NOW = 1_800_000_000
URGENT = NOW + PATIENCE_S[0]


@pytest.fixture
async def queue() -> AsyncIterator[Queue]:
    """One at a time at which no rank comes near the first there is."""
    async with open_queue() as queue:
        queue.clock.now = float(NOW)
        yield queue


async def answer(queue: Queue, rules: OrderRules = PLAIN) -> bytes:
    """What the program says of the graph as it is now."""
    reading = order.Reading()
    lines = [order.rules_line(rules)]
    while (line := await queue.store.read(reading.look)) is not None:
        lines.append(line)
    return json.dumps(list(iter_changed(*read_graph(lines)))).encode()


async def rank(queue: Queue, rules: OrderRules = PLAIN) -> int:
    """Rank the graph anew; how many ranks are others now."""
    return await queue.do(order.write_ranks, await answer(queue, rules))


async def depend(
    queue: Queue, id: str, other: str, kind: DependencyKind = DependencyKind.BLOCKS, mode: str = ""
) -> None:
    params = msgspec.convert({"id": id, "add": [other], "kind": kind, "mode": mode}, TaskDepParams)
    await queue.do(intake.change_dependencies, id, params, actor="t")


async def terms(queue: Queue, id: str) -> Terms | None:
    def read(conn: Connection) -> Terms | None:
        (seq,) = conn.rows("SELECT seq FROM tasks WHERE id = ?", (id,))[0]
        return order.explain(conn, seq)

    return await queue.store.read(read)


async def test_a_blocker_of_a_p0_is_given_out_first(queue: Queue):
    await queue.add_task("first", priority=1)
    blocker = await queue.add_task("blocker", priority=4)
    await queue.add_task("urgent", priority=0, after=(blocker,))
    assert await rank(queue) == 1
    assert (await queue.task(blocker)).rank == URGENT - 1
    await queue.add_worker()
    found = await queue.claim()
    assert found is not None
    assert found.task.id == blocker
    event = (await queue.events("order.changed"))[-1]
    assert msgspec.json.decode(event.data) == {"tasks": 1}


async def test_a_rank_falls_back_when_nothing_hangs_on_the_task_any_more(queue: Queue):
    blocker = await queue.add_task(priority=4)
    urgent = await queue.add_task(priority=0, after=(blocker,))
    await rank(queue)
    await queue.do(intake.change_dependencies, urgent, TaskDepParams(id=urgent, remove=(blocker,)), actor="t")
    assert await rank(queue) == 1
    assert (await queue.task(blocker)).rank == base_rank(4, float(NOW))
    assert await terms(queue, blocker) is None
    assert await rank(queue) == 0


async def test_what_has_ended_keeps_no_rank_of_the_graph_for_the_case_that_it_is_opened_again(queue: Queue):
    blocker = await queue.add_task(priority=4)
    urgent = await queue.add_task(priority=0, after=(blocker,))
    await rank(queue)
    await queue.do(control.cancel_task, urgent, actor="t")
    await queue.do(control.cancel_task, blocker, actor="t")
    assert await rank(queue) == 1
    assert (await queue.task(blocker)).rank == base_rank(4, float(NOW))
    assert await terms(queue, blocker) is None


async def test_an_edit_meanwhile_stands(queue: Queue):
    blocker = await queue.add_task(priority=4)
    other = await queue.add_task(priority=4)
    await queue.add_task(priority=0, after=(blocker, other))
    found = await answer(queue)
    await queue.do(intake.edit_task, TaskEditParams(id=blocker, deadline_at=NOW + 5000.0), actor="t")
    assert await queue.do(order.write_ranks, found) == 1
    assert (await queue.task(blocker)).rank == base_rank(4, float(NOW), deadline_at=NOW + 5000.0)
    assert (await queue.task(other)).rank == URGENT - 1
    assert await rank(queue) == 1


async def test_what_ends_meanwhile_is_left_alone(queue: Queue):
    blocker = await queue.add_task(priority=4)
    await queue.add_task(priority=0, after=(blocker,))
    found = await answer(queue)
    await queue.do(control.cancel_task, blocker, actor="t")
    assert await queue.do(order.write_ranks, found) == 0
    assert (await queue.task(blocker)).rank == base_rank(4, float(NOW))


async def test_kinship_and_children_are_read_as_they_are_waited_for(queue: Queue):
    epic = await queue.add_task("epic", type=TaskType.EPIC, priority=0)
    child = await queue.add_task("child", parent_id=epic, priority=4)
    parent = await queue.add_task("parent", priority=4)
    before = await queue.add_task("before", priority=4)
    inner = await queue.add_task("inner", parent_id=parent, priority=4)
    await depend(queue, parent, before)
    await queue.do(intake.edit_task, TaskEditParams(id=inner, priority=0), actor="t")
    for mode, expected in (("all", 2), ("any", 1)):
        family = await queue.add_task("family", priority=4)
        kids = [await queue.add_task("kid", parent_id=family, priority=4) for _ in range(2)]
        waiter = await queue.add_task("waiter", priority=0)
        await depend(queue, waiter, family, DependencyKind.WAITS_FOR, mode)
        await rank(queue)
        early = [kid for kid in kids if (await queue.task(kid)).rank < NOW]
        assert len(early) == expected, mode
    assert (await queue.task(child)).rank == URGENT - 1
    assert (await queue.task(before)).rank == URGENT - 1
    assert (await queue.task(parent)).rank == base_rank(4, float(NOW))


async def test_what_is_only_done_if_another_fails_does_not_hang_on_it(queue: Queue):
    first = await queue.add_task(priority=4)
    fallback = await queue.add_task(priority=0)
    await depend(queue, fallback, first, DependencyKind.CONDITIONAL_BLOCKS)
    assert await rank(queue) == 0


async def test_the_terms_are_kept_for_who_asks_why(queue: Queue):
    first = await queue.add_task(priority=3)
    second = await queue.add_task(priority=3, after=(first,))
    await queue.add_task(priority=3, after=(second,), deadline_at=float(NOW + DAY_S))
    await rank(queue, RULES)
    one = await terms(queue, first)
    assert one is not None
    assert (one.chain, one.unblocks, one.critical_path_s) == (2, 2, -6 * HOUR_S)
    assert one.rank == (await queue.task(first)).rank == NOW + DAY_S - 3 * HOUR_S
    assert await rank(queue, RULES) == 0


async def test_a_graph_larger_than_one_look_is_read_whole(queue: Queue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(order, "EDGES_AT_ONCE", 2)
    monkeypatch.setattr(order, "TASKS_AT_ONCE", 3)
    epic = await queue.add_task(type=TaskType.EPIC, priority=0)
    kids = [await queue.add_task(parent_id=epic, priority=4) for _ in range(5)]
    blockers = [await queue.add_task(priority=4) for _ in range(5)]
    await queue.add_task(priority=0, after=tuple(blockers))
    assert await rank(queue) == 10
    assert {(await queue.task(id)).rank for id in kids + blockers} == {URGENT - 1}
    for id in (*kids, *blockers):
        await queue.do(control.cancel_task, id, actor="t")
    assert await rank(queue) == 10


async def test_the_program_is_asked_only_for_tasks_that_have_to_do_with_others(queue: Queue):
    alone = await queue.add_task()
    first = await queue.add_task()
    second = await queue.add_task(after=(first,))
    assert not await queue.store.read(order.is_in_graph, [alone, "rm-none"])
    for id in (first, second):
        assert await queue.store.read(order.is_in_graph, [alone, id])


async def test_what_older_code_left_and_what_came_when_the_clock_was_ahead_is_ranked_anew(queue: Queue):
    old, fine, ahead = [await queue.add_task(priority=p) for p in (1, 2, 4)]

    def leave(conn: Connection) -> None:
        conn.execute("UPDATE tasks SET rank = 0, arrived_at = 0 WHERE id = ?", (old,))
        late = NOW + 300.0 * DAY_S
        conn.execute("UPDATE tasks SET rank = ?, arrived_at = ? WHERE id = ?", (base_rank(4, late), late, ahead))

    await queue.do(leave)
    before = (await queue.task(fine)).rank
    assert await queue.do(order.mend_ranks, RULES) == 1
    assert await queue.do(order.mend_ranks, RULES) == 1
    assert await queue.do(order.mend_ranks, RULES) == 0
    assert [(await queue.task(id)).rank for id in (old, fine, ahead)] == [
        base_rank(1, float(NOW)),
        before,
        base_rank(4, float(NOW)),
    ]


async def test_a_failed_task_that_older_code_left_does_not_go_first_when_it_is_retried(queue: Queue):
    id = await queue.add_task()
    await queue.do(control.cancel_task, id, actor="t")
    await queue.do(lambda conn: conn.execute("UPDATE tasks SET rank = 0 WHERE id = ?", (id,)))
    await queue.do(control.retry_with_words, id, message="", actor="t", rng=queue.rng)
    assert (await queue.task(id)).rank == NOW


async def test_even_a_clock_beyond_all_ranks_comes_to_an_end(queue: Queue):
    queue.clock.now = float(RANK_LIMIT) + 10
    await queue.add_task(priority=4)
    assert await queue.do(order.mend_ranks, RULES) == 0


async def test_what_was_imported_is_ranked_by_when_it_came_here(queue: Queue):
    id = await queue.add_task(priority=4)

    def make_old(conn: Connection) -> None:
        conn.execute("UPDATE tasks SET created_at = 1.0 WHERE id = ?", (id,))

    await queue.do(make_old)
    await queue.do(intake.edit_task, TaskEditParams(id=id, priority=2), actor="t")
    assert (await queue.task(id)).rank == base_rank(2, float(NOW))


@pytest.mark.parametrize("limit", [1, 3, 7, 25, 60, 100])
async def test_a_page_of_ready_tasks_is_the_first_of_all_demands(queue: Queue, limit: int):
    rng = random.Random(9)
    await queue.add_project("other")
    for number in range(60):
        # Some demands of many tasks, many of one.
        needs = rng.choice(((), (), ("gpu",), (f"c{number}",)))
        await queue.add_task(
            project_id=rng.choice(("toy", "other")),
            priority=rng.randrange(5),
            capabilities=needs,
            is_held=number % 9 == 8,
        )
        queue.clock.now += rng.choice((0, 1, 86_400))

    def expected(conn: Connection) -> list[str]:
        rows = conn.rows("SELECT id FROM tasks WHERE open_blockers = 0 ORDER BY rank, seq LIMIT ?", (limit,))
        return [id for (id,) in rows]

    found = await queue.store.read(ready_list, "", limit)
    assert [view.task.id for view in found] == await queue.store.read(expected)
    assert len(found) == min(limit, 54)
    own = await queue.store.read(ready_list, "other", limit)
    assert {view.task.project_id for view in own} == {"other"}


@pytest.mark.parametrize("seed", range(2))
async def test_after_any_history_a_blocker_goes_before_what_it_blocks(queue: Queue, seed: int):
    walk = Walk(queue, seed)
    await walk.run()
    await rank(queue, RULES)
    assert await rank(queue, RULES) == 0, "the same graph, another order"

    def late(conn: Connection) -> list[tuple[str, str]]:
        states = "('draft', 'open', 'running', 'validating', 'landing')"
        return conn.rows(
            "SELECT d.task_id, d.blocker_id FROM dependencies AS d JOIN tasks AS t ON t.id = d.task_id"
            " JOIN tasks AS b ON b.id = d.blocker_id WHERE d.is_open AND d.kind = 'blocks' AND b.rank >= t.rank"
            f" AND t.state IN {states} AND b.state IN {states}"
        )

    assert await queue.store.read(late) == []
