"""A store in memory with a project, and the few moves that the tests of the queue are made of."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from ringmaster.model.decision import Decision
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.project import ProjectConfig
from ringmaster.model.states import WorkerState
from ringmaster.model.task import Task
from ringmaster.model.worker import Worker
from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue import claim, control, intake, registry, report
from ringmaster.queue.claim import Claim
from ringmaster.store import decisions, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.events import events_after
from ringmaster.store.inline import InlineStore, open_inline_store

P = ParamSpec("P")
T = TypeVar("T")

RECOUNT = """
SELECT t.id, t.open_blockers,
       (SELECT count(*) FROM dependencies AS d JOIN tasks AS b ON b.id = d.blocker_id
        WHERE d.task_id = t.id AND b.state <> 'done')
     + (SELECT count(*) FROM decisions AS q WHERE q.task_id = t.id AND q.state = 'open')
FROM tasks AS t
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
        known: dict[str, Any] = {
            "agent": "scripted",
            "command": (),
            "project_id": "",
            "capabilities": (),
            "state": WorkerState.ACTIVE,
            "attempt_id": "",
            "created_at": 0.0,
        }
        return await self.do(control.spawn_worker, Worker(id=id, **{**known, **fields}), actor="test")

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
    for task_id, state, live in conn.rows(LIVENESS):
        expected = state if state in ("running", "validating", "landing") else None
        assert live == expected, f"{task_id} is {state} and its live attempts are {live}"
    assert conn.rows(SEATS) == [], "a seat holds an attempt that does not run in it"
    seqs = [row[0] for row in conn.rows("SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1)), "the events have a gap"


@asynccontextmanager
async def open_queue() -> AsyncIterator[Queue]:
    """A store with the project `toy`."""
    clock = Clock()
    async with open_inline_store(clock=clock) as store:
        queue = Queue(store, clock)
        await queue.add_project()
        yield queue
