"""Opening the database with its reserve: on a full disk the reserve is given up for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import apsw

from ringmaster.store.disk import Reserve, is_disk_full, make_disk_full_error
from ringmaster.store.migrate import Migration, OnProgress, load_migrations, open_database


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
