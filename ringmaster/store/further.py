"""Bringing an open database up to the migrations of another release, under code that knows fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import apsw

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.disk import is_disk_full, make_disk_full_error
from ringmaster.store.migrate import (
    Migration,
    MigrationFileError,
    OnProgress,
    back_up,
    digest_key,
    in_words,
    load_migrations,
    migrate,
    open_directory_lock,
    read_schema,
)

WHAT_TO_DO = "add what is new as a migration of its own, with the next number"


def migrate_further(
    db: apsw.Connection,
    path: Path | None,
    known: Sequence[Migration],
    sql_dir: Path,
    on_progress: OnProgress | None = None,
) -> None:
    """Apply what the release of `sql_dir` has beyond the database; on the writing connection, outside a transaction.

    path: of the database, which is copied to `<path>.before-NNNN` first; None for one in memory. known: the
    migrations of the running code. Blocking, without a limit. A kill at any moment leaves a whole schema.

    Raises:
        RingmasterError: REFUSED for migrations that cannot be used, with nothing changed, and for one that the data
            do not allow, with the whole ones before it kept; DISK_FULL.
    """
    try:
        migrations = load_migrations(sql_dir)
    except (MigrationFileError, OSError) as error:
        raise RingmasterError(ErrorKind.REFUSED, f"its migrations cannot be used: {error}", WHAT_TO_DO) from error
    found = read_schema(db).schema
    _refuse_other_past(db, known, migrations, found)
    _refuse_ousting(known, migrations[found:])
    if len(migrations) <= found:
        return
    try:
        with nullcontext() if path is None else open_directory_lock(path.parent):
            if path is not None:
                back_up(db, Path(f"{path}.before-{found + 1:04d}"), on_progress)
            migrate(db, migrations, on_progress)
    except (apsw.Error, OSError) as error:
        raise _told(db, path, migrations, error) from error


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


def _told(
    db: apsw.Connection, path: Path | None, migrations: Sequence[Migration], error: apsw.Error | OSError
) -> RingmasterError:
    if is_disk_full(error):
        return make_disk_full_error()
    told = in_words(path, error) if path is not None and isinstance(error, apsw.Error) else None
    if told is not None:
        return told
    reached = read_schema(db).schema
    failed = migrations[reached]
    return RingmasterError(
        ErrorKind.REFUSED,
        f"migration {failed.number:04d} {failed.name} cannot be carried out on this database: {error}",
        f"the schema stays at {reached}",
    )
