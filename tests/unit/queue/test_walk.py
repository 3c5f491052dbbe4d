"""Long random walks through the use cases: after each step every invariant is checked by a recount."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ringmaster.model.attempt import LandingIntent
from ringmaster.model.decisions import LANDING_KINDS, options_of
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish, TaskDepParams, TaskEditParams
from ringmaster.queue import closing, control, decide, holding, intake, report
from ringmaster.queue.closing import Dependents
from ringmaster.queue.undo import undo
from ringmaster.store import attempts, decisions
from ringmaster.store.connection import Connection
from ringmaster.store.events import last_seq
from tests.unit.queue.making import Queue, open_queue

STEPS = 250
INTENT = LandingIntent(ref="r", old="0" * 40, new="1" * 40)


ROWS = (
    """SELECT id, title, priority, labels, type, state, open_blockers, not_before_at, counted_attempts, streak, done_by,
              landed_commit, deadline_at, held_at IS NOT NULL, children, open_children, done_children FROM tasks""",
    "SELECT task_id, blocker_id, kind, mode, is_open FROM dependencies ORDER BY 1, 2, 3",
    "SELECT id, state, task_id, question FROM decisions ORDER BY id",
)


def rows(conn: Connection) -> list[Any]:
    """The newest event's number, and all that a person's change may change."""
    return [last_seq(conn), *(conn.rows(query) for query in ROWS)]


class Walk:
    """Takes steps at random; what a step is refused is fine, what it leaves behind must hold."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue = queue
        self.rng = random.Random(seed)
        self.tasks: list[str] = []
        self.undone: list[str] = []
        self.trips = 0
        self.taken = 0

    async def run(self) -> None:
        for _ in range(4):
            await self.queue.add_worker()
        moves: list[Callable[[], Awaitable[object]]] = [
            self.add,
            self.add,
            self.claim,
            self.claim,
            self.live,
            self.live,
            self.live,
            self.person,
            self.answer,
            self.keep_back,
            self.end_or_open,
            self.undo,
            self.there_and_back,
            self.there_and_back,
        ]
        for _ in range(STEPS):
            self.queue.clock.now += self.rng.choice((0, 1, 40, 4000))
            try:
                await self.rng.choice(moves)()
                self.taken += 1
            except RingmasterError:
                continue

    async def add(self) -> None:
        others = self.rng.sample(self.tasks, min(len(self.tasks), self.rng.randrange(4)))
        depends = tuple(DependencyWish(id=id, kind=self.kind()) for id in others)
        self.tasks.append(
            await self.queue.add_task(
                depends=depends,
                parent_id=self.rng.choice(self.tasks) if self.tasks and self.rng.random() < 0.3 else "",
                type=self.rng.choice((TaskType.TASK, TaskType.TASK, TaskType.EPIC)),
                max_attempts=2,
                is_draft=self.rng.random() < 0.1,
                is_held=self.rng.random() < 0.1,
            )
        )

    def kind(self) -> DependencyKind:
        return self.rng.choice((DependencyKind.BLOCKS, *DependencyKind))

    async def claim(self) -> None:
        await self.queue.claim(f"w{self.rng.randrange(1, 5)}")

    async def live(self) -> None:
        """What a supervisor does to some live attempt."""
        live, _ = await self.queue.store.read(attempts.live_attempts)
        if not live:
            return
        attempt = self.rng.choice(live)
        names = (attempt.id, attempt.token if self.rng.random() < 0.9 else "stale")
        do, rng = self.queue.do, self.queue.rng
        choice = self.rng.randrange(7)
        if choice == 0:
            await do(report.hand_over, *names, head_commit="2" * 40, report={})
        elif choice == 1:
            await do(report.store_intent, *names, INTENT)
        elif choice == 2:
            await do(report.complete_landing, *names, parked_commit="")
        elif choice == 3:
            await do(report.ask, *names, question="?", detail="", options=(), rng=rng)
        elif choice == 4:
            kind = self.rng.choice(sorted(LANDING_KINDS))
            if attempt.state == "validating":
                await do(report.wait_for_person, *names, kind, question="?", detail="", rng=rng)
        elif choice == 5:
            await do(report.take_intent_back, *names, "moved")
        else:
            outcome = self.rng.choice([outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED])
            await do(report.end_attempt, *names, outcome, "why", rng=rng)

    async def person(self) -> None:
        """What a person does to some task."""
        if not self.tasks:
            return
        id, other = self.rng.choice(self.tasks), self.rng.choice(self.tasks)
        do = self.queue.do
        choice = self.rng.randrange(6)
        if choice == 0:
            await do(control.cancel_task, id, actor="t")
        elif choice == 1:
            await do(control.retry_with_words, id, message="words", actor="t", rng=self.queue.rng)
        elif choice == 2:
            wish = TaskDepParams(id=id, add=(other,), kind=self.kind(), mode=self.rng.choice(("", "all", "any")))
            await do(intake.change_dependencies, id, wish, actor="t")
        elif choice == 3:
            await do(intake.change_dependencies, id, TaskDepParams(id=id, remove=(other,), kind=self.kind()), actor="t")
        elif choice == 4:
            await do(control.accept_task, id, message="", actor="t")
        else:
            await do(control.reject_task, id, message="no", actor="t")

    async def keep_back(self) -> None:
        """A person holds, releases, defers or edits some task."""
        if not self.tasks:
            return
        id, do = self.rng.choice(self.tasks), self.queue.do
        choice = self.rng.randrange(4)
        if choice == 0:
            await do(holding.hold_task, id, actor="t")
        elif choice == 1:
            await do(holding.release_task, id, actor="t")
        elif choice == 2:
            await do(holding.defer_task, id, self.queue.clock.now + self.rng.choice((1, 5000)), actor="t")
        else:
            kind = self.rng.choice((TaskType.TASK, TaskType.EPIC, None))
            wish = TaskEditParams(id=id, type=kind, is_draft=self.rng.choice((True, False, None)), priority=1)
            await do(intake.edit_task, wish, actor="t")

    async def end_or_open(self) -> None:
        """A person ends or opens some task, with what waits for it or with its children."""
        if not self.tasks:
            return
        id, do = self.rng.choice(self.tasks), self.queue.do
        choice = self.rng.randrange(4)
        if choice == 0:
            await do(control.cancel_task, id, actor="t", dependents=self.rng.choice(list(Dependents)))
        elif choice == 1:
            await do(closing.close_task, id, actor="t", children=self.rng.choice(("", "keep", "cancel")))
        else:
            await do(closing.reopen_task, id, actor="t")

    async def undo(self) -> None:
        """A person takes back the newest change, that of some task, or some undo."""
        target = self.rng.choice(["", *self.tasks[-3:], *self.undone[-2:]])
        self.undone.append(str((await self.queue.do(undo, target, actor="t")).by_seq))

    async def there_and_back(self) -> None:
        """A person changes something and takes it back, does it again and takes it back again: no row is another."""
        if not self.tasks:
            return
        do = self.queue.do
        before = await self.queue.store.read(rows)
        await self.rng.choice((self.keep_back, self.end_or_open, self.depend))()
        after = await self.queue.store.read(rows)
        if after[0] == before[0]:
            return
        # Refused where an attempt was ended with it.
        undone = await do(undo, "", actor="t")
        self.same(await self.queue.store.read(rows), before)
        again = await do(undo, str(undone.by_seq), actor="t")
        self.same(await self.queue.store.read(rows), after)
        await do(undo, str(again.by_seq), actor="t")
        self.same(await self.queue.store.read(rows), before)
        self.trips += 1

    def same(self, found: list[Any], wanted: list[Any]) -> None:
        for one, other in zip(found[1:], wanted[1:], strict=True):
            differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
            assert not differing

    async def depend(self) -> None:
        """A person makes some task depend on another, or no longer."""
        id, other = self.rng.choice(self.tasks), self.rng.choice(self.tasks)
        kind = self.kind()
        wish = self.rng.choice(
            (TaskDepParams(id=id, add=(other,), kind=kind), TaskDepParams(id=id, remove=(other,), kind=kind))
        )
        await self.queue.do(intake.change_dependencies, id, wish, actor="t")

    async def answer(self) -> None:
        """A person answers some question."""
        asked = await self.queue.store.read(decisions.open_decisions, 100)
        if asked:
            decision = self.rng.choice(asked)
            answer = self.rng.choice(options_of(decision.kind) or ("words",))
            await self.queue.do(decide.answer_decision, decision.id, answer=answer, message="m", actor="t")


@pytest.mark.parametrize("seed", range(8))
async def test_nothing_a_person_or_a_supervisor_does_breaks_an_invariant(seed: int):
    async with open_queue() as queue:
        walk = Walk(queue, seed)
        await walk.run()
        assert walk.taken > STEPS / 3
        assert walk.trips > STEPS / 60
        ended = [event.attempt_id for event in await queue.events("attempt.ended")]
        assert len(ended) == len(set(ended)), "an attempt ended twice"
