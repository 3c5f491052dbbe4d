"""What the machine does: time, kills, reloads, clocks that jump, a disk that fills up, ESTOP, settings."""

from __future__ import annotations

from tests.sim.moves import named
from tests.sim.people import choose_limits
from tests.sim.world import World


async def pass_time(world: World) -> None:
    """Time goes by."""
    seconds = world.rng.choice((0.0, 1.0, 6.0, 6.0, 31.0, 70.0, 400.0))
    world.tell(f"{seconds} s")
    await world.pass_time(seconds)


def jump(world: World) -> None:
    """The wall's clock is set, forwards or back."""
    seconds = world.rng.choice((-90_000.0, -3700.0, -40.0, 40.0, 3700.0, 90_000.0))
    world.tell(f"{seconds:+} s")
    world.mirror.look_at_time(world.clock.wall())
    world.clock.wall_ahead += seconds
    world.excuse()


def stall(world: World) -> None:
    """The process stands still, as under a debugger."""
    if world.life is not None:
        world.stall(world.rng.choice((1.0, 100.0)))
        world.excuse()


async def kill(world: World) -> None:
    """`kill -9` between any two commits, and a start after a while."""
    await world.end_life(is_killed=True)
    await start_again(world, is_continued=False)


async def stop(world: World) -> None:
    """A stop in good order, and a start after a while."""
    await world.end_life(is_killed=False)
    await start_again(world, is_continued=False)


async def reload(world: World) -> None:
    """Another release takes over in the same process: to leases it is as if nothing had happened."""
    await world.end_life(is_killed=False, is_continued=True)
    await start_again(world, is_continued=True)


async def start_again(world: World, *, is_continued: bool) -> None:
    """A daemon begins on what it finds."""
    seconds = world.rng.choice((0.0, 1.0, 5.0) if is_continued else (0.0, 5.0, 200.0))
    world.tell(f"{seconds} s later")
    world.clock.mono += seconds
    # A start that cannot even say that it has begun ends at once, and the next one is the first that counts.
    world.is_reserve_gone = False
    await world.begin_life(is_continued=is_continued)


def let_go(world: World) -> None:
    """A write that was held up goes on."""
    if world.let_go():
        # What came due while the dispatcher waited for its answer, it looks at some milliseconds later.
        world.excuse(0.0)


def fill_disk(world: World) -> None:
    """The disk fills up, up to or over the reserve."""
    world.store.is_degraded = True
    world.is_reserve_gone = world.rng.random() < 0.3 and not world.is_holding


def lose_room(world: World) -> None:
    """Other programs take the room that new work needs."""
    world.paths.has_room = False


def stop_everything(world: World) -> None:
    """ESTOP."""
    world.paths.estop.is_there = True
    if world.life is not None:
        world.life.wake()


def mend(world: World) -> None:
    """The disk has room again, and nobody wants everything stopped any more."""
    if not world.paths.has_room:
        world.excuse()
    was_stopped = world.store.is_degraded or world.paths.estop.is_there
    world.paths.has_room = True
    world.store.is_degraded = world.is_reserve_gone = world.paths.estop.is_there = False
    if was_stopped and world.life is not None:
        world.life.wake()


def read_settings(world: World) -> None:
    """The settings have changed, and are read again."""
    world.rules.max_running = world.rng.choice((1, 2, 3, 8))
    choose_limits(world)
    world.tell(f"{world.rules}")
    if world.life is not None:
        world.life.sur.settings = world.rules.settings()
        world.life.wake()


MOVES = named(
    {
        pass_time: 16,
        jump: 1.5,
        stall: 0.7,
        kill: 3,
        stop: 1,
        reload: 2,
        let_go: 5,
        fill_disk: 0.8,
        lose_room: 0.5,
        stop_everything: 0.5,
        mend: 8,
        read_settings: 1,
    },
    is_stirring=True,
)
