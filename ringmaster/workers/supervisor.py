"""The supervisor: dispatcher, attempts and lanes as one nursery, and the wishes that reach them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

import msgspec
import trio

from ringmaster.bus import Lagged, Wakeup
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import WorkerState
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.inotify import NAMES, Changes, open_watcher
from ringmaster.queue.claim import Claim
from ringmaster.queue.limits import bounds_of
from ringmaster.queue.quarantine import pause_damaged_projects, quarantine_attempt
from ringmaster.queue.recount import follow_older_code
from ringmaster.queue.report import handed_back_words
from ringmaster.store import attempts, projects, workers
from ringmaster.store.connection import Connection
from ringmaster.workers import trouble
from ringmaster.workers.attempt import end_attempt, work_on_attempt
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.conversation import find_payers
from ringmaster.workers.dispatcher import Vacancy, run_dispatcher
from ringmaster.workers.jobs import running_jobs, stop_jobs
from ringmaster.workers.landing import unpark
from ringmaster.workers.lane import run_lane
from ringmaster.workers.pulled import work_on_pulled
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.supervisor")

LANE_EVENTS = (
    "task.validating",
    "task.edited",
    "attempt.accepted",
    "attempt.cancel_requested",
    "attempt.ended",
    "decision.answered",
    "decision.withdrawn",
    "project.edited",
    "project.resumed",
)
ADOPTION_LIMIT_S = 5.0
"""How long the start waits for shims to say who they are; the work on an attempt goes on waiting."""


class Supervisor:
    """Everything that works on attempts. Made once; `run` is its life.

    may_work: set once clients are answered. A hundred attempts that are taken up again at once would keep them waiting.

    Cancelling `run` is safe at any moment: what runs as a job goes on and is adopted by the next daemon.
    """

    def __init__(self, sur: Surroundings, may_work: trio.Event | None = None) -> None:
        self._sur = sur
        self._may_work = may_work
        self._controls: dict[str, AttemptControl] = {}
        self._lanes: dict[str, Wakeup] = {}
        self._dispatcher = Wakeup()
        self._nursery: trio.Nursery | None = None
        self._working: dict[str, AttemptControl] = {}
        self._one_ended = Wakeup()
        self._is_aborting = False
        self._vacancy = Vacancy()
        self._unadopted: set[str] = set()

    def unadopted(self) -> list[str]:
        """Attempts that were live at the start and of whose jobs nobody knows yet."""
        return [id for id in self._unadopted if id in self._controls and self._controls[id].shim is None]

    def live_shims(self) -> dict[ProcessIdentity, str]:
        """The shims of jobs that run now, each with its attempt's id."""
        return {control.shim: control.attempt_id for control in self._controls.values() if control.shim is not None}

    def attempt_of_nonce(self, nonce: str) -> str:
        """The attempt whose running job has this nonce, or ''."""
        return next((c.attempt_id for c in self._controls.values() if nonce and c.nonce == nonce), "")

    async def abort(self) -> None:
        """End every attempt that holds a seat, and return when all of them have ended.

        Nothing is dispatched meanwhile. Cancellation leaves some of them running.
        """
        self._is_aborting = True
        for control in self._working.values():
            control.request(Outcome.INTERRUPTED, "the daemon was aborted")
        while self._working:
            await self._one_ended.wait()

    def wake(self) -> None:
        """Look again at everything: after the disk has room again, or ESTOP is gone."""
        self._vacancy.reopen()
        self._dispatcher.set()
        for lane in self._lanes.values():
            lane.set()

    async def _wake_after(self, changes: Changes) -> None:
        while True:
            await changes.wait()
            self.wake()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Adopt what lives, then dispatch for ever. Started once it is known which shim works on which attempt."""
        sur = self._sur
        with sur.bus.open_subscription(capacity=65_536) as events:
            # ESTOP comes and goes as a file. The database lies beside it and is written all the time.
            async with open_watcher() as watcher:
                with watcher.watch(sur.paths.state, NAMES) as changes:
                    async with trio.open_nursery() as nursery:
                        self._nursery = nursery
                        live = await self._adopt()
                        task_status.started()
                        if self._may_work is not None:
                            await self._may_work.wait()
                        await self._take_up(live, nursery)
                        nursery.start_soon(self._wake_after, changes)
                        nursery.start_soon(
                            run_dispatcher, sur, self._dispatcher, self._vacancy, self._start, lambda: self._is_aborting
                        )
                        while True:
                            # A pass through the loop for each would cost more than all that is done about most.
                            for event in await events.receive_batch():
                                self._on_event(event)

    async def _adopt(self) -> list[Attempt]:
        """The live attempts, their jobs found."""
        sur = self._sur
        live, poisoned = await sur.store.read(attempts.live_attempts)
        for broken in poisoned:
            log.error("attempt %s cannot be read: %s", broken.id, broken.words)
            await stop_jobs(sur, broken.id)
            await sur.store.write_essential(quarantine_attempt, broken, rng=sur.rng)
        self._unadopted = {attempt.id for attempt in live}
        # Before anybody can call: an agent is told from a person by the shim above it.
        with trio.move_on_after(ADOPTION_LIMIT_S):
            async with trio.open_nursery() as adopting:
                for attempt in live:
                    adopting.start_soon(self._take_jobs, attempt.id)
        for words in await sur.store.write_essential(pause_damaged_projects):
            log.error("%s", words)
        if live:
            log.info("adopted %d live attempts", len(live))
        while await sur.store.write_essential(follow_older_code, sur.settings.order.rules, bounds_of(sur.settings)):
            log.info("counted anew what older code left")
        await sur.store.write_essential(_say_recovered, len(live), sur.is_continued)
        return live

    async def _take_up(self, live: Sequence[Attempt], nursery: trio.Nursery) -> None:
        """Take the live attempts into hands again and open the lanes."""
        sur = self._sur
        for attempt in live:
            if attempt.state == "running":
                self._take_on(attempt)
        for project in await sur.store.read(projects.salvaged_projects):
            self._open_lane(project.id)
            nursery.start_soon(self._unpark, project.id)
        sur.payers.update(await trio.to_thread.run_sync(find_payers, sur.settings, os.environ))

    async def _take_jobs(self, attempt_id: str) -> None:
        for job in await running_jobs(self._sur, attempt_id):
            self._control(attempt_id).holds(job)
        self._unadopted.discard(attempt_id)

    async def _look_again(self) -> None:
        """Events were dropped: learn from the rows what they would have said."""
        live, _ = await self._sur.store.read(attempts.live_attempts)
        stopped = await self._sur.store.read(_stopped_workers)
        for attempt in live:
            if attempt.is_cancel_requested:
                self._cancel(attempt.id)
            elif attempt.state == "running" and attempt.worker_id in stopped:
                self._control(attempt.id).request(Outcome.INTERRUPTED, f"worker {attempt.worker_id} was stopped")
            elif attempt.lease_s:
                await self._take_on_pulled(attempt.id)
                self._sur.leases.changed(attempt.id)
        known = {attempt.id for attempt in live} | self._working.keys()
        for ended in self._controls.keys() - known:
            del self._controls[ended]
        for project in await self._sur.store.read(projects.salvaged_projects):
            self._open_lane(project.id)
        self.wake()

    def _control(self, attempt_id: str) -> AttemptControl:
        control = self._controls.get(attempt_id)
        if control is None:
            control = AttemptControl(attempt_id, self._sur.settings.limits.cancel_grace_s)
            self._controls[attempt_id] = control
        return control

    def _start(self, claim: Claim) -> None:
        self._take_on(claim.attempt)

    def _take_on(self, attempt: Attempt) -> None:
        assert self._nursery is not None
        control = self._control(attempt.id)
        # Noted here and not by the trio task itself: `abort` waits for all that have been claimed.
        self._working[attempt.id] = control
        if self._is_aborting:
            control.request(Outcome.INTERRUPTED, "the daemon was aborted")
        self._nursery.start_soon(self._work, attempt, control)

    async def _take_on_pulled(self, attempt_id: str) -> None:
        attempt = await self._sur.store.read(attempts.salvaged_by_id, attempt_id)
        if attempt.state == "running" and attempt_id not in self._working:
            self._take_on(attempt)

    def _open_lane(self, project_id: str) -> None:
        if project_id not in self._lanes and self._nursery is not None:
            self._lanes[project_id] = Wakeup()
            self._nursery.start_soon(run_lane, self._sur, project_id, self._lanes[project_id], self._control)

    def _on_event(self, event: Event | Lagged) -> None:
        assert self._nursery is not None
        if isinstance(event, Lagged):
            self._nursery.start_soon(self._look_again)
            return
        if self._vacancy.wakes(event):
            self._dispatcher.set()
        if event.type == "project.added":
            self._open_lane(event.project_id)
        if event.type in LANE_EVENTS:
            for project_id, lane in self._lanes.items():
                if event.project_id in ("", project_id):
                    lane.set()
        if event.type == "attempt.cancel_requested":
            self._cancel(event.attempt_id)
        elif event.type == "worker.stopped" and event.attempt_id:
            self._control(event.attempt_id).request(Outcome.INTERRUPTED, f"worker {event.worker_id} was stopped")
        elif event.type == "attempt.pulled":
            self._nursery.start_soon(self._take_on_pulled, event.attempt_id)
        elif event.type == "attempt.handed_in":
            self._sur.leases.changed(event.attempt_id)
            said = msgspec.json.decode(event.data)
            if said["status"] == "interrupted":
                self._control(event.attempt_id).request(Outcome.INTERRUPTED, handed_back_words(said))
        elif event.type == "attempt.ended":
            self._controls.pop(event.attempt_id, None)
        elif event.type == "task.landed":
            self._nursery.start_soon(self._unpark, event.project_id)

    def _cancel(self, attempt_id: str) -> None:
        control = self._control(attempt_id)
        control.request(Outcome.CANCELLED, "cancelled by a person")
        if attempt_id not in self._working and not control.is_served and self._nursery is not None:
            # It waits in its lane, perhaps behind an hour of other gates.
            self._nursery.start_soon(self._end_waiting, attempt_id)

    async def _end_waiting(self, attempt_id: str) -> None:
        attempt = await self._sur.store.read(attempts.salvaged_by_id, attempt_id)
        if attempt.state != "validating":
            return
        # Should its lane take it up just now, the lane finds the wish, or the lease lost.
        try:
            await stop_jobs(self._sur, attempt_id)
            await end_attempt(self._sur, attempt, Outcome.CANCELLED, "cancelled by a person")
        except RingmasterError as error:
            log.warning("attempt %s: %s", attempt_id, error.message)

    async def _work(self, attempt: Attempt, control: AttemptControl) -> None:
        """One attempt's boundary: whatever goes wrong in here takes nothing else along."""
        try:
            while not await self._is_worked_on(attempt, control):
                # The steps can be entered again: what runs goes on meanwhile, and no work is thrown away.
                wished = trio.Event() if control.wanted is not None else control.wished
                with trio.move_on_after(trouble.DISK_RETRY_S):
                    await wished.wait()
            if control.wanted is Outcome.CANCELLED:
                # The wish came as the work was handed over: the lane may be busy for long.
                await self._end_waiting(attempt.id)
        finally:
            self._working.pop(attempt.id, None)
            self._one_ended.set()

    async def _is_worked_on(self, attempt: Attempt, control: AttemptControl) -> bool:
        """Work on it as far as it goes. False when it is to be tried again: the disk is full, or a git was killed."""
        try:
            worker = await self._sur.store.read(_worker_state, attempt.worker_id)
            if worker is WorkerState.STOPPED:
                control.request(Outcome.INTERRUPTED, f"worker {attempt.worker_id} was stopped")
            work = work_on_pulled if attempt.lease_s else work_on_attempt
            await work(self._sur, attempt.id, control)
        except Exception as raised:  # noqa: BLE001 - an attempt's boundary; what is no foreseen error is logged there
            error = trouble.cause_of(raised)
            if control.wanted is None and trouble.is_for_want_of_room(error, self._sur.paths.state):
                log.warning("attempt %s waits for room on the disk: %s", attempt.id, error)
                return False
            if control.wanted is None and trouble.was_git_killed(error) and control.setbacks < trouble.SETBACKS:
                control.setbacks += 1
                log.warning("attempt %s tries again: %s", attempt.id, error)
                return False
            with trouble.noticing_full_disk() as disk:
                await trouble.end_in_trouble(self._sur, attempt, control, error)
            return not disk.is_full
        return True

    async def _unpark(self, project_id: str) -> None:
        """Try the target again with what is parked: at each start and after each landing."""
        try:
            project = await self._sur.store.read(projects.project_by_id, project_id)
            if project.parked_commit:
                await unpark(self._sur, project_id)
        except (RingmasterError, OSError) as error:
            log.info("parked work of %s: %s", project_id, error)


def _worker_state(conn: Connection, worker_id: str) -> WorkerState:
    return workers.worker_by_id(conn, worker_id).state


def _stopped_workers(conn: Connection) -> set[str]:
    return {worker.id for worker in workers.all_workers(conn) if worker.state is WorkerState.STOPPED}


def _say_recovered(conn: Connection, live: int, is_continued: bool) -> None:
    # Who follows what was asked of an earlier process learns by it that nobody remembers.
    conn.emit("daemon.recovered", data={"live_attempts": live, "is_continued": is_continued})
