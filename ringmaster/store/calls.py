"""Calls on their way from the loop to a thread of the store and back."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from typing import Any

import apsw
import trio

from ringmaster.store.connection import Connection, run_script
from ringmaster.store.timing import StatementTimes


class Call:
    """One call on its way through a thread: `result` or `error` holds once it has been answered.

    Whoever waits for it is the trio task `task`, or told by `on_done`.
    """

    __slots__ = (
        "args",
        "error",
        "fn",
        "is_abandoned",
        "is_essential",
        "is_long",
        "kwargs",
        "on_done",
        "result",
        "task",
    )

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        is_essential: bool = False,
        is_long: bool = False,
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.is_essential = is_essential
        self.is_long = is_long
        self.is_abandoned = False
        self.task: Any = None
        self.on_done: Callable[[Call], None] | None = None
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, conn: Connection) -> None:
        """Call the function; its result is kept, what it raises leaves."""
        self.result = self.fn(conn, *self.args, **self.kwargs)

    def outcome(self) -> Any:
        """The result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


class Step(Call):
    """Work of the writing thread's own, between two batches: its function gets the bare connection.

    It is outside every transaction and no part of a batch, so the limit of a batch is not its limit.
    """

    __slots__ = ()

    def take(self, db: apsw.Connection) -> None:
        """Do it, and keep what it returns or raises."""
        try:
            self.result = self.fn(db, *self.args, **self.kwargs)
        except Exception as error:  # noqa: BLE001 - delivered to the caller, whatever it is
            self.error = error


def with_snapshot(db: apsw.Connection, call: Call, now: float, times: StatementTimes) -> None:
    """Run a reading call on one snapshot of `db`."""
    run_script(db, "BEGIN")
    try:
        call.run(times.connect(db, now))
    finally:
        if db.in_transaction:
            run_script(db, "ROLLBACK")


class CallThread:
    """A non-daemon thread with a queue of calls, which blocks every signal from its start.

    Signals stay with the main thread alone: at an exec in place it blocks them, and one that reached
    another thread in that gap would end the process.
    """

    def __init__(self, name: str, target: Callable[[], None]) -> None:
        self.calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=target, name=name, daemon=False)
        self.ended = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def start(self) -> None:
        """Start it; the mask is inherited, so there is no moment in which it takes signals."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        """From the thread: run `fn` on the loop, after everything posted before."""
        self._token.run_sync_soon(fn, *args)

    async def submit(self, call: Call, *, can_abandon: bool) -> Any:
        """Queue `call`, wait, and return or raise what it did."""

        def abort(_: Any) -> trio.lowlevel.Abort:
            call.is_abandoned = can_abandon
            return trio.lowlevel.Abort.SUCCEEDED if can_abandon else trio.lowlevel.Abort.FAILED

        call.task = trio.lowlevel.current_task()
        self.calls.put(call)
        await trio.lowlevel.wait_task_rescheduled(abort)
        return call.outcome()

    async def stop(self) -> None:
        """Let it finish what is queued, then join it. Must be shielded."""
        self.calls.put(None)
        await self.ended.wait()
        self._thread.join()

    def end(self) -> None:
        """From the thread, as its last act."""
        self.post(self.ended.set)
