"""A copy of the database for safe keeping, and a thorough look at it.

Both read through a connection of their own: the daemon's reader would answer nobody meanwhile. The daemon calls them
in a thread; when none runs this module is a program, `python -m ringmaster.store.copying`, with the words
`check DATABASE`, `quick-check DATABASE` or `backup DATABASE COPY`. It prints one JSON object, and ends with 1 where
that is an error.

The file itself is never opened but by SQLite: closing any descriptor of it would drop the locks that SQLite has.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.database import DatabaseCopy, DatabaseFacts
from ringmaster.store.connection import connect_reader
from ringmaster.store.disk import is_disk_full, make_disk_full_error
from ringmaster.store.migrate import APPLICATION_ID, Schema, load_migrations, read_schema
from ringmaster.store.queries import find_sql_dir

PROBLEMS_SHOWN = 20
PARTIAL = ".partial"


def copy_database(path: Path, target: Path) -> DatabaseCopy:
    """Copy a consistent state of the database at `path` to `target`, whatever is written meanwhile. Blocking.

    `target` appears when the copy is whole and on the disk; a kill leaves at most a file that ends in `.partial`.

    Raises:
        RingmasterError: CONFLICT when there is something at `target` or a copy to it is under way, USAGE for a place
            that cannot be written, DISK_FULL, INTERNAL when the database cannot be read to its end.
    """
    if os.path.lexists(target):
        raise _taken(target)
    partial = target.with_name(target.name + PARTIAL)
    try:
        lock = _begin(partial)
        try:
            with _open_reading(path) as db:
                schema = read_schema(db).schema
                # It counts as writing, though not into what is opened for reading alone.
                db.pragma("query_only", False)
                db.execute("VACUUM INTO ?", (str(partial),)).fetchall()
            _fsync(partial)
            _put(partial, target)
        finally:
            # In this order: what has its name and no lock is what a kill left.
            partial.unlink(missing_ok=True)
            os.close(lock)
        _fsync(target.parent)
        return DatabaseCopy(path=str(target), bytes=target.stat().st_size, schema=schema)
    except (OSError, apsw.Error) as error:
        raise _in_words(error, path, target) from error


def _begin(partial: Path) -> int:
    """Make an empty file there with the mode of a secret, locked; whoever closes the descriptor has removed the file.

    What a kill left under the name is removed. Raises RingmasterError CONFLICT while another copy is being written.
    """
    while True:
        lock = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(partial) and os.path.samestat(os.fstat(lock), os.lstat(partial)):
                if os.fstat(lock).st_size == 0:
                    os.fchmod(lock, 0o600)
                    return lock
                partial.unlink()
        except BlockingIOError:
            os.close(lock)
            raise RingmasterError(
                ErrorKind.CONFLICT, f"{partial} is being written by another copy", "wait for it, or name another file"
            ) from None
        except BaseException:
            os.close(lock)
            raise
        # Made anew: what was there is never written to, for it may just have become the copy of another.
        os.close(lock)


def _put(partial: Path, target: Path) -> None:
    """Give the copy its name, which nobody has taken meanwhile: a link refuses where a rename would overwrite."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without links, such as a memory stick's.
        if os.path.lexists(target):
            raise _taken(target) from None
        partial.rename(target)


def _taken(target: Path) -> RingmasterError:
    return RingmasterError(ErrorKind.CONFLICT, f"{target} is there already", "name a file that is not")


def _in_words(error: Exception, path: Path, target: Path) -> RingmasterError:
    if is_disk_full(error):
        if os.stat(target.parent).st_dev == os.stat(path.parent).st_dev:
            return make_disk_full_error()
        return RingmasterError(ErrorKind.DISK_FULL, f"no room for the copy in {target.parent}", "name another place")
    if isinstance(error, OSError):
        return RingmasterError(ErrorKind.USAGE, f"cannot write {target}: {error.strerror}", "name another place")
    return RingmasterError(
        ErrorKind.INTERNAL, f"{path} cannot be copied: {error}", "look what is damaged: rmctl db check"
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _open_reading(path: Path) -> Iterator[apsw.Connection]:
    """A connection that never writes. Raises RingmasterError: NOT_FOUND, REFUSED for another program's file."""
    if not path.exists():
        raise RingmasterError(
            ErrorKind.NOT_FOUND, f"there is no database at {path}", "the first start makes it: rmctl daemon start"
        )
    db = connect_reader(path)
    try:
        if db.pragma("application_id") != APPLICATION_ID:
            if not path.stat().st_size:
                raise RingmasterError(
                    ErrorKind.REFUSED, f"{path} is empty", "put a backup in its place; without one a start begins anew"
                )
            raise RingmasterError(
                ErrorKind.REFUSED, f"{path} is a database of another program", "move it away, or name another state"
            )
        yield db
    finally:
        db.close()


def examine_database(path: Path, sql_dir: Path | None = None, *, is_quick: bool = False) -> DatabaseFacts:
    """Look at every page, index and reference of the database at `path`. Blocking; a minute for some gigabytes.

    is_quick: at pages alone, in a tenth of the time.

    Raises:
        RingmasterError: NOT_FOUND where there is none, REFUSED for what is no database of ours. Damage is an answer.
    """
    known = len(load_migrations(sql_dir or find_sql_dir()))
    problems: list[str] = []
    try:
        with _open_reading(path) as db:
            found = read_schema(db)
            # Not the file's: what was written last is in the log beside it.
            size = int(str(db.pragma("page_count"))) * int(str(db.pragma("page_size")))
            pragma = "quick_check" if is_quick else "integrity_check"
            for (words,) in db.execute(f"PRAGMA {pragma}({PROBLEMS_SHOWN})"):
                problems += [line for line in str(words).splitlines() if line != "ok"]
            for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check") if not is_quick else ():
                problems.append(f"row {rowid} of {table} refers to a row of {parent} that is not there")
                if len(problems) >= PROBLEMS_SHOWN:
                    break
    except apsw.NotADBError as error:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{path} is not a database",
            "move it away, and put a backup in its place; without one a start begins anew",
        ) from error
    except apsw.Error as error:
        return _facts(path, path.stat().st_size, Schema(0, 0), known, (*problems, str(error)))
    if found.min_code_schema > known:
        problems.insert(0, f"it needs a version that knows schema {found.min_code_schema}; this one knows {known}")
    return _facts(path, size, found, known, tuple(problems))


def _facts(path: Path, size: int, found: Schema, known: int, problems: tuple[str, ...]) -> DatabaseFacts:
    return DatabaseFacts(
        path=str(path),
        bytes=size,
        schema=found.schema,
        known_schema=known,
        min_code_schema=found.min_code_schema,
        sqlite=apsw.sqlite_lib_version(),
        problems=problems,
    )


def main(argv: Sequence[str]) -> int:
    """The program."""
    try:
        match argv:
            case ["check", path]:
                answer: object = examine_database(Path(path))
            case ["quick-check", path]:
                answer = examine_database(Path(path), is_quick=True)
            case ["backup", path, target]:
                os.umask(0o077)
                answer = copy_database(Path(path), Path(target))
            case _:
                raise RingmasterError(ErrorKind.USAGE, "usage: check|quick-check DATABASE | backup DATABASE COPY")
    except RingmasterError as error:
        told = {"kind": str(error.kind), "message": error.message, "hint": error.hint}
        sys.stdout.write(msgspec.json.encode({"error": told}).decode() + "\n")
        return 1
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
