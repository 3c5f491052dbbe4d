"""A store in memory with a project, and the few moves that the tests of the queue are made of."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.project import ProjectConfig
from ringmaster.model.task import Task
from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue import claim, control, intake, registry, report
from ringmaster.queue.claim import Claim
from ringmaster.store import decisions, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.events import events_after
from ringmaster.store.inline import InlineStore
from tests.fakes.empty_store import open_empty_store
from tests.fakes.seats import make_seat

P = ParamSpec("P")
T = TypeVar("T")

# What is in each task's way, by the words of docs/queue.md and not by the code that keeps the counts.
HELD_UP = """
held_up (id, yes) AS (
    SELECT id, CASE WHEN type = 'epic' THEN open_blockers > 1
               ELSE held_at IS NOT NULL OR EXISTS (SELECT 1 FROM dependencies WHERE task_id = tasks.id AND is_open) END
    FROM tasks)
"""
OPEN_ONES = f"""
WITH {HELD_UP}
SELECT d.task_id, d.blocker_id, d.kind, d.is_open, CASE d.kind
    WHEN 'blocks' THEN o.state <> 'done'
    WHEN 'conditional-blocks' THEN o.state NOT IN ('failed', 'cancelled', 'done')
    WHEN 'waits-for' THEN NOT (
        (o.state = 'done' AND NOT EXISTS (
            SELECT 1 FROM dependencies AS k JOIN tasks AS c ON c.id = k.task_id
            WHERE k.blocker_id = o.id AND k.kind = 'parent-child' AND c.state NOT IN ('done', 'cancelled')))
        OR (d.mode = 'any' AND EXISTS (
            SELECT 1 FROM dependencies AS k JOIN tasks AS c ON c.id = k.task_id
            WHERE k.blocker_id = o.id AND k.kind = 'parent-child' AND c.state = 'done')))
    WHEN 'parent-child' THEN o.state IN ('draft', 'cancelled') OR (o.state IN ('open', 'failed') AND h.yes)
    ELSE 0 END
FROM dependencies AS d JOIN tasks AS o ON o.id = d.blocker_id JOIN held_up AS h ON h.id = o.id
-- Many are told in pieces, and meanwhile some have still to be.
WHERE o.id NOT IN (SELECT blocker_id FROM spreading)
"""
RECOUNT = """
SELECT t.id, t.open_blockers,
       (SELECT count(*) FROM dependencies AS d WHERE d.task_id = t.id AND d.is_open)
     + (SELECT count(*) FROM decisions AS q WHERE q.task_id = t.id AND q.state = 'open')
     + (t.held_at IS NOT NULL) + (t.type = 'epic')
FROM tasks AS t
"""
CHILDREN = """
SELECT p.id, p.children, p.open_children, p.done_children,
       (SELECT json_group_array(c.state) FROM dependencies AS d JOIN tasks AS c ON c.id = d.task_id
        WHERE d.blocker_id = p.id AND d.kind = 'parent-child')
FROM tasks AS p
"""
# A task is live exactly while it has one attempt that has not ended, in the same state.
LIVENESS = """
SELECT t.id, t.state, group_concat(a.state) FROM tasks AS t
LEFT JOIN attempts AS a ON a.task_id = t.id AND a.state <> 'ended'
GROUP BY t.id
"""
SEATS = """
SELECT w.id, w.attempt_id FROM workers AS w WHERE w.attempt_id <> '' AND NOT EXISTS (
    SELECT 1 FROM attempts AS a WHERE a.id = w.attempt_id AND a.worker_id = w.id AND a.state = 'running')
"""

HELD = "SELECT attempt_id FROM reserved WHERE attempt_id NOT IN (SELECT id FROM attempts WHERE state = 'running')"


class Queue:
    """The store and what a test does to it."""

    def __init__(self, store: InlineStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.rng = random.Random(3)

    async def do(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One use case in its transaction, and then every invariant."""
        refusal: RingmasterError | None = None
        try:
            result = await self.store.write(fn, *args, **kwargs)
        except RingmasterError as error:
            refusal = error
        # What is refused must leave everything as it was.
        await self.check()
        if refusal is not None:
            raise refusal
        return result

    async def check(self) -> None:
        """What holds between any two transactions."""
        await self.store.read(check_invariants)

    async def add_project(self, name: str = "toy", **config: Any) -> None:
        """The row of a project."""
        await self.do(
            registry.add_project,
            name=name,
            path=f"/{name}",
            common_dir=f"/{name}/.git",
            target="main",
            config=ProjectConfig(**config),
            actor="test",
        )

    async def add_task(self, title: str = "t", *, max_attempts: int = 3, **fields: Any) -> str:
        """A task's id."""
        params = TaskAddParams(title=title, **fields)
        return await self.do(intake.add_task, params, actor="test", max_attempts=max_attempts, rng=self.rng)

    async def add_worker(self, id: str = "", **fields: Any) -> str:
        """A seat's name."""
        return await self.do(control.spawn_worker, make_seat(id=id, **fields), actor="test")

    async def claim(self, worker_id: str = "w1") -> Claim | None:
        """What the seat gets."""
        token = f"{self.rng.getrandbits(64):x}"
        return await self.do(claim.claim_for_worker, worker_id, token, rng=self.rng)

    async def begin(self, **fields: Any) -> Claim:
        """A new task under way in a seat of its own."""
        await self.add_task(**fields)
        found = await self.claim(await self.add_worker())
        assert found is not None
        return found

    async def hand_over(self, found: Claim) -> None:
        """The agent has ended with work to judge."""
        names = (found.attempt.id, found.attempt.token)
        await self.do(report.begin_work, *names, branch="b", base_commit="1" * 40)
        await self.do(report.hand_over, *names, head_commit="2" * 40, report={})

    async def task(self, task_id: str) -> Task:
        """Its row."""
        return await self.store.read(tasks.task_by_id, task_id)

    async def asked(self, task_id: str) -> list[Decision]:
        """What is open about a task."""
        found = await self.store.read(decisions.decisions_of_task, task_id)
        return [decision for decision in found if decision.state == "open"]

    async def events(self, type: str = "") -> list[Event]:
        """What happened."""
        return [event for event in await self.store.read(events_after, 0, 10_000) if event.type.startswith(type)]


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def check_invariants(conn: Connection) -> None:
    """Fails naming what does not hold."""
    for task_id, counted, recounted in conn.rows(RECOUNT):
        assert counted == recounted, f"{task_id} counts {counted} blockers and has {recounted}"
    for task_id, other_id, kind, is_open, expected in conn.rows(OPEN_ONES):
        assert is_open == expected, f"{task_id} {kind} {other_id} is {is_open}, not {expected}"
    for task_id, *counted, states in conn.rows(CHILDREN):
        found = msgspec.json.decode(states)
        recount = [len(found), sum(s not in ("done", "cancelled") for s in found), found.count("done")]
        assert counted == recount, f"{task_id} counts children {counted} and has {recount}"
    for task_id, state, live in conn.rows(LIVENESS):
        expected = state if state in ("running", "validating", "landing") else None
        assert live == expected, f"{task_id} is {state} and its live attempts are {live}"
    assert conn.rows(SEATS) == [], "a seat holds an attempt that does not run in it"
    assert conn.rows(HELD) == [], "money is held for an attempt that does not run"
    seqs = [row[0] for row in conn.rows("SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1)), "the events have a gap"


@asynccontextmanager
async def open_queue() -> AsyncIterator[Queue]:
    """A store with the project `toy`."""
    clock = Clock()
    async with open_empty_store(clock=clock) as store:
        queue = Queue(store, clock)
        await queue.add_project()
        yield queue
