"""A store in memory without the ten milliseconds that its schema takes: it is made once in a process, then copied."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import apsw

from ringmaster.store.connection import configure_writer, connect_writer
from ringmaster.store.inline import InlineStore
from ringmaster.store.interface import OnCommit, ignore_events
from ringmaster.store.migrate import Migration, load_migrations, migrate
from ringmaster.store.queries import find_sql_dir


@functools.cache
def _original() -> tuple[apsw.Connection, tuple[Migration, ...]]:
    """What every store here is a copy of; nobody else gets at it."""
    migrations = load_migrations(find_sql_dir())
    db = connect_writer(":memory:")
    configure_writer(db)
    migrate(db, migrations)
    return db, migrations


def connect_empty() -> apsw.Connection:
    """A writer's connection to a new database in memory of the newest schema. The caller closes it."""
    original, _ = _original()
    db = connect_writer(":memory:")
    with db.backup("main", original, "main") as copying:
        copying.step()
    configure_writer(db)
    return db


@asynccontextmanager
async def open_empty_store(
    *, clock: Callable[[], float], on_commit: OnCommit = ignore_events
) -> AsyncIterator[InlineStore]:
    """What `open_inline_store` opens in memory. Closed on leaving."""
    db = connect_empty()
    store = InlineStore(db, None, _original()[1], clock, on_commit)
    try:
        yield store
    finally:
        store._is_closed = True
        db.close()
