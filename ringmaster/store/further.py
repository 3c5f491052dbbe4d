"""Bringing an open database up to the migrations of another release, under code that knows fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import connect_reader
from ringmaster.store.disk import is_disk_full, make_disk_full_error
from ringmaster.store.migrate import (
    Migration,
    MigrationFileError,
    OnProgress,
    back_up,
    digest_key,
    load_migrations,
    migrate,
    open_directory_lock,
    read_schema,
)

WHAT_TO_DO = "add what is new as a migration of its own, with the next number"


def plan_further(db: apsw.Connection, known: Sequence[Migration], sql_dir: Path) -> tuple[Migration, ...]:
    """What the release of `sql_dir` has beyond the database; changes nothing. known: the running code's migrations.

    Raises:
        RingmasterError: REFUSED for migrations that cannot be used.
    """
    try:
        migrations = load_migrations(sql_dir)
    except (MigrationFileError, OSError) as error:
        raise RingmasterError(ErrorKind.REFUSED, f"its migrations cannot be used: {error}", WHAT_TO_DO) from error
    found = read_schema(db).schema
    _refuse_other_past(db, known, migrations, found)
    _refuse_ousting(known, migrations[found:])
    return migrations[found:]


def copy_before(path: Path, planned: Sequence[Migration], on_progress: OnProgress | None) -> None:
    """Copy the database at `path` to `<path>.before-NNNN`, NNNN being the first that is planned. Blocking.

    On a connection of its own, so that writes go on: the copy is of the moment at which it begins.

    Raises:
        RingmasterError: DISK_FULL, or REFUSED when it cannot be copied.
    """
    db = connect_reader(path)
    try:
        # It counts as writing, though not into what is opened for reading alone.
        db.pragma("query_only", False)
        with open_directory_lock(path.parent):
            back_up(db, Path(f"{path}.before-{planned[0].number:04d}"), on_progress)
    except (apsw.Error, OSError) as error:
        if is_disk_full(error):
            raise make_disk_full_error() from error
        raise RingmasterError(ErrorKind.REFUSED, f"{path} cannot be copied: {error}", "rmctl db check") from error
    finally:
        db.close()


def migrate_further(db: apsw.Connection, planned: Sequence[Migration], on_progress: OnProgress | None = None) -> None:
    """Apply what is planned, on the writing connection, outside a transaction. Blocking, without a limit.

    A kill at any moment leaves a whole schema.

    Raises:
        RingmasterError: REFUSED for a migration that the data do not allow, with the whole ones before it kept;
            DISK_FULL.
    """
    try:
        migrate(db, planned, on_progress)
    except (apsw.Error, OSError) as error:
        if is_disk_full(error):
            raise make_disk_full_error() from error
        reached = read_schema(db).schema
        failed = next(migration for migration in planned if migration.number > reached)
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"migration {failed.number:04d} {failed.name} cannot be carried out on this database: {error}",
            f"the schema stays at {reached}",
        ) from error


def _refuse_other_past(
    db: apsw.Connection, known: Sequence[Migration], migrations: Sequence[Migration], found: int
) -> None:
    """Refuse a release whose migrations are not those that ran here under their numbers.

    A generation that was taken back has left its migrations behind: code that has others under the same numbers would
    find tables that it does not know.
    """
    for migration in migrations[:found]:
        noted = db.execute("SELECT value FROM meta WHERE key = ?", (digest_key(migration.number),)).fetchall()
        if noted:
            ran = str(noted[0][0])
        elif migration.number <= len(known):
            ran = known[migration.number - 1].digest
        else:
            continue
        if ran != migration.digest:
            raise RingmasterError(
                ErrorKind.REFUSED,
                f"migration {migration.number:04d} {migration.name} is not the one that ran on this database",
                WHAT_TO_DO,
            )


def _refuse_ousting(known: Sequence[Migration], new: Sequence[Migration]) -> None:
    """Refuse what the running code could not be started on again: then there would be no way back."""
    for migration in new:
        if migration.min_code_schema > len(known):
            raise RingmasterError(
                ErrorKind.REFUSED,
                f"migration {migration.number:04d} {migration.name} is not additive: it needs code that knows"
                f" {migration.min_code_schema} migrations, and what runs knows {len(known)}",
                "make it in two releases, the first of which works on both schemas",
            )
