"""Random walks of a feed, each from a seed; and of one that fails the steps, fewer of them, and how to see it again."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
import trio._core._run
import trio.testing

from tests.integration.feed import moves
from tests.integration.feed.client import Client
from tests.integration.feed.moves import MOVES, NEEDED, Move
from tests.integration.feed.truth import NEVER
from tests.integration.feed.world import Starving, World, standing_in
from tests.sim.clock import VirtualClock
from tests.sim.database import Database

STEPS = 80
CLIENTS = 3
REST_EVERY = 20
TURNS_AT_REST = 400


@dataclass(frozen=True)
class Failure:
    """What did not hold in which step, and what was done before it."""

    seed: int
    step: int
    words: str
    told: tuple[str, ...]
    kept: tuple[int, ...]

    def __str__(self) -> str:
        steps = "\n".join(f"  {line}" for line in self.told)
        kept = ",".join(map(str, self.kept))
        return (
            f"{steps}\nseed {self.seed} fails in step {self.step}: {self.words}\n"
            f"again: make walk SEED={self.seed} KEEP={kept}"
        )


class Walker:
    """Walks one world after another on one database. steps, seeds: made so far."""

    def __init__(self) -> None:
        self._database = Database()
        self.steps = 0
        self.seeds = 0

    def run(self, seed: int, kept: Iterable[int] | None = None) -> Failure | None:
        """One walk; None when everything held. kept: the steps to make, all of them by default."""
        numbers = tuple(range(STEPS) if kept is None else kept)
        self._database.reset()
        clock = VirtualClock()
        # trio runs what is ready in any order; in this one it is the same each time.
        scheduler: Any = trio._core._run
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
        scheduler._r.seed(seed)
        self.seeds += 1
        root = Path(tempfile.mkdtemp(prefix="walk-"))
        try:
            world = World(self._database, root, random.Random(seed), clock)
            with standing_in(), contextlib.closing(world):
                return trio.run(self._walk, world, seed, numbers, clock=clock)
        finally:
            shutil.rmtree(root)

    async def _walk(self, world: World, seed: int, numbers: tuple[int, ...]) -> Failure | None:
        number = -1
        try:
            async with trio.open_nursery() as nursery:
                # On the Unix socket nothing is left out, on a websocket it may be.
                world.clients = [Client(f"client-{n}", world.truth, may_skip=n > 0) for n in range(CLIENTS)]
                choices, weights = _choose_moves(random.Random(seed))
                await world.start(nursery)
                _settle_in(world)
                for number in numbers:
                    world.rng = random.Random(seed << 20 | number)
                    await _step(world, number, world.rng.choices(choices, weights)[0])
                    self.steps += 1
                number = STEPS
                await _finish(world)
                await world.stop(is_told="")
                nursery.cancel_scope.cancel()
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is what the walk has found
            return Failure(seed, number, _words(raised), tuple(world.told), numbers)
        return None

    def explain(self, failure: Failure, *, tries: int = 150) -> Failure:
        """The same fault with fewer steps."""
        last = self.seeds + tries
        kept = [number for number in failure.kept if number <= failure.step]
        size = max(1, len(kept) // 2)
        exact = failure
        while size and self.seeds < last:
            start = 0
            while start < len(kept) and self.seeds < last:
                found = self.run(failure.seed, fewer := kept[:start] + kept[start + size :])
                if found is not None and _kind(found) == _kind(failure):
                    exact, kept = found, [number for number in fewer if number <= found.step]
                else:
                    start += size
            size //= 2
        return exact

    def run_until(self, deadline: float, least: int, seeds: Iterable[int]) -> Failure | None:
        """Walk until a moment of the monotonic clock, at least so many seeds; the first failure ends it."""
        for seed in seeds:
            if self.seeds >= least and time.monotonic() >= deadline:
                break
            failure = self.run(seed)
            if failure is not None:
                return failure
        return None


def _choose_moves(rng: random.Random) -> tuple[list[Move], list[float]]:
    """Each world leaves some moves out and makes others often (swarm testing, Groce et al. 2012)."""
    weights = [
        move.weight * (rng.choice((0.5, 1.0, 3.0)) if move.name in NEEDED else rng.choice((0.0, 0.5, 1.0, 1.0, 4.0)))
        for move in MOVES
    ]
    return list(MOVES), weights


def _settle_in(world: World) -> None:
    """Mostly there is somebody at work, and somebody who looks on."""
    for _ in range(world.rng.choice((0, 1, 3))):
        world.told.append(f"   {moves.begin_attempt(world)}")
        world.told.append(f"   {moves.begin_job(world)}")
    for _ in range(world.rng.choice((0, 1, 3))):
        world.told.append(f"   {moves.connect(world)}")


async def _step(world: World, number: int, move: Move) -> None:
    made = move.make(world)
    told = made if isinstance(made, str) else await made
    if told:
        world.told.append(f"{number}: {told}")
    if number % REST_EVERY == REST_EVERY - 1:
        await _rest(world)
        return
    for _ in range(world.rng.choice((0, 1, 3, 8))):
        await trio.lowlevel.checkpoint()
    if world.rng.random() < 0.4:
        await trio.testing.wait_all_tasks_blocked()


async def _rest(world: World) -> None:
    """Let everything come that can: who is there takes all of it."""
    world.told.append("   everything comes to rest")
    here = [client for client in world.clients if client.connection is not None]
    quiet = 0
    for _ in itertools.count():
        for client in here:
            assert client.connection is not None
            for _ in range(40):
                client.connection.permits.release()
        await trio.testing.wait_all_tasks_blocked()
        is_any = any(client.connection is not None and client.connection.frames for client in here)
        for client in here:
            client.take(1 << 30)
        # Longer than what is waited for: a mark, and the end of a line.
        world.clock.mono += 0.6
        quiet = 0 if is_any else quiet + 1
        if quiet > 3:
            break
        assert world.clock.mono < 1e6
    for client in here:
        client.come_to_rest()


async def _finish(world: World) -> None:
    """Everything ends, and all clients come back to what they missed."""
    Starving.is_on = False
    for client in world.clients:
        if client.view.missing:
            await client.leave()
    for attempt in world.truth.attempts.values():
        for job in attempt.jobs.values():
            if not job.is_dead:
                for channel in ("stdout", "stderr"):
                    world.append(job, channel, 1 << 30)
                world.finish_job(job)
            if job.is_end_owed(world.truth.first_seq):
                world.say_job_ended(job)
        if attempt.end_seq == NEVER:
            world.end_attempt(attempt, names_worker=True)
    for client in world.clients:
        if client.connection is None and client.marks and world.nursery is not None and world.feed is not None:
            came = client.marks[-1]
            world.told.append(f"   {client.name} comes back from {came.seq} {came.live}")
            client.connect(world.nursery, world.feed, came.params, came)
    await _rest(world)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" ({frame.tb_frame.f_code.co_name}, line {frame.tb_lineno})" if frame is not None else ""
    return f"{type(error).__name__}: {str(error)[:1500]}{where}"


def _kind(failure: Failure) -> str:
    """What tells one fault from another: its words without names and numbers."""
    return failure.words.rpartition(" (")[2]
