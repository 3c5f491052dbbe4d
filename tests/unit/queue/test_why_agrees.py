"""`why` and the scheduler say the same of every task, in worlds at random; and what takes an obstacle away, does."""

from __future__ import annotations

import itertools
import random
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from ringmaster.agents.base import Account
from ringmaster.model.budget import Budget
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import RingmasterError
from ringmaster.model.ids import make_token
from ringmaster.model.states import TaskState, WorkerState
from ringmaster.model.task import Limits, Task, TaskType
from ringmaster.model.worker import Worker
from ringmaster.protocol.task import DependencyWish, TaskEditParams
from ringmaster.protocol.why import Obstacle, TaskWhy
from ringmaster.queue import control, decide, holding, intake, pausing
from ringmaster.queue.labels import follow_limits
from ringmaster.queue.limits import Bounds
from ringmaster.queue.obstacles import House, fits, of_house
from ringmaster.queue.view import task_why
from ringmaster.queue.why import Scene
from ringmaster.store import accounts, budgets, decisions, spawn_failures, tasks, workers
from ringmaster.store.connection import Connection
from ringmaster.workers.dispatcher import fill_seats
from tests.fakes.seats import make_seat
from tests.unit.queue.making import Queue, open_queue

AGENTS = ("scripted", "claude")
PAYER = Account(id="claude:1", agent="claude", label="a key")


THINGS = ("queue", "project", "agent", "account", "attempts", "dollars", "agents", "labels", "running", "of_project")
"""What can keep a task back that is not its own."""


class TakenBack(Exception):
    """Ends a transaction that only looked."""


class World:
    """A queue with all that can keep a task back, each now and then; every other one has one such thing alone."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue = queue
        self.rng = random.Random(seed)
        self.is_quiet = seed % 2 == 0
        self.alone = THINGS[seed // 2 % len(THINGS)]
        self.scene = Scene(house=House())
        self.ids: list[str] = []

    def is_so(self, chance: float) -> bool:
        return self.rng.random() < chance

    def is_odd(self, chance: float) -> bool:
        """What is not so in a quiet world."""
        return self.is_so(chance) and not self.is_quiet

    def is_set(self, thing: str, chance: float) -> bool:
        """Whether this is one of the things that keep tasks back here."""
        return self.alone == thing if self.is_quiet else self.is_so(chance)

    async def make(self) -> None:
        """Projects, seats, tasks and what is set about them."""
        for name in ("other", "third"):
            await self.queue.add_project(name, max_running=1 if self.is_set("of_project", 0.5) else 8)
        for number in range(self.rng.randrange(1, 6)):
            await self.add_seat(f"w{number}")
        for _ in range(self.rng.randrange(4, 11)):
            await self.add_task()
        await self.begin_some()
        await self.keep_back()
        await self.set_bounds()

    async def add_seat(self, id: str) -> None:
        await self.queue.add_worker(
            id,
            agent=self.rng.choice(AGENTS),
            project_id=self.rng.choice(("toy", "other")) if self.is_odd(0.5) else "",
            capabilities=("gpu",) if self.is_so(0.3) else (),
            is_pulled=self.is_odd(0.1),
        )
        if self.is_odd(0.15):
            state = self.rng.choice((WorkerState.PAUSED, WorkerState.STOPPED))
            await self.queue.do(control.set_worker_state, id, state, actor="t")

    async def add_task(self) -> None:
        others = self.rng.sample(self.ids, min(len(self.ids), self.rng.randrange(2)))
        capability = "gpu" if self.is_odd(0.3) else ""
        depends = tuple(DependencyWish(id=id, kind=self.rng.choice(tuple(DependencyKind)[:4])) for id in others)
        try:
            id = await self.queue.add_task(
                project_id=self.rng.choice(("toy", "toy", "other", "third")),
                agent=self.rng.choice(AGENTS) if self.is_odd(0.3) else "",
                capabilities=(capability,) if capability else (),
                labels=("db",) if self.is_so(0.3) else (),
                priority=self.rng.randrange(5),
                depends=depends if self.is_odd(0.5) else (),
                type=TaskType.EPIC if self.is_odd(0.1) else TaskType.TASK,
                is_draft=self.is_odd(0.1),
                is_held=self.is_odd(0.1),
                not_before_at=self.queue.clock.now + self.rng.choice((-5, 50)) if self.is_odd(0.15) else None,
                limits=Limits(budget_usd=self.rng.choice((1.0, 30.0)) if self.is_so(0.4) else None),
            )
        except RingmasterError:
            return
        self.ids.append(id)

    async def begin_some(self) -> None:
        """Give some out, as a dispatcher does."""
        tokens = [make_token(self.rng) for _ in range(self.rng.randrange(3))]
        await self.queue.do(fill_seats, tokens, 8, self.rng)

    async def keep_back(self) -> None:
        """What people and findings set: questions, pauses, rests, budgets."""
        do = self.queue.do
        if self.ids and self.is_odd(0.4):
            id = self.rng.choice(self.ids)
            kind = DecisionKind.QUESTION
            await do(decide.open_decision, kind, project_id="toy", task_id=id, question="Which?", rng=self.rng)
        if self.is_set("queue", 0.1):
            await do(pausing.pause, "", actor="t")
        if self.is_set("project", 0.1):
            await do(pausing.pause, "toy", actor="t")
        if self.is_set("agent", 0.15):
            await do(spawn_failures.pause_agent, "scripted", reason="broken")
        if self.is_set("account", 0.2):
            await do(accounts.note_account, id=PAYER.id, agent=PAYER.agent, label=PAYER.label)
            await do(accounts.pause_account, PAYER.id, until_at=self.queue.clock.now + 9, reason="limit")
        scope = self.rng.choice(("", "toy", "other"))
        if self.is_set("attempts", 0.2):
            await do(budgets.set_budget, Budget(scope, self.rng.randrange(3), None))
        if self.is_set("dollars", 0.2):
            await do(budgets.set_budget, Budget(scope, None, self.rng.choice((0.0, 20.0))))

    async def set_bounds(self) -> None:
        """What settings say, and how the house stands."""
        bounds = Bounds(
            agents={"scripted": self.rng.randrange(2)} if self.is_set("agents", 0.2) else {},
            labels={"db": self.rng.randrange(2)} if self.is_set("labels", 0.3) else {},
            metered={"claude": self.rng.choice((None, 5.0))} if self.is_set("dollars", 0.7) else {},
        )
        most = 1 if self.is_set("running", 0.1) else 64
        house = House(has_estop=self.is_odd(0.04), has_room=not self.is_odd(0.04), max_running=most)
        payers = {PAYER.agent: PAYER.id} if self.is_so(0.5) else {}
        self.scene = Scene(house=house, bounds=bounds, payers=payers)
        while await self.queue.do(follow_limits, bounds.labels):
            pass

    async def why(self, id: str) -> TaskWhy:
        return await self.queue.store.read(task_why, id, self.scene)

    async def try_out(self, fn: Callable[[Connection], Any]) -> Any:
        """What something comes to, without doing it."""
        kept: list[Any] = []

        def look(conn: Connection) -> None:
            kept.append(fn(conn))
            raise TakenBack

        with pytest.raises(TakenBack):
            await self.queue.store.write(look)
        return kept[-1]

    def taken_by(self, worker: Worker, first: str = "") -> Callable[[Connection], str]:
        """What the dispatcher would give a seat, were it the only one, and `first` the first in the order of work."""

        def give(conn: Connection) -> str:
            conn.execute("UPDATE tasks SET rank = -1000000000 WHERE id = ?", (first,))
            for other in workers.all_workers(conn):
                if other.id != worker.id:
                    workers.set_worker_state(conn, other.id, WorkerState.STOPPED)
            payers = dict.fromkeys(self.scene.payers, PAYER)
            most = self.scene.house.max_running
            done = fill_seats(conn, ["token"], most, random.Random(1), payers, self.scene.bounds)
            return done.claims[0].task.id if done.claims else ""

        return give


def place_of(conn: Connection, task_id: str) -> tuple[int, int]:
    row = tasks.row_by_id(conn, task_id)
    return row.task.rank, row.seq


async def is_taken_in_its_turn(world: World, task: Task) -> bool:
    """Whether a claim by a fitting free seat takes the task or one before it, and the task itself were it the first."""
    if next(of_house(world.scene.house), None) is not None:
        return False
    read = world.queue.store.read
    own = await read(place_of, task.id)
    seats = [worker for worker in await read(workers.all_workers) if fits(worker, task)]
    could = [await world.try_out(world.taken_by(seat, first=task.id)) == task.id for seat in seats]
    now = [await world.try_out(world.taken_by(seat)) for seat in seats]
    return any(could) and any([await read(place_of, id) <= own for id in now if id])


@pytest.mark.parametrize("seed", range(40))
async def test_why_names_nothing_exactly_when_a_seat_would_take_it_or_one_before(seed: int):
    async with open_queue() as queue:
        world = World(queue, seed)
        await world.make()
        for id in world.ids:
            task = await queue.task(id)
            if task.state not in (TaskState.OPEN, TaskState.DRAFT):
                continue
            told = await world.why(id)
            is_taken = await is_taken_in_its_turn(world, task)
            assert (told.obstacles == ()) == is_taken, f"{id}: {told.obstacles}"
            for obstacle in told.obstacles:
                await check_mending(world, id, obstacle)


async def check_mending(world: World, id: str, obstacle: Obstacle) -> None:
    """The command of an obstacle that it mends takes it away, and may bring others to light."""
    if not obstacle.is_mending or obstacle.kind == "estop":
        return
    words = shlex.split(obstacle.command)[1:]

    def mend(conn: Connection) -> set[tuple[str, str]]:
        run(conn, words, world.rng)
        return {(one.kind, one.id) for one in task_why(conn, id, world.scene).obstacles}

    left = await world.try_out(mend)
    assert (obstacle.kind, obstacle.id) not in left, f"{obstacle.command} leaves {obstacle}"


def run(conn: Connection, words: list[str], rng: random.Random) -> None:
    """Do what a command does."""
    given = dict(itertools.pairwise(words))
    match words[:3]:
        case ["decision", "answer", id]:
            options = decisions.decision_by_id(conn, id).options
            decide.answer_decision(conn, id, answer=(*options, "words")[0], message="", actor="t")
        case ["task", "release", id]:
            holding.release_task(conn, id, actor="t")
        case ["task", "edit", id]:
            type = TaskType(given["--type"]) if "--type" in given else None
            is_draft = False if "--open" in words else None
            intake.edit_task(conn, TaskEditParams(id=id, type=type, is_draft=is_draft), actor="t")
        case ["retry", id]:
            control.retry_with_words(conn, id, message="", actor="t", rng=rng)
        case ["resume"]:
            pausing.resume(conn, actor="t")
        case ["project", "edit", id]:
            pausing.resume(conn, id, actor="t")
        case ["worker", "start", id]:
            control.set_worker_state(conn, id, WorkerState.ACTIVE, actor="t")
        case ["worker", "spawn", "--agent"]:
            caps = (given["--cap"],) if "--cap" in given else ()
            control.spawn_worker(conn, make_seat(id="new", agent=given["--agent"], capabilities=caps), actor="t")
        case _:
            raise AssertionError(f"nobody knows rmctl {' '.join(words)}")
