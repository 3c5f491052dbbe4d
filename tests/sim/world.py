"""A world made of a seed: a daemon, its tasks, the people and the machine, one step after another.

Each step draws from dice of its own, made of the seed and its number. So a step left out changes little about the
others, and a failure can be told with fewer of them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.queue.claim import Claim
from ringmaster.store.connection import Connection
from ringmaster.store.disk import make_disk_full_error
from tests.sim.clock import VirtualClock
from tests.sim.database import Database, SimulatedStore
from tests.sim.leases import LeaseModel
from tests.sim.lives import Life, SimulatedPaths
from tests.sim.mirror import Broken, Mirror, require
from tests.sim.oracle import Rules, Scene, check_claims
from tests.unit.queue.making import check_invariants

if TYPE_CHECKING:
    from tests.sim.moves import Move

TOLD = 40
ASKED_IN_VAIN = """
SELECT q.kind, t.id, t.state FROM decisions AS q JOIN tasks AS t ON t.id = q.task_id
WHERE q.state = 'open' AND t.state IN ('done', 'cancelled')
"""
LONGEST_WAIT_S = 60.0
UNEXPECTED = (ErrorKind.INTERNAL, ErrorKind.STOPPING)


class World:
    """Everything there is. Moves change it; `check` says what does not hold.

    tasks: ids in order of arrival. moved: attempts whose commit is the tip of its target, as the repository has it.
    ran: attempts whose agent has a job: a process that outlives the daemon.
    """

    def __init__(self, database: Database, seed: int, clock: VirtualClock) -> None:
        self.seed = seed
        self.clock = clock
        self.rng = random.Random()
        self.store = SimulatedStore(database, clock.wall, self._on_commit)
        self.mirror = Mirror()
        self.leases = LeaseModel(clock)
        self.paths = SimulatedPaths()
        self.is_reserve_gone = False
        self.rules = Rules()
        self.projects: list[str] = []
        self.tasks: list[str] = []
        self.moved: dict[str, str] = {}
        self.life: Life | None = None
        self.number = 0
        self.told: deque[str] = deque(maxlen=TOLD)
        self._nursery: trio.Nursery | None = None
        self._held: list[trio.Event] = []
        self._hold_share = 0.0
        self._excused_until = 0.0
        self._idle: tuple[str, float] | None = None
        self._words: list[str] = []

    def roll(self, number: int) -> None:
        """Take the dice of a step."""
        self.number = number
        self.rng.seed(self.seed << 24 | number)

    async def start(self, nursery: trio.Nursery, *, hold_share: float) -> None:
        """Let the daemon live for the first time. hold_share: how often a write is held up."""
        self._nursery = nursery
        self._hold_share = hold_share
        await self.begin_life(is_continued=False)

    async def begin_life(self, *, is_continued: bool) -> None:
        """Start a daemon on what is in the rows."""
        assert self._nursery is not None
        self.life = Life(self, is_continued=is_continued)
        # What the file and the disk say is looked at anew.
        self._nursery.start_soon(self.life.run)
        await self.settle()

    async def end_life(self, *, is_killed: bool, is_continued: bool = False) -> None:
        """End the daemon; killed, between any two commits."""
        life = self.life
        if life is None:
            return
        # What a dying life still writes is held up no more: nobody would be left to let it go.
        share, self._hold_share = self._hold_share, 0.0
        if not is_killed:
            self._release(len(self._held))
            await self.settle()
        self.leases.part(is_killed=is_killed or self.is_reserve_gone, is_continued=is_continued)
        life.end(is_killed=is_killed)
        self._release(len(self._held))
        await life.ended.wait()
        self._hold_share = share
        self.life = None
        self._idle = None

    async def settle(self) -> None:
        """Let everything run that can."""
        await trio.testing.wait_all_tasks_blocked()

    async def pass_time(self, seconds: float) -> None:
        """Time goes by: whatever is due on the way happens at its time."""
        end = self.clock.mono + seconds
        while True:
            statistics = trio.lowlevel.current_statistics()
            due = self.clock.mono + statistics.seconds_to_next_deadline
            if due > end:
                break
            self.clock.mono = max(due, self.clock.mono)
            await self.settle()
        self.clock.mono = end
        await self.settle()

    def stall(self, seconds: float) -> None:
        """Time goes by while the process stands still."""
        self.leases.stall(self.clock.mono + seconds)
        self.clock.mono += seconds

    def excuse(self, seconds: float = LONGEST_WAIT_S) -> None:
        """Nothing tells the dispatcher of what has just happened: it finds out when it next looks by itself."""
        self._excused_until = max(self._excused_until, self.clock.mono + seconds + 0.1)

    async def hold_up(self) -> None:
        """Keep the answer to a write back until a later step."""
        if self._hold_share and self.rng.random() < self._hold_share:
            event = trio.Event()
            self._held.append(event)
            with trio.CancelScope(shield=True):
                await event.wait()

    @property
    def is_holding(self) -> bool:
        """Whether a write is held up."""
        return bool(self._held)

    def let_go(self) -> bool:
        """Let the oldest write that is held up go on; whether there is one."""
        return self._release(1)

    def let_all_go(self) -> None:
        """Let every write that is held up go on, and hold up none any more."""
        self._hold_share = 0.0
        self._release(len(self._held))

    def _release(self, count: int) -> bool:
        for event in self._held[:count]:
            event.set()
        is_any = bool(self._held)
        del self._held[:count]
        return is_any

    def write(self, fn: Callable[..., Any], *args: Any, is_essential: bool = True, **kwargs: Any) -> Any:
        """One commit. Raises what the store raises."""
        if is_essential and self.is_reserve_gone and self.store.is_degraded:
            raise make_disk_full_error()
        return self.store.write_now(fn, args, kwargs, is_essential=is_essential)

    def ask(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A person's wish: refused in words, or done. None when it was refused."""
        try:
            result = self.write(fn, *args, is_essential=False, **kwargs)
        except RingmasterError as error:
            if error.kind in UNEXPECTED:
                raise
            self.tell(f"refused: {error.message}")
            return None
        return result

    def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        """What the rows say."""
        return self.store.read_now(fn, *args)

    def tell(self, words: str) -> None:
        """Add to what this step did."""
        self._words.append(words)

    def _on_commit(self, events: Sequence[Event]) -> None:
        self.mirror.take(events, self.clock.wall())
        for event in events:
            if event.type == "task.created":
                self.tasks.append(event.task_id)
            elif event.type == "attempt.lease_expired":
                self.leases.expire(event.attempt_id)
                self.leases.end(event.attempt_id)
            elif event.type in ("attempt.ended", "attempt.handed_in"):
                self.leases.end(event.attempt_id)
        if self.life is not None:
            self.life.on_events(events)

    def check_round(self, claims: Sequence[Claim]) -> None:
        """Hold what the scheduler has just given out to the rules."""
        if claims:
            check_claims(self.store, self.clock.wall(), claims, self.rules, self.mirror)
            for claim in claims:
                self.tell(f"{claim.attempt.worker_id} gets {claim.attempt.id}")

    async def step(self, number: int, move: Move) -> None:
        """Make one move, and let the daemon do what it does about it."""
        self._words = []
        try:
            before = self.mirror.last_seq
            result = move.make(self)
            if result is not None:
                await result
            if move.is_stirring or self.mirror.last_seq != before:
                await self.settle()
                self._check_idle()
        finally:
            self.told.append(f"{number:5} {self.clock.mono:11.1f} s  {move.name}: {'; '.join(self._words)}")

    def _is_dispatching(self) -> bool:
        return not (
            self.life is None
            or self._held
            or self.paths.estop.is_there
            or self.store.is_degraded
            or not self.paths.has_room
            or self.life.is_held
        )

    def _check_idle(self) -> None:
        overdue = self.leases.overdue() if not self._held else ""
        require(not overdue, f"the lease of {overdue} should have run out")
        if not self._is_dispatching() or "" not in self.mirror.seats.values():
            self._idle = None
            return
        idle = Scene(self.store, self.clock.wall(), self.rules, self.mirror).idle()
        if idle is None:
            self._idle = None
            return
        seat, work = idle
        if self._idle is None:
            self._idle = (work.id, self.clock.mono)
        since = self._idle[1]
        is_excused = self.clock.mono < self._excused_until and self.clock.mono - since <= LONGEST_WAIT_S + 0.1
        require(is_excused, f"{seat.id} is free and {work.id} is ready for it, since {self.clock.mono - since:.1f} s")

    def check(self) -> None:
        """Everything that must hold between any two steps."""
        self.read(check_invariants)
        self.mirror.compare(self.store)
        self._check_landed()
        asked = self.store.rows(ASKED_IN_VAIN)
        require(not asked, f"a person is asked about what has ended: {asked}")
        life = self.life
        if life is None or self._held:
            return
        unserved = [id for id in self.mirror.live if self._is_running(id) and id not in life.working]
        require(not unserved, f"nobody works on {unserved}")

    def _is_running(self, attempt_id: str) -> bool:
        return bool(self.store.rows("SELECT 1 FROM attempts WHERE id = ? AND state = 'running'", (attempt_id,)))

    def _check_landed(self) -> None:
        """Landed work is on its target, and what is on the target is landed or about to be."""
        landed = {
            row[0]: row[1] for row in self.store.rows("SELECT id, landed_commit FROM tasks WHERE landed_commit <> ''")
        }
        for task_id, commit in landed.items():
            require(commit in self.moved, f"{task_id} landed as {commit[:12]}, which is on no target")
        for commit, attempt_id in self.moved.items():
            state = self.store.rows("SELECT state, outcome FROM attempts WHERE id = ?", (attempt_id,))[0]
            require(
                state in (("landing", None), ("ended", "succeeded")),
                f"{attempt_id} is {state} and {commit[:12]} is on its target",
            )


__all__ = ["Broken", "Connection", "World"]
