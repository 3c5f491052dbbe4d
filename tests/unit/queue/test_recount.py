"""What older code leaves on this schema is counted anew at the start: it is run here by its own statements."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import RingmasterError
from ringmaster.model.order import RULES
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.budget import BudgetSetParams
from ringmaster.protocol.task import DependencyWish
from ringmaster.queue import closing, recount
from ringmaster.queue.budget import list_budgets, set_budget
from ringmaster.queue.claim import Claim, claim_for_worker
from ringmaster.queue.limits import Allowance, Bounds
from ringmaster.queue.recount import follow_older_code
from ringmaster.queue.undo import undo
from ringmaster.store import spending, tasks
from ringmaster.store.connection import Connection
from tests.unit.queue.making import Queue, check_invariants, open_queue

METERED = Bounds(metered={"claude": 4.0})


class OlderCode:
    """Writes as the code before migration 7 did: the same statements, without a schema in its events."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    def emit(self, type: str, task_id: str = "") -> None:
        self.conn.execute(
            "INSERT INTO events (seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data)"
            " VALUES ((SELECT coalesce(max(seq), 0) + 1 FROM events), ?, ?, 'toy', ?, '', '', '', '', '{}')",
            (self.conn.now, type, task_id),
        )

    def add(self, id: str, *after: str) -> None:
        demand = tasks.find_demand(self.conn, "toy", "", ())
        self.conn.execute(
            "INSERT INTO tasks (id, project_id, demand_id, title, description, priority, labels, acceptance,"
            " capabilities, agent, model, limits, max_attempts, is_diff_needed, state, open_blockers, not_before_at,"
            " created_at, updated_at) VALUES (?, 'toy', ?, 't', '', 2, '[]', '[]', '[]', '', '', '{}', 3, 1, 'open',"
            " 0, NULL, ?, ?)",
            (id, demand, self.conn.now, self.conn.now),
        )
        for other in after:
            self.wait_for(id, other)
        self.emit("task.created", id)

    def wait_for(self, id: str, other: str) -> None:
        is_open = self.conn.value("SELECT state <> 'done' FROM tasks WHERE id = ?", (other,))
        self.conn.execute(
            "INSERT INTO dependencies (task_id, blocker_id, kind, is_open, created_at) VALUES (?, ?, 'blocks', ?, ?)"
            " ON CONFLICT DO NOTHING",
            (id, other, is_open, self.conn.now),
        )
        if is_open:
            self.conn.execute("UPDATE tasks SET open_blockers = open_blockers + 1 WHERE id = ?", (id,))

    def move(self, id: str, new: str) -> None:
        self.conn.execute("UPDATE tasks SET state = ?, version = version + 1 WHERE id = ?", (new, id))
        self.emit(f"task.{'opened' if new == 'open' else new}", id)

    def finish(self, id: str) -> None:
        """It closes what blocks, and nothing else: it knows no children, and no other kind."""
        self.conn.execute(
            "UPDATE tasks SET state = 'done', done_by = 'person', landed_commit = '', not_before_at = NULL,"
            " streak = 0, version = version + 1, updated_at = ? WHERE id = ?",
            (self.conn.now, id),
        )
        for (task_id,) in self.conn.rows("SELECT task_id FROM dependencies WHERE blocker_id = ?", (id,)):
            if self.conn.execute(
                "UPDATE dependencies SET is_open = 0 WHERE task_id = ? AND blocker_id = ? AND kind = 'blocks'"
                " AND is_open = 1",
                (task_id, id),
            ):
                self.conn.execute("UPDATE tasks SET open_blockers = open_blockers - 1 WHERE id = ?", (task_id,))
        self.emit("task.done", id)

    def edit_priority(self, id: str, priority: int) -> None:
        self.conn.execute("UPDATE tasks SET priority = ?, version = version + 1 WHERE id = ?", (priority, id))
        self.emit("task.edited", id)


async def old(queue: Queue, name: str, *args: Any) -> None:
    """One use case of older code, after which counts need not hold."""
    await queue.store.write(lambda conn: getattr(OlderCode(conn), name)(*args))


async def start(queue: Queue, bounds: Bounds = METERED) -> int:
    """The start of this code; in how many pieces. Everything holds after it."""
    pieces = 0
    while await queue.store.write(follow_older_code, RULES, bounds):
        pieces += 1
    await queue.check()
    return pieces


async def add(queue: Queue, other: str = "", kind: DependencyKind = DependencyKind.BLOCKS, **fields: Any) -> str:
    wishes = (DependencyWish(id=other, kind=kind),) if other else ()
    return await queue.add_task(depends=wishes, **fields)


async def test_an_epic_ends_whose_last_child_older_code_finished_and_its_dependents_go_on(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    after = await add(queue, epic)
    await old(queue, "finish", child)
    with pytest.raises(AssertionError):
        await queue.store.read(check_invariants)
    assert await start(queue) == 1
    assert (await queue.task(epic)).done_by == "children"
    assert (await queue.task(after)).open_blockers == 0
    assert [event.task_id for event in await queue.events("task.unblocked")] == [after]


async def test_an_epic_is_opened_again_by_a_child_that_older_code_retried(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    first, second = [await queue.add_task(parent_id=epic) for _ in range(2)]
    await old(queue, "move", first, "cancelled")
    await old(queue, "finish", second)
    await start(queue)
    assert (await queue.task(epic)).state == "done"
    await old(queue, "move", first, "open")
    await start(queue)
    assert (await queue.task(epic)).state == "open"


async def test_what_a_person_closed_over_its_children_stays_closed(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    first, second = [await queue.add_task(parent_id=epic) for _ in range(2)]
    await queue.do(closing.close_task, epic, actor="t", children="keep")
    await queue.do(recount.recount_tasks, [first])
    assert (await queue.task(epic)).state == "done"
    await queue.do(closing.cancel_task, second, actor="t")
    await queue.do(undo, second, actor="t")
    assert (await queue.task(epic)).state == "done"


async def test_an_unchanged_child_does_not_open_its_epic(queue: Queue):
    """One that ended by its children and has an open one is not told anything by counting the same once more."""
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    await queue.do(closing.close_task, epic, actor="t", children="keep")
    await queue.store.write(lambda conn: conn.execute("UPDATE tasks SET done_by = 'children' WHERE id = ?", (epic,)))
    await queue.do(recount.recount_tasks, [child])
    assert (await queue.task(epic)).state == "done"


async def test_what_is_not_needed_ends_and_what_is_needed_now_is_freed(queue: Queue):
    other, failing = await queue.add_task(), await queue.add_task()
    unneeded = await add(queue, other, DependencyKind.CONDITIONAL_BLOCKS)
    needed = await add(queue, failing, DependencyKind.CONDITIONAL_BLOCKS)
    await old(queue, "finish", other)
    await old(queue, "move", failing, "failed")
    await start(queue)
    assert (await queue.task(unneeded)).done_by == "unneeded"
    assert (await queue.task(needed)).open_blockers == 0


async def test_children_of_what_older_code_cancelled_wait_all_of_them(queue: Queue):
    parent = await queue.add_task()
    children = [await queue.add_task(parent_id=parent) for _ in range(3)]
    await old(queue, "move", parent, "cancelled")
    await old(queue, "edit_priority", children[0], 1)
    await start(queue)
    assert [(await queue.task(id)).open_blockers for id in children] == [1, 1, 1]
    await old(queue, "move", parent, "open")
    await start(queue)
    assert [(await queue.task(id)).open_blockers for id in children] == [0, 0, 0]


async def test_an_edit_of_older_code_gets_its_rank(queue: Queue):
    first, second = await queue.add_task(), await queue.add_task()
    await old(queue, "edit_priority", second, 0)
    await start(queue)
    assert (await queue.task(second)).rank < (await queue.task(first)).rank
    assert (await queue.task(second)).rank == (await queue.task(await queue.add_task(priority=0))).rank


async def test_it_is_followed_in_pieces_and_once(queue: Queue, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recount, "PIECE", 2)
    for number in range(5):
        await old(queue, "add", f"bd-{number}", *([f"bd-{number - 1}"] if number else []))
    await old(queue, "finish", "bd-0")
    assert await start(queue) == 3
    assert [(await queue.task(f"bd-{number}")).open_blockers for number in range(5)] == [0, 0, 1, 1, 1]
    assert await start(queue) == 0
    await old(queue, "emit", "daemon.started")
    assert await start(queue) == 1


async def test_what_older_code_spent_today_counts(queue: Queue):
    await queue.add_worker(agent="claude")
    for _ in range(3):
        await queue.add_task()
    await queue.do(set_budget, BudgetSetParams(project_id="toy", max_usd=9.0), actor="t")

    def claim(conn: Connection) -> Claim | None:
        return claim_for_worker(conn, "w1", "secret", rng=random.Random(1), allowance=Allowance(conn, METERED))

    found = await queue.do(claim)
    assert found is not None
    end = (
        "UPDATE attempts SET state = 'ended', outcome = 'succeeded', ended_at = {at}, cost_usd = {usd},"
        " session_id = 's' WHERE id = '{id}'"
    )
    id = found.attempt.id
    await queue.store.write(lambda conn: conn.execute(end.format(at=conn.now, usd=2.5, id=id)))
    await queue.store.write(lambda conn: conn.execute("UPDATE workers SET attempt_id = ''"))
    await old(queue, "finish", found.task.id)
    # It claimed one more, which did not tell what it cost.
    insert = (
        "INSERT INTO attempts (id, task_id, number, project_id, worker_id, agent, token, state, started_at)"
        " VALUES ('x/1', ?, 9, 'toy', 'w1', 'claude', 't', 'running', ?)"
    )
    await queue.store.write(lambda conn: conn.execute(insert, (found.task.id, conn.now)))
    await queue.store.write(lambda conn: conn.execute(end.format(at=conn.now, usd=0, id="x/1")))
    await old(queue, "emit", "attempt.ended", found.task.id)
    await start(queue)
    view = (await queue.store.read(list_budgets, "toy")).budgets[-1]
    assert (view.attempts, view.usd, view.has_unknown) == (2, 6.5, False)
    assert await queue.store.read(spending.all_reserved) == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_older_code_does_everything_holds_after_the_start(seed: int):
    rng = random.Random(seed)
    async with open_queue() as queue:
        ids: list[str] = []
        for number in range(14):
            kind = rng.choice(list(DependencyKind))
            parent = rng.choice(ids) if ids and rng.random() < 0.4 else ""
            other = rng.choice(ids) if ids and rng.random() < 0.6 else ""
            if kind is DependencyKind.PARENT_CHILD or other == parent:
                other = ""
            type = rng.choice((TaskType.TASK, TaskType.EPIC))
            try:
                ids.append(await add(queue, other, kind, parent_id=parent, type=type, title=f"{number}"))
            except RingmasterError:
                # A circle is refused, or what would never be needed.
                continue
        for _ in range(3):
            for _ in range(6):
                id = rng.choice(ids)
                state = (await queue.task(id)).state
                if state in (TaskState.OPEN, TaskState.FAILED) and (await queue.task(id)).type != TaskType.EPIC:
                    move = rng.choice(("finish", "cancelled", "failed"))
                    await old(queue, "finish", id) if move == "finish" else await old(queue, "move", id, move)
                elif state is TaskState.CANCELLED:
                    await old(queue, "move", id, "open")
            await start(queue)
            assert await start(queue) == 0, "nothing is left to follow, and what holds is left as it is"
