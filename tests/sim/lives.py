"""One life of the daemon, from its start to its end: the real dispatcher, the real leases, and its memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from ringmaster.agents.base import Account
from ringmaster.bus import Bus, Wakeup
from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import lease, report
from ringmaster.queue.claim import Claim
from ringmaster.queue.decide import pause_project
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.dispatcher import Vacancy, fill_seats, run_dispatcher
from ringmaster.workers.landing import finish_landing, land_commit
from ringmaster.workers.preparing import Bench, read_rows
from ringmaster.workers.pulled import RUN_OUT, wait_for_end
from ringmaster.workers.supervisor import LANE_EVENTS
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workers.trouble import DISK_RETRY_S, cause_of
from ringmaster.workspace.repository import Tip, TipState
from tests.sim.oracle import check_claims
from tests.sim.repositories import SimulatedRepository

if TYPE_CHECKING:
    from tests.sim.world import World

OLD = "0" * 40


class Flag:
    """A file that is there or not."""

    def __init__(self) -> None:
        self.is_there = False

    def exists(self) -> bool:
        """See `Path.exists`."""
        return self.is_there


class SimulatedPaths:
    """The places that the scheduler looks at."""

    def __init__(self) -> None:
        self.estop = Flag()
        self.state = self.workspaces = Path("/nonexistent")
        self.has_room = True


class LifeStore:
    """The store as one life of the daemon has it: dead with it, and slow now and then to answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_dead = False

    @property
    def is_degraded(self) -> bool:
        """See `Store.is_degraded`."""
        return self._world.store.is_degraded

    async def write(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See `Store.write`."""
        return await self._call(fn, args, kwargs, is_essential=False)

    async def write_essential(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See `Store.write_essential`."""
        return await self._call(fn, args, kwargs, is_essential=True)

    async def read(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See `Store.read`."""
        await trio.lowlevel.checkpoint()
        self._refuse_when_dead()
        return self._world.store.read_now(fn, *args, **kwargs)

    async def _call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, is_essential: bool
    ) -> Any:
        await trio.lowlevel.checkpoint()
        self._refuse_when_dead()
        result = self._world.write(fn, *args, is_essential=is_essential, **kwargs)
        if fn is fill_seats:
            self._world.check_round(result.claims)
        # Writes are made in their order; what may come late is the answer, and a kill may come before it.
        await self.hold_up()
        return result

    async def hold_up(self) -> None:
        """Wait for a later step now and then; raises STOPPING when the life has ended by then."""
        await self._world.hold_up()
        self._refuse_when_dead()

    def _refuse_when_dead(self) -> None:
        if self.is_dead:
            raise RingmasterError(ErrorKind.STOPPING, "this life has ended")


class Life:
    """What a running daemon knows besides the rows.

    working: attempts that it works on: those it was given by its dispatcher and those it found at its start.
    lanes: of each project, whether it has been woken since it last found nothing to do. judged: pulled attempts that
    were handed in. landing: projects whose lane is in the middle of a landing.
    """

    def __init__(self, world: World, *, is_continued: bool) -> None:
        self._world = world
        self.store = LifeStore(world)
        self.working: set[str] = set()
        self.waiting: set[str] = set()
        self.judged: set[str] = set()
        self.landing: set[str] = set()
        self.lanes: dict[str, bool] = {}
        self.controls: dict[str, AttemptControl] = {}
        self.is_held = False
        self._wakeup = Wakeup()
        self._vacancy = Vacancy()
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self.ended = trio.Event()
        store: Any = self.store
        paths: Any = world.paths
        self.sur = Surroundings(
            store=store,
            bus=Bus(),
            paths=paths,
            settings=world.rules.settings(),
            instance_id="sim",
            rng=world.rng,
            id_rng=world.rng,
            now=world.clock.wall,
            is_continued=is_continued,
        )
        for agent, account in world.rules.payers.items():
            self.sur.payers[agent] = Account(id=account, agent=agent, label=account)

    async def run(self) -> None:
        """Recover, as the daemon does, and dispatch until it is ended."""
        try:
            with self._scope:
                live, _ = await self.store.read(attempts.live_attempts)
                await self.store.write_essential(_say_recovered)
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    for attempt in live:
                        if attempt.state == "running":
                            self._take_on(attempt)
                    for project_id in self._world.projects:
                        self.lanes[project_id] = True
                    await run_dispatcher(self.sur, self._wakeup, self._vacancy, self._start, lambda: self.is_held)
        except* RingmasterError as raised:
            if any(error.kind is not ErrorKind.STOPPING for error in _leaves(raised)):
                raise
        finally:
            self.ended.set()

    def end(self, *, is_killed: bool) -> None:
        """Let it go: killed, it writes nothing more."""
        self.store.is_dead = is_killed
        self._scope.cancel()

    def wake(self) -> None:
        """As the supervisor after the disk has room again, or ESTOP has come or gone."""
        self._vacancy.reopen()
        self._wakeup.set()
        for project_id in self.lanes:
            self.lanes[project_id] = True

    def _start(self, claim: Claim) -> None:
        self._take_on(claim.attempt)

    def _take_on(self, attempt: Attempt) -> None:
        self.working.add(attempt.id)
        if attempt.lease_s and lease.standing_of(attempt) != "preparing":
            self.wait_for(attempt)

    def wait_for(self, attempt: Attempt) -> None:
        """Begin to wait for whoever pulled it, as `work_on_pulled` does once the workspace is there."""
        if attempt.id not in self.waiting and self._nursery is not None:
            self.waiting.add(attempt.id)
            self._nursery.start_soon(self._wait_for, attempt)

    async def _wait_for(self, attempt: Attempt) -> None:
        try:
            while not await self._is_waited_for(attempt):
                control = self.control(attempt.id)
                wished = trio.Event() if control.wanted is not None else control.wished
                with trio.move_on_after(DISK_RETRY_S):
                    await wished.wait()
        finally:
            self.waiting.discard(attempt.id)

    async def _is_waited_for(self, attempt: Attempt) -> bool:
        """Wait until its worker has nothing more to say. False when it is to be tried again: the disk is full."""
        control = self.control(attempt.id)
        attempt = await self.store.read(attempts.attempt_by_id, attempt.id)
        if attempt.is_cancel_requested:
            control.request(Outcome.CANCELLED, "cancelled by a person")
        try:
            is_new = lease.standing_of(attempt) == "preparing"
            if is_new:
                attempt = await self.store.write_essential(lease.begin_lease, attempt.id, attempt.token)
            left_s = attempt.lease_left_s or 0.0
            if not (is_new or self.sur.is_continued):
                left_s = lease.left_after_start(left_s)
            self._world.leases.begin(attempt, left_s)
            nothing: Any = None
            bench = Bench(nothing, nothing, attempt, nothing, nothing, nothing, nothing)
            ending = await wait_for_end(self.sur, bench, control, left_s)
            self._world.leases.pause(attempt.id)
            if ending == "handed_in":
                self.judged.add(attempt.id)
                return True
            outcome = Outcome.INTERRUPTED if ending == "run_out" else control.wanted or Outcome.INTERRUPTED
            reason = RUN_OUT if ending == "run_out" else control.reason
            await self.store.write_essential(
                report.end_attempt, attempt.id, attempt.token, outcome, reason, rng=self._world.rng
            )
        except (RingmasterError, ExceptionGroup) as raised:
            self._world.leases.pause(attempt.id)
            error = cause_of(raised)
            if not isinstance(error, RingmasterError) or error.kind not in (ErrorKind.DISK_FULL, ErrorKind.LEASE_LOST):
                raise
            return error.kind is ErrorKind.LEASE_LOST
        return True

    def land(self, attempt: Attempt, commit: str = "") -> None:
        """Let the lane of a project land a commit; without one, go on with a landing that was cut short."""
        assert self._nursery is not None
        self.landing.add(attempt.project_id)
        self._nursery.start_soon(self._land, attempt, commit)

    async def _land(self, attempt: Attempt, commit: str) -> None:
        try:
            rows = await self.store.read(read_rows, attempt.id)
            user: Any = SimulatedRepository(self._world, self.store, rows.attempt)
            nowhere = user.common_dir
            bench = Bench(rows.project, rows.task, rows.attempt, user, nowhere, nowhere, nowhere)
            if commit:
                await land_commit(self.sur, bench, Tip(OLD, OLD, None, TipState.TARGET), commit)
            else:
                await finish_landing(self.sur, bench)
            is_stuck = False
        except RingmasterError as error:
            is_stuck = error.kind is ErrorKind.WRONG_STATE
            if not is_stuck and error.kind not in (ErrorKind.DISK_FULL, ErrorKind.LEASE_LOST):
                raise
        finally:
            self.landing.discard(attempt.project_id)
        if is_stuck:
            await self._ask_about_landing(attempt)

    async def _ask_about_landing(self, attempt: Attempt) -> None:
        """As `workers.trouble` does when a landing fails."""
        try:
            await self.store.write_essential(_ask_about_stuck, attempt, self._world.rng)
        except RingmasterError as error:
            if error.kind not in (ErrorKind.DISK_FULL, ErrorKind.LEASE_LOST):
                raise

    def control(self, attempt_id: str) -> AttemptControl:
        """The handle on a live attempt."""
        return self.controls.setdefault(attempt_id, AttemptControl(attempt_id, 5.0))

    def on_events(self, events: Sequence[Event]) -> None:
        """What the supervisor does about events."""
        for event in events:
            if self._vacancy.wakes(event):
                self._wakeup.set()
            if event.type == "project.added":
                self.lanes[event.project_id] = True
            if event.type in LANE_EVENTS:
                for project_id in self.lanes:
                    if event.project_id in ("", project_id):
                        self.lanes[project_id] = True
            if event.type == "attempt.cancel_requested":
                self.control(event.attempt_id).request(Outcome.CANCELLED, "cancelled by a person")
            elif event.type == "worker.stopped" and event.attempt_id:
                self.control(event.attempt_id).request(Outcome.INTERRUPTED, f"worker {event.worker_id} was stopped")
            elif event.type == "attempt.pulled":
                self.working.add(event.attempt_id)
            elif event.type == "attempt.handed_in":
                self.sur.leases.changed(event.attempt_id)
                said = msgspec.json.decode(event.data)
                if said["status"] == "interrupted":
                    self.control(event.attempt_id).request(Outcome.INTERRUPTED, report.handed_back_words(said))
            elif event.type == "attempt.ended":
                self.controls.pop(event.attempt_id, None)
                self.working.discard(event.attempt_id)
                self.judged.discard(event.attempt_id)


def _ask_about_stuck(conn: Connection, attempt: Attempt, rng: random.Random) -> None:
    pause_project(conn, attempt.project_id, DecisionKind.TARGET_MOVED, question="cannot land", reason="stuck", rng=rng)
    report.ask_about_stuck_landing(conn, attempt, "stuck", place="here", rng=rng)


def _say_recovered(conn: Connection) -> None:
    conn.emit("daemon.recovered", data={})


def _leaves(group: BaseExceptionGroup[RingmasterError]) -> list[RingmasterError]:
    found: list[RingmasterError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


__all__ = ["Flag", "Life", "LifeStore", "SimulatedPaths", "check_claims"]
