"""The index of steps, `logs.db`: a file of its own that can be thrown away and made again from the attempts' output.

Nothing of it is in the way of the store: other connections, another file, written by one at a time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import Params, Row, Value
from ringmaster.store.disk import is_disk_full, make_disk_full_error

log = logging.getLogger("ringmaster.store")
FORMAT = 1
BUSY_TIMEOUT_MS = 2_000
_BROKEN = (apsw.CorruptError, apsw.NotADBError)
_SCHEMA = """
CREATE VIRTUAL TABLE steps USING fts5(
  text, attempt_id UNINDEXED, task_id UNINDEXED, project_id UNINDEXED, job UNINDEXED, offset UNINDEXED,
  kind UNINDEXED, at UNINDEXED, tokenize = "unicode61 tokenchars '_'"
);
CREATE TABLE attempts (
  attempt_id TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, is_whole INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE place (seq INTEGER NOT NULL, is_complete INTEGER NOT NULL) STRICT;
INSERT INTO place VALUES (0, 0);
"""
_SEARCH = """
SELECT rowid, attempt_id, task_id, project_id, job, offset, kind, snippet(steps, 0, '', '', '…', 40), at
FROM steps WHERE steps MATCH :words AND rowid < :before
  AND (:project_id = '' OR project_id = :project_id) AND (:task_id = '' OR task_id = :task_id)
  AND (:attempt_id = '' OR attempt_id = :attempt_id)
ORDER BY rowid DESC LIMIT :limit
"""
LAST_ROW = 2**62


class BrokenIndexError(Exception):
    """The file is damaged or of another format: remove it, open it again, and fill it anew."""


class IndexedStep(msgspec.Struct, frozen=True, array_like=True):
    """A step as it is shown, and where it is."""

    attempt_id: str
    task_id: str
    project_id: str
    job: str
    offset: int
    kind: str
    text: str
    at: float | None


class FoundStep(msgspec.Struct, frozen=True):
    """A step that matches; `text` is a piece of it. row: its place in the index."""

    row: int
    step: IndexedStep


class LogIndex:
    """The index, open for writing. Blocking; for one caller at a time. Made by `open_log_index`."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def place(self) -> tuple[int, bool]:
        """The seq of the last event that was dealt with, and whether what ended before is in the index."""
        with _told():
            seq, is_complete = _rows(self._db, "SELECT seq, is_complete FROM place")[0]
        return int(seq), bool(is_complete)

    def note_place(self, seq: int, *, is_complete: bool) -> None:
        """Remember it."""
        with _told(), self._db:
            _rows(self._db, "UPDATE place SET seq = ?, is_complete = ?", (seq, is_complete))

    def is_indexed(self, attempt_id: str) -> bool:
        """Whether all steps of an attempt are there."""
        with _told():
            found = _rows(self._db, "SELECT is_whole FROM attempts WHERE attempt_id = ?", (attempt_id,))
        return bool(found and found[0][0])

    def add(self, attempt_id: str, steps: Sequence[IndexedStep], *, is_last: bool) -> None:
        """Add the next steps of an attempt, in a transaction of its own. Raises DISK_FULL; nothing is added then."""
        with _told(), self._db:
            found = _rows(self._db, "SELECT first, last FROM attempts WHERE attempt_id = ?", (attempt_id,))
            newest = _rows(self._db, "SELECT coalesce(max(last), 0) FROM attempts")[0][0]
            first, last = found[0] if found else (int(newest) + 1, int(newest))
            rows = [
                (last + 1 + n, s.text, s.attempt_id, s.task_id, s.project_id, s.job, s.offset, s.kind, s.at)
                for n, s in enumerate(steps)
            ]
            self._db.executemany(
                "INSERT INTO steps (rowid, text, attempt_id, task_id, project_id, job, offset, kind, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            _rows(
                self._db,
                "INSERT INTO attempts VALUES (?, ?, ?, ?)"
                " ON CONFLICT (attempt_id) DO UPDATE SET last = excluded.last, is_whole = excluded.is_whole",
                (attempt_id, first, last + len(rows), is_last),
            )

    def remove(self, attempt_id: str) -> None:
        """Forget an attempt's steps."""
        with _told(), self._db:
            for first, last in _rows(
                self._db, "DELETE FROM attempts WHERE attempt_id = ? RETURNING first, last", (attempt_id,)
            ):
                _rows(self._db, "DELETE FROM steps WHERE rowid BETWEEN ? AND ?", (first, last))

    def attempt_ids(self) -> list[str]:
        """Every attempt of which there is something."""
        with _told():
            return [str(row[0]) for row in _rows(self._db, "SELECT attempt_id FROM attempts")]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def open_log_index(path: Path) -> LogIndex:
    """Open the index; one that cannot be read, or is of another format, is made anew. Blocking.

    Raises:
        RingmasterError: DISK_FULL, or INTERNAL where the file cannot be used.
    """
    try:
        with _told():
            return LogIndex(_open(path))
    except BrokenIndexError as error:
        log.warning("the index of steps is made anew: %s", error)
    remove_log_index(path)
    with _told():
        return LogIndex(_open(path))


def remove_log_index(path: Path) -> None:
    """Remove the file and what lies beside it. It is made again."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def search_log_index(
    path: Path, words: str, *, project_id: str, task_id: str, attempt_id: str, before: int, limit: int
) -> tuple[list[FoundStep], bool]:
    """Steps that match, the last to end first, and whether the index is complete. Blocking; on its own connection.

    words: an FTS5 expression. before: only rows before this one. Without an index there is nothing yet.
    """
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.CantOpenError:
        return [], False
    with contextlib.closing(db):
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        names: dict[str, Value] = {"words": words, "before": before, "limit": limit}
        names |= {"project_id": project_id, "task_id": task_id, "attempt_id": attempt_id}
        try:
            rows = _rows(db, _SEARCH, names)
            is_complete = bool(_rows(db, "SELECT is_complete FROM place")[0][0])
        except (apsw.SQLError, *_BROKEN):
            # Of another format, or broken: the writer makes it anew.
            return [], False
    found = [FoundStep(row[0], msgspec.convert(row[1:], IndexedStep)) for row in rows]
    return found, is_complete


def _rows(db: apsw.Connection, sql: str, params: Params = ()) -> list[Row]:
    return db.execute(sql, params).fetchall()


def _open(path: Path) -> apsw.Connection:
    path.touch(mode=0o600)
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        db.execute("PRAGMA journal_mode = WAL")
        # What a power cut takes is made again.
        db.execute("PRAGMA synchronous = NORMAL")
        version = _rows(db, "PRAGMA user_version")[0][0]
        if version != FORMAT:
            if version or _rows(db, "SELECT count(*) FROM sqlite_schema")[0][0]:
                raise BrokenIndexError(f"it has format {version}")
            with db:
                db.execute(_SCHEMA)
                db.execute(f"PRAGMA user_version = {FORMAT}")
        _rows(db, "SELECT seq FROM place")
    except apsw.SQLError as error:
        db.close()
        raise BrokenIndexError(str(error)) from error
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Failures of the file as words."""
    try:
        yield
    except _BROKEN as error:
        raise BrokenIndexError(str(error)) from error
    except (apsw.Error, OSError) as error:
        if is_disk_full(error):
            raise make_disk_full_error() from error
        raise RingmasterError(
            ErrorKind.INTERNAL, f"the index of steps cannot be written: {error}", "remove logs.db; it is made again"
        ) from error
