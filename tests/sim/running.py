"""Many seeds until a deadline; and of one that fails the step, the last steps, fewer steps, and how to see it again."""

from __future__ import annotations

import itertools
import random
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import trio
import trio._core._run

from ringmaster.workers import room
from tests.sim import agents, controls, lanes, machine, people
from tests.sim.clock import VirtualClock
from tests.sim.database import Database
from tests.sim.moves import Move
from tests.sim.repositories import standing_in
from tests.sim.world import World

STEPS = 400
CHECK_EVERY = 25
SETTING = 0xFFFFFF
SHRINK_TRIES = 100
LEAST_SEEDS = 40
# What can happen: a feature adds its moves to one of these lists, or a list of its own.
MOVES: tuple[Move, ...] = (*people.MOVES, *controls.MOVES, *agents.MOVES, *lanes.MOVES, *machine.MOVES)


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
        return (
            f"{steps}\nseed {self.seed} fails in step {self.step}: {self.words}\n"
            f"again: make sim SEED={self.seed} KEEP={spell(self.kept)}"
        )


def choose_moves(rng: random.Random) -> tuple[list[Move], list[float]]:
    """Each world leaves some moves out and makes others often (swarm testing, Groce et al. 2012)."""
    weights = [move.weight * rng.choice((0.0, 0.3, 1.0, 1.0, 1.0, 3.0)) for move in MOVES]
    # Without these nothing happens.
    for index, move in enumerate(MOVES):
        if move.name in ("add_task", "work", "serve", "pass_time", "mend"):
            weights[index] = max(weights[index], move.weight / 2)
    return list(MOVES), weights


class Runner:
    """Runs worlds, one after another, on one database."""

    def __init__(self) -> None:
        self._database = Database()
        self.steps = 0
        self.seeds = 0
        self.digest = 0

    def run(self, seed: int, kept: Iterable[int] | None = None, *, check_every: int = CHECK_EVERY) -> Failure | None:
        """Run one world; None when everything held. kept: the steps to make, all of them by default."""
        numbers = tuple(range(STEPS) if kept is None else kept)
        self._database.reset()
        clock = VirtualClock()
        # trio runs what is ready in any order; in this one it is the same each time.
        scheduler: Any = trio._core._run
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
        scheduler._r.seed(seed)
        world = World(self._database, seed, clock)
        looked, room.is_room_left = room.is_room_left, _has_room
        try:
            with standing_in():
                failure = trio.run(self._run_world, world, numbers, check_every, clock=clock)
        finally:
            room.is_room_left = looked
        self.seeds += 1
        self.digest = zlib.crc32("\n".join(world.told).encode(), world.mirror.last_seq)
        return failure

    async def _run_world(self, world: World, numbers: Sequence[int], check_every: int) -> Failure | None:
        failure: Failure | None = None
        number = -1
        try:
            async with trio.open_nursery() as nursery:
                try:
                    world.roll(SETTING)
                    moves, weights = choose_moves(world.rng)
                    people.settle_in(world)
                    await world.start(nursery, hold_share=world.rng.choice((0.0, 0.05, 0.3, 0.6)))
                    for index, number in enumerate(numbers):
                        world.roll(number)
                        await world.step(number, world.rng.choices(moves, weights)[0])
                        self.steps += 1
                        if index % check_every == check_every - 1:
                            world.check()
                finally:
                    world.let_all_go()
                await world.settle()
                world.check()
                await world.end_life(is_killed=False)
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is what the run has found
            error = _cause_of(raised)
            failure = Failure(world.seed, number, _words(error), tuple(world.told), tuple(numbers))
        return failure

    def explain(self, failure: Failure, *, tries: int = SHRINK_TRIES) -> Failure:
        """The same fault with fewer steps, found at the step that made it."""
        last = self.seeds + tries
        exact = self.run(failure.seed, failure.kept, check_every=1) or failure
        kept = [number for number in exact.kept if number <= exact.step]
        size = max(1, len(kept) // 2)
        while size and self.seeds < last:
            start = 0
            while start < len(kept) and self.seeds < last:
                fewer = kept[:start] + kept[start + size :]
                found = self.run(failure.seed, fewer, check_every=1)
                if found is not None and _kind(found) == _kind(exact):
                    exact, kept = found, [number for number in fewer if number <= found.step]
                else:
                    start += size
            size //= 2
        return self.run(failure.seed, kept, check_every=1) or exact

    def run_until(self, deadline: float, least: int, seeds: Iterable[int]) -> Failure | None:
        """Run seeds until a moment (of the monotonic clock), at least so many; the first failure ends it."""
        for seed in seeds:
            if self.seeds >= least and time.monotonic() >= deadline:
                break
            failure = self.run(seed)
            if failure is not None:
                return failure
        return None


def _has_room(paths: Any) -> bool:
    return bool(paths.has_room)


def _cause_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" ({frame.tb_frame.f_code.co_name}, line {frame.tb_lineno})" if frame is not None else ""
    return f"{text[:600]}{where}"


def _kind(failure: Failure) -> str:
    """What tells one fault from another: its words without names and numbers."""
    return "".join(char for char in failure.words.partition("\n")[0] if not char.isdigit())[:25]


def spell(numbers: Sequence[int]) -> str:
    """Numbers as ranges: 0-5,8."""
    parts: list[str] = []
    start = previous = None
    for number in (*numbers, None):
        if start is not None and (number is None or previous is None or number != previous + 1):
            parts.append(f"{start}" if start == previous else f"{start}-{previous}")
            start = None
        if start is None:
            start = number
        previous = number
    return ",".join(parts)


def read_numbers(text: str) -> tuple[int, ...]:
    """The other way round."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def shards(shard: int) -> Iterable[int]:
    """The seeds of one of two workers, without an end."""
    return itertools.count(shard, 2)


def least_and_until(share_s: float) -> tuple[int, float]:
    """At least how many seeds are run, and until when more are: `share_s` from now."""
    return LEAST_SEEDS, time.monotonic() + share_s
