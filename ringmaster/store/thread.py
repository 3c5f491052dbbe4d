"""The store of the daemon: one thread that writes, one that reads, and a loop that never waits for a disk.

The queues have no bound of their own: a call waits for its answer, so there are never more queued
than trio tasks that wait, and whoever makes those (the socket server, per connection) bounds them.

A thread that computes holds the interpreter for a whole switch interval while the other waits;
with the default of 5 ms the loop starves the writer of most of its rate. `open_store` therefore
shortens the interval of the process for as long as the store is open.
"""

from __future__ import annotations

import faulthandler
import functools
import logging
import os
import queue
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import apsw
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.batch import Batch, Writer
from ringmaster.store.calls import Call, CallThread, Step, with_snapshot
from ringmaster.store.connection import Connection, connect_reader
from ringmaster.store.disk import RESERVE_BYTES, make_disk_full_error
from ringmaster.store.further import copy_before, migrate_further, plan_further
from ringmaster.store.interface import Done, OnCommit, OnDegraded, Store, ignore_events
from ringmaster.store.migrate import Migration, OnProgress
from ringmaster.store.opening import Opened, close_database, open_with_reserve
from ringmaster.store.queries import find_sql_dir
from ringmaster.store.timing import StatementTimes

__all__ = ["BATCH_LIMIT_S", "LONG_LIMIT_S", "Store", "ThreadStore", "open_store"]

P = ParamSpec("P")
T = TypeVar("T")

BATCH_LIMIT_S = 10.0
# Its commit takes no steps and writes all of its pages: 100 MB at the 2 MB/s of a disk that others keep busy.
LONG_LIMIT_S = 60.0
SWITCH_INTERVAL_S = 0.0005
EXIT_STUCK = 70
# SQLite's own steps between two looks at whether a reader is still waited for: about a millisecond. Also between
# two signs of life of a long write.
READ_CHECK_STEPS = 20_000
_WATCH_TICKS = 4

_log = logging.getLogger(__name__)


def _end_process(reason: str) -> NoReturn:
    """The end that needs nobody's cooperation: callers of the store cannot be cancelled."""
    _log.critical("%s; ending the process", reason)
    faulthandler.dump_traceback()
    os._exit(EXIT_STUCK)


class ThreadStore:
    """A store with a thread for writing and one for reading: see `Store` for the interface."""

    def __init__(
        self,
        clock: Callable[[], float],
        on_commit: OnCommit,
        on_degraded: OnDegraded,
        end_process: Callable[[str], NoReturn],
        on_progress: OnProgress | None = None,
    ) -> None:
        self._clock = clock
        self._on_commit = on_commit
        self._on_degraded = on_degraded
        self._end_process = end_process
        self._on_progress = on_progress
        self._writing = CallThread("store-writer", self._write)
        self._reading = CallThread("store-reader", self._read)
        self._open: Callable[[], Opened]
        self._migrations: tuple[Migration, ...] = ()
        self._path: Path
        self._writer: Writer | None = None
        self._times = StatementTimes()
        self._is_degraded = False
        self._is_closed = False
        self._batch_number = 0
        self._is_batch_running = False
        self._limit_s = BATCH_LIMIT_S
        self._beats = 0
        self._failure: BaseException | None = None
        self._failed = trio.Event()

    @property
    def is_degraded(self) -> bool:
        """See `Store.is_degraded`."""
        return self._is_degraded

    @property
    def times(self) -> StatementTimes:
        """See `Store.times`."""
        return self._times

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Store.write`."""
        result: T = await self._queue_write(Call(fn, args, kwargs))
        return result

    async def write_essential(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See `Store.write_essential`."""
        result: T = await self._queue_write(Call(fn, args, kwargs, is_essential=True))
        return result

    async def write_long(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Store.write_long`."""
        result: T = await self._queue_write(Call(fn, args, kwargs, is_long=True))
        return result

    def write_soon(
        self,
        on_done: Callable[[Done[T]], None],
        fn: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """See `Store.write_soon`."""
        self._refuse_when_closed()
        call = Call(fn, args, kwargs)
        call.on_done = on_done
        self._writing.calls.put(call)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Store.read`."""
        self._refuse_when_closed()
        result: T = await self._reading.submit(Call(fn, args, kwargs), can_abandon=True)
        return result

    async def probe_disk(self) -> bool:
        """See `Store.probe_disk`."""
        if self._is_degraded:
            # As a call, so that setting the reserve aside cannot meet the writer giving it up.
            await self.write_essential(self._probe)
        return not self._is_degraded

    async def migrate(self, sql_dir: Path) -> None:
        """See `Store.migrate`."""
        if self._is_degraded:
            raise make_disk_full_error()
        planned = await self._queue_write(Step(plan_further, (self._migrations, sql_dir), {}))
        if planned:
            await trio.to_thread.run_sync(copy_before, self._path, planned, self._on_progress)
            await self._queue_write(Step(migrate_further, (planned, self._on_progress), {}))

    async def run_watch(self) -> None:
        """See `Store.run_watch`."""
        await self._watch_until(self._failed)
        assert self._failure is not None
        raise self._failure

    async def _watch_until(self, event: trio.Event) -> None:
        seen, ticks = (-1, 0), 0
        while not event.is_set():
            with trio.move_on_after(BATCH_LIMIT_S / _WATCH_TICKS):
                await event.wait()
            # Ticks and not the clock: a process that was stopped and continued finds an old batch
            # and a late clock, but only one tick.
            now = (self._batch_number, self._beats)
            ticks = ticks + 1 if self._is_batch_running and now == seen else 0
            seen, limit_s = now, self._limit_s
            if ticks * BATCH_LIMIT_S >= _WATCH_TICKS * limit_s:
                self._end_process(f"a batch of writes has made no progress for {limit_s:.0f} s")

    async def _queue_write(self, call: Call) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        self._refuse_when_closed()
        return await self._writing.submit(call, can_abandon=False)

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise RingmasterError(ErrorKind.STOPPING, "ringmasterd is stopping")

    # Below: the lives of the two threads.

    def _write(self) -> None:
        """The writer thread: its first call opens the database, its last act is to close it."""
        calls = self._writing.calls
        try:
            opening = calls.get()
            assert opening is not None
            db = self._answer_opening(opening)
            if db is None:
                return
            try:
                self._write_batches(calls, db)
            finally:
                close_database(db)
        except Exception as error:  # noqa: BLE001 - posted to the loop, where `run_watch` raises it
            self._writing.post(self._fail, error)
            self._answer_with(error, calls)
        finally:
            self._writing.end()

    def _answer_opening(self, opening: Call) -> apsw.Connection | None:
        db: apsw.Connection | None = None
        try:
            db, reserve, self._migrations = self._open()
            self._writer = Writer(db, self._clock, reserve, self._times)
            self._is_degraded = self._writer.is_degraded
        except Exception as error:  # noqa: BLE001 - delivered to whoever opens the store
            opening.error = error
            if db is not None:
                db.close()
                db = None
        self._writing.post(trio.lowlevel.reschedule, opening.task)
        return db

    def _write_batches(self, calls: queue.SimpleQueue[Call | None], db: apsw.Connection) -> None:
        assert self._writer is not None
        pending: deque[Call] = deque()
        is_stopping = False
        while pending or not is_stopping:
            # Waits only with nothing pending; then takes along whatever has gathered meanwhile.
            for _ in range(max(calls.qsize(), 0 if pending or is_stopping else 1)):
                call = calls.get()
                if call is None:
                    is_stopping = True
                elif isinstance(call, Step):
                    call.take(db)
                    self._writing.post(self._answer_batch, Batch([call], []))
                else:
                    pending.append(call)
            if not pending:
                continue
            started = list(pending)
            is_long = pending[0].is_long
            self._limit_s = LONG_LIMIT_S if is_long else BATCH_LIMIT_S
            if is_long:
                db.set_progress_handler(self._beat, READ_CHECK_STEPS)
            self._is_batch_running = True
            try:
                batch = self._writer.run(pending)
            except Exception as error:
                self._writing.post(self._answer_batch, _failed_batch(started, error))
                raise
            self._batch_number += 1
            self._is_batch_running = False
            if is_long:
                db.set_progress_handler(None)
            if self._writer.is_degraded != self._is_degraded:
                self._is_degraded = self._writer.is_degraded
                self._writing.post(self._guard, self._on_degraded, self._is_degraded)
            self._writing.post(self._answer_batch, batch)

    def _beat(self) -> bool:
        self._beats += 1
        return False

    def _answer_with(self, error: BaseException, calls: queue.SimpleQueue[Call | None]) -> None:
        """The afterlife of a writer that failed: nobody waits for ever. `run_watch` ends the program."""
        while (call := calls.get()) is not None:
            self._writing.post(self._answer_batch, _failed_batch([call], error))

    def _probe(self, conn: Connection) -> bool:
        assert self._writer is not None
        return self._writer.probe()

    def _read(self) -> None:
        """The reader thread: a snapshot for each call."""
        calls = self._reading.calls
        try:
            db: apsw.Connection | None = None
            while (call := calls.get()) is not None:
                if call.is_abandoned:
                    continue
                try:
                    # At the first call: a daemon that never needs it saves the memory.
                    db = db or connect_reader(self._path)
                    # Not `interrupt()`, which does nothing between two statements of the call.
                    db.set_progress_handler(functools.partial(getattr, call, "is_abandoned"), READ_CHECK_STEPS)
                    with_snapshot(db, call, self._clock(), self._times)
                except Exception as error:  # noqa: BLE001 - delivered to the caller, whatever it is
                    call.error = error
                self._reading.post(self._answer_read, call)
            if db is not None:
                db.close()
        finally:
            self._reading.end()

    # Below: on the loop.

    def _answer_batch(self, batch: Batch) -> None:
        if batch.events:
            self._guard(self._on_commit, batch.events)
        for call in batch.calls:
            if call.on_done is None:
                trio.lowlevel.reschedule(call.task)
            else:
                self._guard(call.on_done, call)

    def _answer_read(self, call: Call) -> None:
        if not call.is_abandoned:
            trio.lowlevel.reschedule(call.task)

    def _guard(self, fn: Callable[..., None], *args: Any) -> None:
        """Call a callback of the daemon's.

        One that raises must not do so here, where it would end the loop without running anybody's
        `finally`: `run_watch` raises it instead, and the callers of the batch still get the answers
        to what has been committed.
        """
        try:
            fn(*args)
        except Exception as error:  # noqa: BLE001 - raised again by run_watch
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._failed.set()

    async def _start(self, path: Path, opener: Callable[[], Opened]) -> None:
        self._path = path
        self._open = opener
        self._writing.start()
        try:
            await self._writing.submit(Call(_no_call, (), {}), can_abandon=False)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._writing.stop()
            raise
        self._reading.start()

    async def _stop(self) -> None:
        self._is_closed = True
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                # Whoever ran the watch has ended by now, and a stuck batch would keep us here.
                nursery.start_soon(self._watch_until, self._writing.ended)
                # The reader first: the writer's checkpoint then has the file to itself.
                await self._reading.stop()
                await self._writing.stop()


def _failed_batch(calls: list[Call], error: BaseException) -> Batch:
    for call in calls:
        call.error = RingmasterError(ErrorKind.INTERNAL, f"the store has failed: {error!r}")
    return Batch(calls, [])


def _no_call(conn: Connection) -> None:
    """Stands for the opening of the database in the writer's queue."""


@asynccontextmanager
async def open_store(
    path: Path | str,
    *,
    sql_dir: Path | None = None,
    clock: Callable[[], float] = time.time,
    on_commit: OnCommit = ignore_events,
    on_degraded: OnDegraded = lambda is_degraded: None,
    on_progress: OnProgress | None = None,
    reserve_bytes: int = RESERVE_BYTES,
    end_process: Callable[[str], NoReturn] = _end_process,
) -> AsyncIterator[ThreadStore]:
    """Open the database at `path` (created and migrated as needed) with its two threads.

    sql_dir: where `migrations/` lies; by default what came with the package.
    clock: unix seconds, called once per batch, on the store's threads.
    on_commit: given the events of each commit, in order, on the loop, before the writes that made
        them return. It must neither block nor raise: `run_watch` raises what it raises.
    on_degraded: told on the loop when the disk has become full (True) or has room again (False).
        A store that is degraded from the start says so in `is_degraded` alone.
    on_progress: told, on the writer's thread, of each migration and backup.
    end_process: what `run_watch` calls when a batch is stuck; must not return.

    The daemon runs `run_watch()` and calls `probe_disk()` on a timer while `is_degraded`. The
    reserve is the file `reserve` beside the database.

    On leaving, what is queued is finished, the log is written back, both threads are joined.
    Opening and closing cannot be cancelled. Raises RingmasterError for a file that cannot be used,
    and one of kind `disk_full` when not even the reserve makes room to open it.
    """
    path = Path(path)
    opener = functools.partial(open_with_reserve, path, sql_dir or find_sql_dir(), reserve_bytes, on_progress)
    store = ThreadStore(clock, on_commit, on_degraded, end_process, on_progress)
    async with AsyncExitStack() as closing:
        closing.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        await store._start(path, opener)
        closing.push_async_callback(store._stop)
        yield store
