"""Batches of writes: many calls, one transaction, one commit; and what happens when one of them fails."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.store.calls import Call
from ringmaster.store.connection import Connection
from ringmaster.store.disk import Reserve, is_disk_full, make_disk_full_error
from ringmaster.store.lost_file import FileGuard
from ringmaster.store.timing import StatementTimes

BATCH_BUDGET_S = 0.05
# What waits while a batch runs goes into the next one, so a bound costs nothing but keeps the
# callers' wake-up, which happens in one go, a short slice of the loop.
BATCH_CALLS = 512

_log = logging.getLogger(__name__)


class Batch(msgspec.Struct, frozen=True):
    """Calls that have been answered, and the events that their commits made, in order."""

    calls: list[Call]
    events: list[Event]


class Writer:
    """Runs calls on the writing connection. Belongs to one thread; has no lock.

    A batch is tried in three ways, each slower and surer than the one before:

    1. together: all members straight inside one transaction. A member that raises before it has
       changed a row (a refusal, the usual case) is answered and harms nobody.
    2. with savepoints: if one raised after a change, all of it is rolled back and replayed with a
       savepoint each, so that only the failed member is undone.
    3. alone: if SQLite itself ended the transaction (a ROLLBACK-class error: full disk, I/O error,
       no memory), or the COMMIT failed (a deferred constraint), a transaction each.
    """

    def __init__(
        self,
        db: apsw.Connection,
        clock: Callable[[], float],
        reserve: Reserve | None = None,
        times: StatementTimes | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._times = times or StatementTimes()
        self._reserve = reserve
        self._guard = FileGuard(db)
        self.is_degraded = reserve is not None and not reserve.restore()

    def run(self, pending: deque[Call]) -> Batch:
        """Answer at least one and at most `BATCH_CALLS` calls from the left of `pending`.

        A long one is a batch by itself: nobody else waits for its commit, or is replayed with it.
        Stops starting members when the budget is spent; the rest stay for the next batch. Never
        raises for what a call or SQLite did: that is in the calls. Raises LostFileError, with nothing
        begun, when the database's files are no longer at their path.
        """
        self._guard.check()
        taken = [pending.popleft()]
        while pending and len(taken) < BATCH_CALLS and not (taken[0].is_long or pending[0].is_long):
            taken.append(pending.popleft())
        refused = self._refuse(taken) if self.is_degraded else []
        calls = [call for call in taken if call.is_essential] if self.is_degraded else taken
        conn = self._times.connect(self._db, self._clock())
        begun = time.perf_counter()
        try:
            is_committed = self._run_together(conn, calls, pending) or self._run_with_savepoints(conn, calls)
            if not is_committed:
                self._run_alone(conn, calls)
        except apsw.BusyError:
            # Of a BEGIN, after SQLite has waited for its time-out; trying on would only wait again.
            conn.drop_events()
            for call in calls:
                call.error = _make_busy_error()
        self._times.batches.note(len(calls), time.perf_counter() - begun)
        return Batch(refused + calls, conn.events)

    def probe(self) -> bool:
        """Leave the degraded state if the reserve can be set aside; return whether writes are accepted."""
        if self._reserve is not None and self._reserve.restore():
            self.is_degraded = False
        return not self.is_degraded

    def _refuse(self, calls: list[Call]) -> list[Call]:
        refused = [call for call in calls if not call.is_essential]
        for call in refused:
            call.error = make_disk_full_error()
        return refused

    def _run_together(self, conn: Connection, calls: list[Call], pending: deque[Call]) -> bool:
        db = self._db
        started = before = time.monotonic()
        slowest, slowest_s = None, 0.0
        try:
            db.execute("BEGIN IMMEDIATE")
            for index, call in enumerate(calls):
                changes, emitted = db.total_changes(), len(conn.events)
                try:
                    call.run(conn)
                except Exception as error:  # noqa: BLE001 - delivered to the caller, whatever it is
                    call.error = error
                    conn.drop_events(emitted)
                    if db.total_changes() != changes or is_disk_full(error):
                        self._roll_back()
                        return False
                if not db.in_transaction:
                    return False
                after = time.monotonic()
                if after - before > slowest_s:
                    slowest, slowest_s = call, after - before
                before = after
                if after - started > BATCH_BUDGET_S:
                    _log_slow(slowest, slowest_s, after - started, index + 1)
                    pending.extendleft(reversed(calls[index + 1 :]))
                    del calls[index + 1 :]
                    break
            conn.store_events()
            db.execute("COMMIT")
        except apsw.BusyError:
            raise
        except (apsw.Error, UnicodeEncodeError):
            self._roll_back()
            return False
        return True

    def _run_with_savepoints(self, conn: Connection, calls: list[Call]) -> bool:
        db = self._db
        conn.drop_events()
        try:
            db.execute("BEGIN IMMEDIATE")
            for call in calls:
                call.error = None
                emitted = len(conn.events)
                db.execute("SAVEPOINT member")
                try:
                    call.run(conn)
                except Exception as error:  # noqa: BLE001 - delivered to the caller, whatever it is
                    if is_disk_full(error):
                        self._roll_back()
                        return False
                    call.error = error
                    conn.drop_events(emitted)
                    if db.in_transaction:
                        db.execute("ROLLBACK TO member")
                if not db.in_transaction:
                    return False
                db.execute("RELEASE member")
            conn.store_events()
            db.execute("COMMIT")
        except apsw.BusyError:
            raise
        except (apsw.Error, UnicodeEncodeError):
            self._roll_back()
            return False
        return True

    def _run_alone(self, conn: Connection, calls: list[Call]) -> None:
        conn.drop_events()
        for call in calls:
            call.error = self._run_one(conn, call)
            if call.error is None or not is_disk_full(call.error):
                continue
            self._degrade()
            if call.is_essential:
                call.error = self._run_one(conn, call)
            if call.error is not None and is_disk_full(call.error):
                call.error = make_disk_full_error()

    def _run_one(self, conn: Connection, call: Call) -> BaseException | None:
        if self.is_degraded and not call.is_essential:
            return make_disk_full_error()
        emitted = len(conn.events)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            call.run(conn)
            if not self._db.in_transaction:
                raise RuntimeError(f"{_name(call)} ended the transaction it was called in")
            conn.store_events()
            self._db.execute("COMMIT")
        except apsw.BusyError:
            # Caught here and not for the batch: calls before this one are committed.
            return _make_busy_error()
        except Exception as error:  # noqa: BLE001 - delivered to the caller, whatever it is
            self._roll_back()
            conn.drop_events(emitted)
            return error
        return None

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _degrade(self) -> None:
        if self._reserve is not None and not self.is_degraded:
            _log.error("the disk is full: new work is refused, the reserve is given up for outcomes")
            self.is_degraded = True
            self._reserve.release()


def _name(call: Call) -> str:
    return getattr(call.fn, "__qualname__", repr(call.fn))


def _log_slow(slowest: Call | None, slowest_s: float, total_s: float, count: int) -> None:
    name = "" if slowest is None else _name(slowest)
    _log.warning(
        "a batch of %d writes took %.0f ms, over its budget of %.0f ms; slowest: %s, %.0f ms",
        count,
        total_s * 1000,
        BATCH_BUDGET_S * 1000,
        name,
        slowest_s * 1000,
    )


def _make_busy_error() -> RingmasterError:
    return RingmasterError(
        ErrorKind.TIMED_OUT,
        "another program holds the database locked",
        "end it (`fuser -v` on the database file names it) and try again",
    )
