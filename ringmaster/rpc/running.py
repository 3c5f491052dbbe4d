"""The calls of one connection that have trio tasks of their own, or are answered by a callback."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import trio

from ringmaster.protocol.jsonrpc import Fault
from ringmaster.rpc.calls import Call
from ringmaster.rpc.dispatch import Context, Deferred, fault_of, rest_of
from ringmaster.store.interface import Done

log = logging.getLogger("ringmaster.rpc")

IDLE_RUNNERS = 2


class Answering(Protocol):
    """Where calls are answered."""

    def settle(self, call: Call, result: object) -> None:
        """Answer with a result."""

    def refuse(self, call: Call, fault: Fault) -> None:
        """Answer with an error."""


class Calls:
    """Calls that wait and calls that have begun, each in the order in which they were sent.

    A few trio tasks of `nursery` run them. Each takes the oldest call that waits, so that calls *begin* in the
    order they were sent, whichever trio task trio happens to run first.

    send_soon: called when something was answered. waiting, begun: to look at; the same objects for life.
    mutating: how many of both change something.
    """

    def __init__(self, context: Context[Any], answering: Answering, send_soon: Callable[[], None]) -> None:
        self.nursery: trio.Nursery | None = None
        self.waiting: deque[Call] = deque()
        self.begun: dict[Call, None] = {}
        self.mutating = 0
        self._context = context
        self._answering = answering
        self._send_soon = send_soon
        self._is_halted = False
        self._is_closed = False
        self._idle = trio.lowlevel.ParkingLot()
        self._idle_runners = 0
        self._scopes: set[trio.CancelScope] = set()
        self._grace_ends_at = math.inf
        self._settled: trio.Event | None = None

    @property
    def mutations(self) -> list[Call]:
        """Those that have begun and change something, and those that will be begun though their client has gone."""
        coming = self.waiting if self._is_closed else ()
        return [call for calls in (self.begun, coming) for call in calls if call.method.is_mutating]

    async def wait_settled(self) -> None:
        """Wait until there are none of those."""
        if self.mutations:
            self._settled = self._settled or trio.Event()
            await self._settled.wait()

    def add(self, call: Call) -> None:
        """Have a call begun."""
        self.waiting.append(call)
        self.mutating += call.method.is_mutating
        self._wake()

    def defer(self, call: Call, result: Deferred[object]) -> None:
        """Have a call answered by its callback. Raises what its beginning does."""
        result.begin(partial(self._end_deferred, call))
        self.begun[call] = None
        self.mutating += call.method.is_mutating

    def halt(self) -> None:
        """Begin nothing; what has begun goes on."""
        self._is_halted = True

    def resume(self) -> None:
        """Begin what waited meanwhile."""
        if self._is_halted:
            self._is_halted = False
            for _ in self.waiting:
                self._wake()

    def close(self, grace_s: float) -> None:
        """The client is gone: mutations have `grace_s` to end, also those that wait; reads are not begun.

        A notification's sender hangs up at once, so what was taken is carried out all the same.
        """
        self._is_closed = True
        mutations = [call for call in self.waiting if call.method.is_mutating]
        self.waiting.clear()
        self.waiting.extend(mutations)
        self._grace_ends_at = trio.current_time() + grace_s
        for scope in self._scopes:
            scope.deadline = self._grace_ends_at
        self.resume()

    def drop(self) -> None:
        """Forget what waits and what only reads: another image does it. Nothing that changes anything has begun."""
        self._is_closed = True
        self.waiting.clear()
        self.begun.clear()
        self.mutating = 0

    def _wake(self) -> None:
        if self._idle_runners:
            self._idle_runners -= 1
            self._idle.unpark()
        else:
            assert self.nursery is not None
            self.nursery.start_soon(self._run)

    async def _run(self) -> None:
        # One scope for all calls of the runner: a scope for each would cost a call 4 µs more.
        with trio.CancelScope(deadline=self._grace_ends_at) as scope:
            self._scopes.add(scope)
            try:
                while True:
                    while self.waiting and not self._is_halted:
                        # No checkpoint between this and the handler's first step: that keeps the order.
                        await self._run_call(self.waiting.popleft(), scope)
                        self._send_soon()
                    if self._idle_runners >= IDLE_RUNNERS:
                        return
                    self._idle_runners += 1
                    await self._idle.park()
            finally:
                self._scopes.discard(scope)

    async def _run_call(self, call: Call, scope: trio.CancelScope) -> None:
        method = call.method
        self.begun[call] = None
        is_deferred = False
        scope.shield = method.is_mutating
        try:
            result = method.handler(self._context, call.params)
            if method.is_async:
                result = await result
            if isinstance(result, Deferred):
                result.begin(partial(self._end_deferred, call))
                is_deferred = True
            else:
                self._answering.settle(call, result)
        except trio.Cancelled:
            if method.is_mutating:
                log.warning("%s was cut short: its client had gone", method.name)
            raise
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            self._answering.refuse(call, fault_of(error, method.name))
        except BaseExceptionGroup as group:
            if (rest := rest_of(group)) is not None:
                self._answering.refuse(call, fault_of(rest, method.name))
            raise
        finally:
            scope.shield = False
            if not is_deferred:
                self._end(call)

    def _end_deferred(self, call: Call, done: Done[object]) -> None:
        try:
            self._answering.settle(call, done.outcome())
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            self._answering.refuse(call, fault_of(error, call.method.name))
        self._end(call)
        self._send_soon()

    def _end(self, call: Call) -> None:
        # Not there any more when its connection was handed over meanwhile.
        if call not in self.begun:
            return
        del self.begun[call]
        self.mutating -= call.method.is_mutating
        if call.ended is not None:
            call.ended.set()
        if self._settled is not None and not self.mutations:
            self._settled.set()
            self._settled = None
