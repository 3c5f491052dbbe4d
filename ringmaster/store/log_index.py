"""The index of steps, `logs.db`: a file of its own that can be thrown away and made again from the attempts' output.

Nothing of it is in the way of the store: other connections, another file, written by one at a time.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import Params, Row, Value
from ringmaster.store.disk import is_disk_full, make_disk_full_error

log = logging.getLogger("ringmaster.store")
FORMAT = 3
BUSY_TIMEOUT_MS = 2_000
KEPT_LOG_BYTES = 16 * 1024 * 1024
"""Of the write-ahead log, what stays on the disk between two writes."""
REMOVED_ROWS = 10_000
MERGED_PAGES = 500
FREED_PAGES = 2_000
"""So much of each is some 50 ms of work: nobody waits longer for a thread to come back."""
_BROKEN = (apsw.CorruptError, apsw.NotADBError)
_SCHEMA = """
CREATE VIRTUAL TABLE steps USING fts5(
  text, attempt_id UNINDEXED, task_id UNINDEXED, project_id UNINDEXED, job UNINDEXED, offset UNINDEXED,
  kind UNINDEXED, at UNINDEXED, exit_code UNINDEXED, is_failed UNINDEXED, tokenize = "unicode61 tokenchars '_'"
);
CREATE TABLE attempts (
  attempt_id TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, is_whole INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE place (seq INTEGER NOT NULL, is_complete INTEGER NOT NULL) STRICT;
INSERT INTO place VALUES (0, 0);
"""
_SEARCH = """
SELECT rowid, attempt_id, task_id, project_id, job, offset, kind, snippet(steps, 0, '', '', '…', 40), at, exit_code,
  is_failed
FROM steps WHERE steps MATCH :words AND rowid >= :first AND rowid <= :last
  AND (:project_id = '' OR project_id = :project_id) AND (:task_id = '' OR task_id = :task_id)
  AND (:attempt_id = '' OR attempt_id = :attempt_id) AND (is_failed OR NOT :is_failed)
ORDER BY rowid DESC LIMIT :limit
"""
_INSERT = """
INSERT INTO steps (rowid, text, attempt_id, task_id, project_id, job, offset, kind, at, exit_code, is_failed)
VALUES (:rowid, :text, :attempt_id, :task_id, :project_id, :job, :offset, :kind, :at, :exit_code, :is_failed)
"""
_RANGE = """
SELECT coalesce(min(first), 0), coalesce(max(last), -1) FROM attempts
WHERE attempt_id >= :low AND attempt_id < :high
"""
SEARCH_S = 10.0
"""How long a search may look at what has the words and is of another project."""
_LOOK_STEPS = 100_000
LAST_ROW = 2**62
BEING_MADE = "the index is being made: attempts that ended before may be missing"


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
    exit_code: int | None = None
    is_failed: bool = False


class FoundStep(msgspec.Struct, frozen=True):
    """A step that matches; `text` is a piece of it. row: its place in the index."""

    row: int
    step: IndexedStep


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Of what is searched for: whose steps, '' for all; only rows before this one; at most so many.

    is_failed: only steps of what failed.
    newest: the last attempt that ended, which should be in the index; '' for none.
    """

    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    newest: str = ""
    is_failed: bool = False
    before: int = LAST_ROW
    limit: int


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
        with _told(), _transaction(self._db):
            _rows(self._db, "UPDATE place SET seq = ?, is_complete = ?", (seq, is_complete))

    def is_indexed(self, attempt_id: str) -> bool:
        """Whether all steps of an attempt are there."""
        with _told():
            found = _rows(self._db, "SELECT is_whole FROM attempts WHERE attempt_id = ?", (attempt_id,))
        return bool(found and found[0][0])

    def add(self, attempt_id: str, steps: Sequence[IndexedStep], *, is_last: bool) -> None:
        """Add the next steps of an attempt, in a transaction of its own. Raises DISK_FULL; nothing is added then."""
        with _told(), _transaction(self._db):
            found = _rows(self._db, "SELECT first, last FROM attempts WHERE attempt_id = ?", (attempt_id,))
            newest = _rows(self._db, "SELECT coalesce(max(last), 0) FROM attempts")[0][0]
            first, last = found[0] if found else (int(newest) + 1, int(newest))
            rows = [{"rowid": last + 1 + n, **msgspec.structs.asdict(step)} for n, step in enumerate(steps)]
            self._db.executemany(_INSERT, rows)
            _rows(
                self._db,
                "INSERT INTO attempts VALUES (?, ?, ?, ?)"
                " ON CONFLICT (attempt_id) DO UPDATE SET last = excluded.last, is_whole = excluded.is_whole",
                (attempt_id, first, last + len(rows), is_last),
            )

    def remove_some(self, attempt_id: str) -> int:
        """Forget some of an attempt's steps, and the attempt with the last of them. How many; 0: it is forgotten."""
        with _told(), _transaction(self._db):
            found = _rows(self._db, "SELECT first, last FROM attempts WHERE attempt_id = ?", (attempt_id,))
            if not found:
                return 0
            first, last = int(found[0][0]), int(found[0][1])
            end = min(last + 1, first + REMOVED_ROWS)
            _rows(self._db, "DELETE FROM steps WHERE rowid >= ? AND rowid < ?", (first, end))
            if end > last:
                _rows(self._db, "DELETE FROM attempts WHERE attempt_id = ?", (attempt_id,))
            else:
                _rows(self._db, "UPDATE attempts SET first = ?, is_whole = 0 WHERE attempt_id = ?", (end, attempt_id))
            return max(1, end - first)

    def count(self) -> int:
        """How many steps there are."""
        with _told():
            return int(_rows(self._db, "SELECT coalesce(sum(last - first + 1), 0) FROM attempts")[0][0])

    def shrink(self, *, is_merged: bool) -> Iterator[None]:
        """Give back to the disk what removed steps took, a piece of it at each turn.

        is_merged: also what is left of them among the words, for which all words are written anew; else that goes by
        and by, as steps are added.
        """
        with _told():
            sign = -1
            while is_merged:
                before = self._db.total_changes()
                _rows(self._db, "INSERT INTO steps (steps, rank) VALUES ('merge', ?)", (sign * MERGED_PAGES,))
                # As FTS5 says that there was nothing to do.
                is_merged = self._db.total_changes() - before >= 2
                sign = 1
                yield
            while _rows(self._db, "PRAGMA freelist_count")[0][0]:
                _rows(self._db, f"PRAGMA incremental_vacuum({FREED_PAGES})")
                yield
            _rows(self._db, "PRAGMA wal_checkpoint(TRUNCATE)")
            yield

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


class Searched(msgspec.Struct, frozen=True):
    """Steps that match, and in words what is not in the index, '' for nothing."""

    found: list[FoundStep]
    missing: str = ""


def search_log_index(path: Path, words: str, wanted: Wanted) -> Searched:
    """Steps that match, the last to end first. Blocking; on its own connection.

    words: an FTS5 expression. A damaged index is removed, so that it is made anew.
    """
    try:
        with _told(), contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(BUSY_TIMEOUT_MS)
            is_complete = bool(_rows(db, "SELECT is_complete FROM place")[0][0])
            newest = _rows(db, "SELECT is_whole FROM attempts WHERE attempt_id = ?", (wanted.newest,))
            found, is_cut = _find(db, words, wanted)
    except BrokenIndexError as error:
        log.warning("the index of steps is damaged and made anew when the next attempt ends: %s", error)
        remove_log_index(path)
        return Searched([], "the index was damaged and is made again when the next attempt ends")
    except RingmasterError as error:
        # There is none yet, or one of another release, which the writer makes anew.
        if not path.exists() or isinstance(error.__cause__, apsw.SQLError):
            return Searched([], BEING_MADE)
        return Searched([], f"the index cannot be read now ({error.__cause__}): attempts that have ended are left out")
    if is_cut:
        return Searched(found, f"not all was looked at within {SEARCH_S:g} s: name a task, or rarer words")
    if not is_complete:
        return Searched(found, BEING_MADE)
    is_behind = wanted.newest and not (newest and newest[0][0])
    return Searched(found, "the last attempts that ended are not in the index yet" if is_behind else "")


def _find(db: apsw.Connection, words: str, wanted: Wanted) -> tuple[list[FoundStep], bool]:
    """What matches, and whether the time was over before the end."""
    first, last = 0, LAST_ROW
    if wanted.task_id or wanted.attempt_id:
        # Their own rows alone: a common word is in most of the others'.
        low, high = wanted.attempt_id, f"{wanted.attempt_id}\0"
        if not wanted.attempt_id:
            # Of what begins with the task and a slash: the next character is 0.
            low, high = f"{wanted.task_id}/", f"{wanted.task_id}0"
        first, last = _rows(db, _RANGE, {"low": low, "high": high})[0]
    names: dict[str, Value] = {"words": words, "limit": wanted.limit, "project_id": wanted.project_id}
    names |= {"task_id": wanted.task_id, "attempt_id": wanted.attempt_id, "is_failed": wanted.is_failed}
    names |= {"first": first, "last": min(last, wanted.before - 1)}
    until = time.monotonic() + SEARCH_S
    db.set_progress_handler(lambda: time.monotonic() > until, _LOOK_STEPS)
    found: list[FoundStep] = []
    try:
        for row in db.execute(_SEARCH, names):
            found.append(FoundStep(row[0], msgspec.convert(row[1:], IndexedStep, strict=False)))
    except apsw.InterruptError:
        return found, True
    return found, False


def _rows(db: apsw.Connection, sql: str, params: Params = ()) -> list[Row]:
    return db.execute(sql, params).fetchall()


def _open(path: Path) -> apsw.Connection:
    path.touch(mode=0o600)
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        # It is closed in the pause of a switch, which waits for no disk; whoever opens it next goes on with the log.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # Of a new file only, and before all else in it: what is removed later can be given back.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA journal_size_limit = {KEPT_LOG_BYTES}")
        # What a power cut takes is made again.
        db.execute("PRAGMA synchronous = NORMAL")
        version = _rows(db, "PRAGMA user_version")[0][0]
        if version != FORMAT:
            if version or _rows(db, "SELECT count(*) FROM sqlite_schema")[0][0]:
                raise BrokenIndexError(f"it has format {version}")
            with _transaction(db):
                _rows(db, _SCHEMA)
                _rows(db, f"PRAGMA user_version = {FORMAT}")
        _rows(db, "SELECT seq FROM place")
    except apsw.SQLError as error:
        db.close()
        raise BrokenIndexError(str(error)) from error
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def _transaction(db: apsw.Connection) -> Iterator[None]:
    """By statements: the connection's own block holds Python's lock for all of a commit, 25 ms after 1 MiB of steps."""
    _rows(db, "BEGIN IMMEDIATE")
    try:
        yield
        _rows(db, "COMMIT")
    except BaseException:
        if db.in_transaction:
            _rows(db, "ROLLBACK")
        raise


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
