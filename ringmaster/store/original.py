"""Reads a database of the original Ringmaster: another program's file, opened read-only, in one snapshot."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing_original import OldRow, Value

BUSY_TIMEOUT_MS = 2_000
NEEDED = ("id", "project_id", "title", "status")
WHERE = "the original keeps it as ~/.ringmaster/ringmaster.db"


class OldProject(msgspec.Struct, frozen=True):
    """A project there. place: its repository's path or address, as it was given."""

    id: str
    name: str
    place: str


class OldDatabase(msgspec.Struct, frozen=True):
    """What is read of it. dependencies: pairs (who waits, for whom)."""

    projects: tuple[OldProject, ...]
    tasks: tuple[OldRow, ...]
    dependencies: tuple[tuple[str, str], ...]


def read_original(path: Path) -> OldDatabase:
    """All its projects, tasks and dependencies. Blocks for as long as that takes; the file is left as it is.

    Raises:
        RingmasterError: NOT_FOUND without such a file; USAGE when it is no database of the original; CONFLICT while
            another program has it locked; PERMISSION when it may not be read.
    """
    if not path.is_file():
        raise RingmasterError(ErrorKind.NOT_FOUND, f"there is no file {path}", WHERE)
    try:
        with open(path, "rb"):
            pass
        return _read(path)
    except PermissionError as error:
        raise RingmasterError(ErrorKind.PERMISSION, f"{path} cannot be read: {error.strerror}", WHERE) from error
    except apsw.BusyError as error:
        raise RingmasterError(
            ErrorKind.CONFLICT, f"{path} is locked by another program", "stop the original"
        ) from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise _foreign(path, str(error)) from error
    except apsw.Error as error:
        raise RingmasterError(ErrorKind.USAGE, f"{path} cannot be read: {error}", WHERE) from error


def _read(path: Path) -> OldDatabase:
    # Nobody has it open and nothing waits beside it: then the file alone is everything, and no file appears beside it.
    # Otherwise SQLite's own locks and log give one snapshot, also while the original works on.
    is_alone = not any(path.with_name(f"{path.name}{end}").exists() for end in ("-wal", "-shm", "-journal"))
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    name = f"file:{quote(str(path))}?mode=ro" + ("&immutable=1" if is_alone else "")
    db = apsw.Connection(name, flags=flags)
    try:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        db.execute("BEGIN").fetchall()
        _refuse_foreign(db, path)
        projects = (
            OldProject(_text(row.get("id")), _text(row.get("name")), _text(row.get("repo_url")))
            for row in _rows(db, "projects")
        )
        pairs = ((_text(row.get("child_id")), _text(row.get("parent_id"))) for row in _rows(db, "dependencies"))
        return OldDatabase(tuple(projects), tuple(_rows(db, "tasks")), tuple(pairs))
    finally:
        db.close()


def _refuse_foreign(db: apsw.Connection, path: Path) -> None:
    columns = {str(row[1]) for row in db.execute("PRAGMA table_info(tasks)")}
    if "demand_id" in columns:
        raise RingmasterError(
            ErrorKind.USAGE, f"{path} is a database of this Ringmaster, not of the original", f"give its file: {WHERE}"
        )
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        lacks = f"its tasks have no {missing[0]}" if columns else "it has no table of tasks"
        raise _foreign(path, lacks)


def _foreign(path: Path, why: str) -> RingmasterError:
    return RingmasterError(ErrorKind.USAGE, f"{path} is no database of the original Ringmaster: {why}", WHERE)


def _rows(db: apsw.Connection, table: str) -> list[OldRow]:
    """Every row by column name, in order of arrival; none where the table is missing."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchall():
        return []
    cursor = db.execute(f"SELECT * FROM {table} ORDER BY rowid")
    found: list[OldRow] = []
    for row in cursor:
        names = [column[0] for column in cursor.get_description()]
        found.append(dict(zip(names, row, strict=True)))
    return found


def _text(value: Value) -> str:
    return "" if value is None else str(value)
