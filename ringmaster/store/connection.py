"""What store functions see: one connection inside one transaction, with the time of its batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import msgspec
from msgspec.structs import astuple

from ringmaster.model.event import Event

Value: TypeAlias = "int | float | str | bytes | None"
Params: TypeAlias = "Sequence[Value] | Mapping[str, Value]"
Row: TypeAlias = "tuple[Any, ...]"

BUSY_TIMEOUT_MS = 5_000
STATEMENT_CACHE = 512
# A checkpoint costs two fsyncs inside a commit, so it is taken half as often as by default; the log
# stays small enough (8 MB) that reading it again after a kill is not felt.
WAL_AUTOCHECKPOINT_PAGES = 2_000
WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024

_EVENT_COLUMNS = "(seq, at, type, project_id, task_id, attempt_id, worker_id, decision_id, actor, data, schema)"
# The schema whose counts the writer keeps: what older code left is told by it (sql/migrations/0007_queue.sql).
_EVENT_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 7)"
_EVENTS_TOGETHER = (32, 8, 1)
# OR FAIL: SQLite then keeps no copies to undo half a statement with; the transaction is rolled back all the same.
_INSERT_EVENTS = {
    count: f"INSERT OR FAIL INTO events {_EVENT_COLUMNS} VALUES {', '.join([_EVENT_VALUES] * count)}"
    for count in _EVENTS_TOGETHER
}
_LAST_EVENT = "SELECT coalesce(max(seq), 0) FROM events"
_NO_DATA = b"{}"
_NO_TRANSACTION = "an earlier statement has ended the transaction"
_encode = msgspec.json.Encoder().encode


class Connection:
    """A thin wrapper around one SQLite connection, valid for one call of a store function.

    Functions `fn(conn, ...)` run inside the batch's transaction: they never begin, commit or roll
    back, and they must depend on nothing but `conn` and their arguments, because a batch in which
    one member fails is rolled back and run again.

    `now` is the time of the batch (unix seconds, UTC); SQL never asks for the time itself.
    `events` holds what has been emitted and not been rolled back; whoever commits calls
    `store_events` before, and `drop_events` after a rollback.
    Every method runs its statement to the end: a `RETURNING` that is left half read makes the
    COMMIT fail. Constraint and other SQL errors leave as subclasses of `apsw.Error`. Outside a
    transaction nothing runs (RuntimeError): a function that catches an error with which SQLite has
    rolled back would otherwise go on in autocommit.
    """

    __slots__ = ("_cursor", "_db", "_last_seq", "_stored", "events", "now")

    def __init__(self, db: apsw.Connection, now: float) -> None:
        self._db = db
        # One for all statements, each of which is done before the next: making one costs a third of a short call.
        self._cursor = db.cursor()
        self.now = now
        self.events: list[Event] = []
        self._stored = 0
        self._last_seq = -1

    @property
    def inserted_rowid(self) -> int:
        """The rowid of the row that was inserted last on this connection."""
        return self._db.last_insert_rowid()

    def row(self, sql: str, params: Params = ()) -> Row | None:
        """The first row, or None. Further rows are read and dropped."""
        rows = self.rows(sql, params)
        return rows[0] if rows else None

    def rows(self, sql: str, params: Params = ()) -> list[Row]:
        """All rows."""
        if not self._db.in_transaction:
            raise RuntimeError(_NO_TRANSACTION)
        return self._cursor.execute(sql, params).fetchall()

    def value(self, sql: str, params: Params = (), default: Any = None) -> Any:
        """The first column of the first row; `default` when there is no row."""
        rows = self.rows(sql, params)
        return rows[0][0] if rows else default

    def execute(self, sql: str, params: Params = ()) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it changed.

        Rows changed by triggers and foreign key actions are not counted. For any other statement
        the number means nothing.
        """
        db = self._db
        if not db.in_transaction:
            raise RuntimeError(_NO_TRANSACTION)
        self._cursor.execute(sql, params).fetchall()
        return db.changes()

    def executemany(self, sql: str, params: Iterable[Params]) -> None:
        """Run one statement once for each set of parameters."""
        if not self._db.in_transaction:
            raise RuntimeError(_NO_TRANSACTION)
        self._cursor.executemany(sql, params).fetchall()

    def emit(
        self,
        type: str,
        *,
        project_id: str = "",
        task_id: str = "",
        attempt_id: str = "",
        worker_id: str = "",
        decision_id: str = "",
        actor: str = "",
        data: Mapping[str, Any] | msgspec.Struct | msgspec.Raw | None = None,
    ) -> None:
        """Append one event in this transaction; it is published after the commit.

        Its row is written with those of the whole batch, just before the commit: a function that
        looks for its own event in the table does not find it. Its `seq` is one more than the
        largest, and what is rolled back is given again, so the numbers are dense. Whoever prunes
        old events must leave the newest one.
        """
        encoded = _NO_DATA if data is None else _encode(data)
        seq = self.next_seq
        ids = (project_id, task_id, attempt_id, worker_id, decision_id)
        self.events.append(Event(seq, self.now, type, *ids, actor, msgspec.Raw(encoded)))

    @property
    def next_seq(self) -> int:
        """The number that the next event gets."""
        if self._last_seq < 0:
            self._last_seq = self.value(_LAST_EVENT)
        return self._last_seq + len(self.events) + 1

    def store_events(self) -> None:
        """Write the rows of what was emitted since the last call. Raises what SQLite raises."""
        left = self.events[self._stored :]
        for count in _EVENTS_TOGETHER:
            while len(left) >= count:
                values: list[Value] = []
                for event in left[:count]:
                    values += astuple(event)
                    values[-1] = bytes(event.data).decode()
                self._cursor.execute(_INSERT_EVENTS[count], values).fetchall()
                del left[:count]
        self._stored = len(self.events)

    def drop_events(self, kept: int = 0) -> None:
        """Forget what was emitted after the first `kept`, whose transaction was rolled back."""
        del self.events[kept:]
        self._stored = min(self._stored, kept)


def connect_writer(path: Path | str) -> apsw.Connection:
    """Open the one writing connection, without touching the file yet. The caller closes it.

    Used by one thread only. `configure_writer` follows once the file is known to be ours.
    """
    db = apsw.Connection(str(path), statementcachesize=STATEMENT_CACHE)
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    _keep_plans(db)
    return db


def _keep_plans(db: apsw.Connection) -> None:
    """Let no plan depend on the values bound to it: SQLite otherwise compiles some statements anew at each call."""
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def configure_writer(db: apsw.Connection) -> None:
    """Make commits durable and constraints real. Outside a transaction; changes the file to WAL.

    Checkpoints are taken on this connection alone, by SQLite's own autocheckpoint, which lets a
    busy one pass: an explicit checkpoint on a second connection can raise BusyError.
    """
    run_script(db, "PRAGMA journal_mode = WAL")
    run_script(db, "PRAGMA synchronous = FULL")
    run_script(db, "PRAGMA foreign_keys = ON")
    run_script(db, f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT_BYTES}")
    run_script(db, "PRAGMA temp_store = MEMORY")
    db.wal_autocheckpoint(WAL_AUTOCHECKPOINT_PAGES)


def connect_reader(path: Path | str) -> apsw.Connection:
    """Open a read-only connection to a database that a writer has open. The caller closes it."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENT_CACHE)
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    _keep_plans(db)
    run_script(db, "PRAGMA query_only = ON")
    run_script(db, "PRAGMA temp_store = MEMORY")
    return db


def run_script(db: apsw.Connection, sql: str) -> None:
    """Run every statement in `sql` to its end.

    `db.execute("a; b")` alone stops at the first row of `a`, and `b` never runs.
    """
    db.execute(sql).fetchall()
