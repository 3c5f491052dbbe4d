"""Defaults come at their time, by a timer, and never before a person had a minute."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ringmaster.bus import Bus, Wakeup
from ringmaster.model.asking import Advice
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.event import Event
from ringmaster.queue import decide
from ringmaster.queue.defaults import NOTICES
from ringmaster.settings import Paths, Settings
from ringmaster.store import cursors
from ringmaster.store.events import events_after, last_seq
from ringmaster.store.inline import InlineStore
from ringmaster.workers.asking import Defaults
from ringmaster.workers.surroundings import Surroundings
from tests.fakes.empty_store import open_empty_store
from tests.unit.queue.making import Clock, Queue

NOON = 43_200.0


class Daemon:
    """The part of a daemon that gives defaults, and what a test does around it."""

    def __init__(self, sur: Surroundings, queue: Queue, wakeup: Wakeup) -> None:
        self.sur = sur
        self.queue = queue
        self.wakeup = wakeup
        self.began_at = trio.current_time()

    async def ask(self, after_s: float) -> str:
        """A question about a new task, with a default."""
        task_id = await self.queue.add_task()
        return await self.queue.do(
            decide.open_decision,
            DecisionKind.QUESTION,
            project_id="toy",
            task_id=task_id,
            question="?",
            options=("a", "b"),
            advice=Advice(default_answer="b", default_at=self.sur.now() + after_s),
            rng=self.queue.rng,
        )

    async def answered(self) -> list[tuple[str, float]]:
        """Which questions got their default, and in how many seconds since the start."""
        found = await self.queue.store.read(events_after, 0, 10_000)
        return [(e.decision_id, e.at - NOON) for e in found if e.type == "decision.answered" and e.actor == "default"]


class TrioClock(Clock):
    """Wall time that goes with trio's."""

    def __init__(self) -> None:
        super().__init__()
        self.began_at = trio.current_time()

    def __call__(self) -> float:
        return NOON + trio.current_time() - self.began_at


@asynccontextmanager
async def open_daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    bus: Bus[Event] = Bus()
    clock = TrioClock()
    async with open_empty_store(clock=clock, on_commit=bus.publish) as store:
        queue = Queue(store, clock)
        await queue.add_project()
        sur = Surroundings(
            store=store,
            bus=bus,
            paths=Paths(name="t", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c"),
            settings=Settings(),
            instance_id="i",
            now=clock,
        )
        yield Daemon(sur, queue, Wakeup())


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        # It has begun when all are blocked, below.
        nursery.start_soon(Defaults(daemon.sur, daemon.wakeup).run)  # noqa: ASYNC113
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def test_each_default_comes_at_its_own_time(autojump_clock: MockClock, tmp_path: Path):
    async with open_daemon(tmp_path) as daemon, running(daemon):
        late, soon = await daemon.ask(500.0), await daemon.ask(90.0)
        await trio.sleep(89)
        assert await daemon.answered() == []
        await trio.sleep(1000)
        assert await daemon.answered() == [(soon, 90.0), (late, 500.0)]


async def test_what_is_overdue_at_a_start_waits_for_a_minute(autojump_clock: MockClock, tmp_path: Path):
    async with open_daemon(tmp_path) as daemon:
        id = await daemon.ask(60.0)
        await trio.sleep(10_000)
        async with running(daemon):
            await trio.sleep(59)
            assert await daemon.answered() == []
            await trio.sleep(2)
            assert await daemon.answered() == [(id, 10_060.0)]


async def test_people_have_a_minute_from_when_they_are_told(autojump_clock: MockClock, tmp_path: Path):
    async with open_daemon(tmp_path) as daemon:
        await daemon.queue.store.write(cursors.write_cursor, NOTICES, 0)
        id = await daemon.ask(60.0)
        async with running(daemon):
            await trio.sleep(10_000)
            assert await daemon.answered() == []
            await daemon.queue.store.write(lambda conn: cursors.write_cursor(conn, NOTICES, last_seq(conn)))
            daemon.wakeup.set()
            await trio.sleep(100)
            assert await daemon.answered() == [(id, 10_060.0)]


@pytest.mark.parametrize("hold", ["estop", "trial", "pause"])
async def test_nobody_is_answered_for_while_everything_stands_still(
    autojump_clock: MockClock, tmp_path: Path, hold: str
):
    async with open_daemon(tmp_path) as daemon:
        pause = "INSERT INTO pauses (scope, name, reason, paused_at) VALUES ('queue', '', 'r', 1.0)"
        if hold == "estop":
            daemon.sur.paths.estop.touch()
        elif hold == "trial":
            daemon.sur.starts_left = 1
        else:
            await daemon.queue.store.write(lambda conn: conn.execute(pause))
        async with running(daemon):
            id = await daemon.ask(60.0)
            await trio.sleep(1000.5)
            assert await daemon.answered() == []
            daemon.sur.paths.estop.unlink(missing_ok=True)
            daemon.sur.starts_left = None
            await daemon.queue.store.write(lambda conn: conn.execute("DELETE FROM pauses"))
            daemon.wakeup.set()
            await trio.testing.wait_all_tasks_blocked()
            assert await daemon.answered() == [(id, 1000.5)]


async def test_a_clock_that_is_set_forward_takes_no_ones_minute(autojump_clock: MockClock, tmp_path: Path):
    async with open_daemon(tmp_path) as daemon, running(daemon):
        clock: Any = daemon.queue.clock
        await daemon.ask(3600.0)
        await trio.sleep(10)
        clock.began_at -= 86_400
        await trio.sleep(49)
        assert await daemon.answered() == []
        await trio.sleep(61)
        assert len(await daemon.answered()) == 1


async def test_nothing_is_read_while_nothing_waits(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    looks: list[float] = []

    async with open_daemon(tmp_path) as daemon:
        read = InlineStore.read

        async def count(self: InlineStore, *args: Any) -> Any:
            looks.append(trio.current_time() - daemon.began_at)
            return await read(self, *args)

        monkeypatch.setattr(InlineStore, "read", count)
        async with running(daemon):
            await trio.sleep(80_000)
        assert looks == [0.0]
