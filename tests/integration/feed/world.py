"""A store, files and daemons' feeds one after another, without processes, threads or a network."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import trio

from ringmaster.bus import Bus, Subscription
from ringmaster.feed import feed as feeds
from ringmaster.feed import position, reader, session
from ringmaster.feed.feed import Feed, open_feed
from ringmaster.model.attempt import Attempt as AttemptRow
from ringmaster.model.event import Event
from ringmaster.model.states import AttemptState
from ringmaster.output import files, rendering
from ringmaster.proc.inotify import open_watcher
from ringmaster.queue import feed as looks
from ringmaster.settings import Paths, Settings
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.workers.jobs import emit_job
from tests.integration.feed.client import Client
from tests.integration.feed.truth import NEVER, Attempt, Job, Truth
from tests.sim.clock import VirtualClock
from tests.sim.database import Database, SimulatedStore

T = TypeVar("T")
TASKS = (("p-one", "rm-1"), ("p-one", "rm-2"), ("p-two", "rm-3"))
WORKERS = ("w-1", "w-2")
# What takes megabytes in a daemon, in some kilobytes.
SMALL: tuple[tuple[Any, str, int], ...] = (
    (reader, "PIECE_BYTES", 200),
    (position, "PIECE_BYTES", 200),
    (session, "PIECE_BYTES", 200),
    (reader, "RING_BYTES", 1_500),
    (reader, "AHEAD_BYTES", 800),
    (position, "BLOCK_BYTES", 700),
    (position, "BEHIND_BYTES", 3_000),
    (session, "FRAME_BYTES", 1_600),
    (session, "TURN_PIECES", 6),
    (session, "EVENTS_AT_ONCE", 5),
    (looks, "EVENTS_AT_ONCE", 7),
    (feeds, "RECENT_EVENTS", 10),
    (rendering, "LINE_BYTES", 300),
)


class SmallBus(Bus[Event]):
    """Who listens to it falls behind soon."""

    def open_subscription(
        self, accepts: Callable[[Event], bool] | None = None, *, capacity: int = 15
    ) -> contextlib._GeneratorContextManager[Subscription[Event]]:
        """As of `Bus`."""
        return super().open_subscription(accepts, capacity=capacity)


class Starving:
    """While it is on there are no descriptors for output."""

    is_on = False


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """Small bounds, and nothing in a thread: a seed does the same each time."""

    async def run_inline(fn: Callable[..., T], *args: Any, **_options: Any) -> T:
        await trio.lowlevel.checkpoint()
        result = fn(*args)
        await trio.lowlevel.checkpoint()
        return result

    opened = os.open

    def open_or_fail(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if Starving.is_on and str(path).endswith(files.OUTPUTS) and not flags & os.O_WRONLY:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(path, flags, *args, **options)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch("os.open", open_or_fail))
        stack.enter_context(mock.patch.object(Starving, "is_on", False))
        for module, name, value in SMALL:
            stack.enter_context(mock.patch.object(module, name, value))
        stack.enter_context(mock.patch("trio.to_thread.run_sync", run_inline))
        yield


class World:
    """What a walk acts on. told: what was done, in words."""

    def __init__(self, database: Database, root: Path, rng: random.Random, clock: VirtualClock) -> None:
        self.truth = Truth()
        self.rng = rng
        self.clock = clock
        self.paths = Paths(name="walk", config=root / "config", state=root / "state", socket=root / "socket")
        self.store = SimulatedStore(database, clock.wall, self._take_events)
        self.clients: list[Client] = []
        self.told: list[str] = []
        self.feed: Feed | None = None
        self.nursery: trio.Nursery | None = None
        self._bus: SmallBus | None = None
        self._begun, self._leaving, self._left = trio.Event(), trio.Event(), trio.Event()
        self._numbers = {task_id: 0 for _, task_id in TASKS}
        database.db.execute("PRAGMA foreign_keys = OFF")

    def _take_events(self, events: Sequence[Event]) -> None:
        self.truth.events += events
        if self._bus is not None:
            self._bus.publish(events)

    # The daemon.

    async def start(self, nursery: trio.Nursery) -> None:
        """Begin an image."""
        self.nursery = nursery
        self._begun, self._leaving, self._left = trio.Event(), trio.Event(), trio.Event()
        nursery.start_soon(self._run_daemon)
        await self._begun.wait()

    async def _run_daemon(self) -> None:
        async with self._open_feed() as self.feed:
            self._begun.set()
            await self._leaving.wait()
        self.feed = None
        self._left.set()

    @contextlib.asynccontextmanager
    async def _open_feed(self) -> AsyncIterator[Feed]:
        self._bus = SmallBus()
        async with (
            open_watcher() as watcher,
            open_feed(
                store=self.store,
                bus=self._bus,
                paths=self.paths,
                settings=Settings,
                watcher=watcher,
                instance_id="instance-1",
                generation=lambda: 1,
            ) as feed,
        ):
            yield feed
        self._bus = None

    async def stop(self, *, is_told: str) -> None:
        """End the image, and all connections with it."""
        for client in self.clients:
            await client.leave(is_told=is_told)
        self._leaving.set()
        await self._left.wait()

    # What happens in the store and in files.

    def write(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A transaction, at once."""
        return self.store.write_now(fn, args, kwargs, is_essential=False)

    def emit(
        self, type: str, project_id: str = "", task_id: str = "", attempt_id: str = "", worker_id: str = ""
    ) -> None:
        """An event about whatever."""
        names: dict[str, Any] = {
            "project_id": project_id,
            "task_id": task_id,
            "attempt_id": attempt_id,
            "worker_id": worker_id,
        }
        self.write(lambda conn: conn.emit(type, **names))

    def begin_attempt(self, project_id: str, task_id: str, worker_id: str) -> Attempt:
        """A row, its event, and no job yet."""
        self._numbers[task_id] += 1
        number = self._numbers[task_id]
        row = AttemptRow(
            id=f"{task_id}/{number}",
            task_id=task_id,
            number=number,
            project_id=project_id,
            worker_id=worker_id,
            agent="command",
            token="token",
            state=AttemptState.RUNNING,
            outcome=None,
            reason="",
            branch="",
            base_commit="",
            head_commit="",
            is_accepted=False,
            is_cancel_requested=False,
            landing=None,
            lane_at=None,
            report={},
            started_at=self.clock.wall(),
            ended_at=None,
        )

        def insert(conn: Connection) -> None:
            attempts.insert_attempt(conn, row)
            conn.emit("attempt.started", project_id=project_id, task_id=task_id, attempt_id=row.id, worker_id=worker_id)

        begun = Attempt(row.id, task_id, project_id, worker_id, self.truth.last_seq + 1)
        self.truth.attempts[row.id] = begun
        self.write(insert)
        return begun

    def end_attempt(self, attempt: Attempt, *, names_worker: bool) -> None:
        """Its row and its event."""

        def end(conn: Connection) -> None:
            conn.execute(
                "UPDATE attempts SET state = 'ended', outcome = 'failed', ended_at = ? WHERE id = ?",
                (conn.now, attempt.id),
            )
            names: dict[str, Any] = {
                "project_id": attempt.project_id,
                "task_id": attempt.task_id,
                "attempt_id": attempt.id,
            }
            conn.emit("attempt.ended", **names, worker_id=attempt.worker_id if names_worker else "")

        attempt.end_seq = self.truth.last_seq + 1
        self.write(end)

    def begin_job(self, attempt: Attempt, name: str, *, is_said: bool) -> Job:
        """Its files, and the event of its start where somebody lives to say so."""
        job = Job(attempt, name, self.paths.attempt(attempt.id) / name)
        job.directory.mkdir(parents=True)
        for channel in files.OUTPUTS:
            (job.directory / channel).touch()
        job.lock = os.open(job.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(job.lock, fcntl.LOCK_EX)
        attempt.jobs[name] = job
        if is_said:
            job.start_seq = self.truth.last_seq + 1
            self._emit_job(job, "attempt.job_started")
        return job

    def append(self, job: Job, channel: str, count: int) -> None:
        """The next bytes of what it has to say, cut wherever that is."""
        text = job.text(channel)
        data = text.data[text.written :][:count]
        text.written += len(data)
        fd = os.open(job.directory / channel, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    def finish_job(self, job: Job, *, is_killed: bool = False) -> None:
        """It dies, and its shim says how it ended, where that was not killed."""
        job.is_dead = True
        if not is_killed:
            (job.directory / "exit.json").write_text("{}")
        os.close(job.lock)
        job.lock = -1

    def close(self) -> None:
        """What lives lets go of its lock."""
        for job in self.truth.jobs():
            if job.lock >= 0:
                os.close(job.lock)

    def say_job_ended(self, job: Job) -> None:
        """The daemon says it too."""
        job.end_seq = self.truth.last_seq + 1
        self._emit_job(job, "attempt.job_ended")

    def _emit_job(self, job: Job, type: str) -> None:
        row = self.store.read_now(attempts.attempt_by_id, job.attempt.id)
        self.write(emit_job, row, type, job.name, str(job.directory), {})

    def remove_output(self, attempt: Attempt, *, is_by_cap: bool) -> None:
        """A clean-up, by the cap or by age."""
        place = self.paths.attempt(attempt.id)
        for job in attempt.jobs.values():
            job.is_removed = True
        if not is_by_cap:
            shutil.rmtree(place, ignore_errors=True)
        elif place.exists():
            (place / files.REMOVED_FILE).write_text(f'{{"at": {self.clock.wall()}}}')
            for job in attempt.jobs.values():
                for channel in files.OUTPUTS:
                    (job.directory / channel).unlink(missing_ok=True)

    def prune_events(self, count: int) -> None:
        """Old events go, but never the newest, none of what lives, and none that somebody who is there still gets."""
        live = [
            attempt.start_seq
            for attempt in self.truth.attempts.values()
            if attempt.end_seq == NEVER or not all(job.is_dead for job in attempt.jobs.values())
        ]
        here = [client.needed_seq for client in self.clients if client.connection is not None]
        first = min(self.truth.first_seq + count, self.truth.last_seq, *live, *here)
        for attempt in sorted(self.truth.attempts.values(), key=lambda attempt: -attempt.start_seq):
            # All that was said of an attempt goes at once.
            if attempt.start_seq < first <= attempt.last_seq:
                first = attempt.start_seq
        if first > self.truth.first_seq:
            self.truth.first_seq = first
            self.write(lambda conn: conn.execute("DELETE FROM events WHERE seq < ?", (first,)))
