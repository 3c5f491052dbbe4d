"""One committed state of the database, for whoever looks through all of it while it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringmaster.store.connection import Connection, connect_reader


@contextmanager
def open_snapshot(path: Path, now: float) -> Iterator[Connection]:
    """A reading connection of its own inside one transaction: what is committed meanwhile is not seen.

    For a thread of its own, never the loop's. Closed here. While it is open the log is not cut, so it grows.
    """
    db = connect_reader(path)
    try:
        db.execute("BEGIN").fetchall()
        yield Connection(db, now)
    finally:
        db.close()
