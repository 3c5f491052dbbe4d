"""Looking at a database without changing it."""

from __future__ import annotations

from pathlib import Path

import apsw

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import connect_reader
from ringmaster.store.migrate import load_migrations, read_schema


def check_database(path: Path, sql_dir: Path, *, is_in_use: bool) -> str:
    """What the database at `path` is, in one line. Blocking; seconds for a large one.

    is_in_use: a daemon has it open, so its log is read too. Otherwise not even a lock file is made beside it.

    Raises:
        RingmasterError: INTERNAL when it is damaged, or of a schema that this version cannot use.
    """
    query = "mode=ro" if is_in_use else "mode=ro&immutable=1"
    try:
        db = apsw.Connection(f"file:{path}?{query}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            found = read_schema(db)
            (words,) = db.execute("PRAGMA quick_check(1)").fetchall()[0]
        finally:
            db.close()
    except apsw.Error as error:
        raise RingmasterError(ErrorKind.INTERNAL, f"{path} cannot be read: {error}") from error
    known = len(load_migrations(sql_dir))
    if words != "ok":
        raise RingmasterError(ErrorKind.INTERNAL, f"{path} is damaged: {words}", "restore it from a backup beside it")
    if found.min_code_schema > known:
        raise RingmasterError(
            ErrorKind.INTERNAL,
            f"{path} needs a version that knows schema {found.min_code_schema}; this one knows {known}",
            "use the newer version",
        )
    return f"{path} (schema {found.schema} of {known})"


def find_newest_generation(path: Path) -> int:
    """The highest number of a generation in a database that nobody has open; 0 for none. Blocking: one look.

    0, too, for what cannot be read: whoever opens it next says what is wrong.
    """
    try:
        db = connect_reader(path)
        try:
            found = db.execute("SELECT max(id) FROM generations").get
        finally:
            db.close()
    except apsw.Error:
        return 0
    return found if isinstance(found, int) else 0
