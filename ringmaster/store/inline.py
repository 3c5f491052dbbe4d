"""The store without threads, for simulation and unit tests: same interface, same batches, same rules."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.batch import Writer
from ringmaster.store.calls import Call, with_snapshot
from ringmaster.store.connection import Connection, configure_writer, connect_writer, run_script
from ringmaster.store.disk import make_disk_full_error
from ringmaster.store.further import copy_before, migrate_further, plan_further
from ringmaster.store.interface import Done, OnCommit, ignore_events
from ringmaster.store.migrate import Migration, load_migrations, migrate, open_database
from ringmaster.store.queries import find_sql_dir
from ringmaster.store.timing import StatementTimes

P = ParamSpec("P")
T = TypeVar("T")


class InlineStore:
    """Runs each call where it is made, as a batch of one: see `Store` for the interface.

    A failure of `on_commit` is raised by `run_watch`, as it is by the store with threads.
    """

    def __init__(
        self,
        db: apsw.Connection,
        path: Path | None,
        migrations: tuple[Migration, ...],
        clock: Callable[[], float],
        on_commit: OnCommit,
    ) -> None:
        self._db = db
        self._path = path
        self._migrations = migrations
        self._clock = clock
        self._on_commit = on_commit
        self._times = StatementTimes()
        self._writer = Writer(db, clock, times=self._times)
        self._is_closed = False
        self._failure: BaseException | None = None
        self._failed = trio.Event()

    @property
    def is_degraded(self) -> bool:
        """See `Store.is_degraded`."""
        return self._writer.is_degraded

    @is_degraded.setter
    def is_degraded(self, value: bool) -> None:
        # There is no reserve here: a simulation says when its disk is full.
        self._writer.is_degraded = value

    @property
    def times(self) -> StatementTimes:
        """See `Store.times`."""
        return self._times

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Store.write`."""
        result: T = await self._run(Call(fn, args, kwargs))
        return result

    async def write_essential(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See `Store.write_essential`."""
        result: T = await self._run(Call(fn, args, kwargs, is_essential=True))
        return result

    async def write_long(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Store.write_long`: nobody watches."""
        result: T = await self._run(Call(fn, args, kwargs, is_long=True))
        return result

    def write_soon(
        self,
        on_done: Callable[[Done[T]], None],
        fn: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """See `Store.write_soon`: made at once, told in the next pass of the loop."""
        self._refuse_when_closed()
        call = Call(fn, args, kwargs)
        self._commit(call)
        trio.lowlevel.current_trio_token().run_sync_soon(self._guard, on_done, call)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Store.read`."""
        await trio.lowlevel.checkpoint()
        self._refuse_when_closed()
        call = Call(fn, args, kwargs)
        run_script(self._db, "PRAGMA query_only = ON")
        try:
            with_snapshot(self._db, call, self._clock(), self._times)
        finally:
            run_script(self._db, "PRAGMA query_only = OFF")
        result: T = call.outcome()
        return result

    async def probe_disk(self) -> bool:
        """See `Store.probe_disk`: says how the simulated disk is."""
        await trio.lowlevel.checkpoint()
        return not self.is_degraded

    async def migrate(self, sql_dir: Path) -> None:
        """See `Store.migrate`; a database in memory is not copied before."""
        await trio.lowlevel.checkpoint()
        self._refuse_when_closed()
        if self.is_degraded:
            raise make_disk_full_error()
        planned = plan_further(self._db, self._migrations, sql_dir)
        if planned:
            if self._path is not None:
                copy_before(self._path, planned, None)
            migrate_further(self._db, planned)

    async def run_watch(self) -> None:
        """See `Store.run_watch`."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def _run(self, call: Call) -> Any:
        # The checkpoint comes first: after the commit nothing may keep the answer from the caller.
        await trio.lowlevel.checkpoint()
        self._refuse_when_closed()
        self._commit(call)
        return call.outcome()

    def _commit(self, call: Call) -> None:
        batch = self._writer.run(deque((call,)))
        if batch.events:
            self._guard(self._on_commit, batch.events)

    def _guard(self, fn: Callable[..., None], *args: Any) -> None:
        try:
            fn(*args)
        except Exception as error:  # noqa: BLE001 - raised again by run_watch
            if self._failure is None:
                self._failure = error
                self._failed.set()

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise RingmasterError(ErrorKind.STOPPING, "ringmasterd is stopping")


@asynccontextmanager
async def open_inline_store(
    path: Path | str = ":memory:",
    *,
    sql_dir: Path | None = None,
    clock: Callable[[], float],
    on_commit: OnCommit = ignore_events,
) -> AsyncIterator[InlineStore]:
    """Open a database, by default one in memory, without threads. Closed on leaving.

    Opening and closing do not wait and cannot be cancelled.
    """
    migrations = load_migrations(sql_dir or find_sql_dir())
    place = None if str(path) == ":memory:" else Path(path)
    if place is None:
        db = connect_writer(path)
        configure_writer(db)
        migrate(db, migrations)
    else:
        db = open_database(place, migrations)
    store = InlineStore(db, place, migrations, clock, on_commit)
    try:
        yield store
    finally:
        store._is_closed = True
        db.close()
