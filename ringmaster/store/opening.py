"""Opening the database with its reserve, which is given up for it on a full disk, and closing it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import apsw

from ringmaster.store.disk import Reserve, is_disk_full, make_disk_full_error
from ringmaster.store.migrate import Migration, OnProgress, load_migrations, open_database

_log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A database that is open for writing, its reserve, and the migrations that the running code knows."""

    db: apsw.Connection
    reserve: Reserve
    migrations: tuple[Migration, ...]


def open_with_reserve(path: Path, sql_dir: Path, reserve_bytes: int, on_progress: OnProgress | None) -> Opened:
    """Open and migrate the database at `path`; the caller closes it. Blocking.

    Raises:
        RingmasterError: for a file that cannot be used; DISK_FULL when not even the reserve makes room.
    """
    migrations = load_migrations(sql_dir)
    reserve = Reserve(path.with_name("reserve"), reserve_bytes)
    try:
        try:
            return Opened(open_database(path, migrations, on_progress), reserve, migrations)
        except (apsw.Error, OSError) as error:
            if not is_disk_full(error):
                raise
        # Starting is recovering, on a full disk too: outcomes of live attempts wait to be written.
        reserve.release()
        return Opened(open_database(path, migrations, on_progress), reserve, migrations)
    except (apsw.Error, OSError) as error:
        if is_disk_full(error):
            raise make_disk_full_error() from error
        raise


def close_database(db: apsw.Connection) -> None:
    """Write the log back into the database if nobody reads it, and close. Blocking.

    A reader is not waited for: clients wait meanwhile at a switch, and another program's may go on for long.
    """
    db.set_busy_timeout(0)
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error as error:
        # What is committed is safe in the log; the next start reads it there.
        _log.warning("no checkpoint at close: %s", error)
    db.close()
