"""One client: its requests carried out, its answers and its streams written, and its end.

Plain methods are answered while reading, or by a callback; the others run in a few trio tasks of the connection's
nursery. Each takes the oldest call that waits, so that calls *begin* in the order they were sent, whichever trio task
trio happens to run first. Answers go out as they are ready, in any order.
"""

from __future__ import annotations

import logging
import math
import select
import socket
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio

from ringmaster.protocol.codes import INVALID_REQUEST, PARSE_ERROR
from ringmaster.protocol.framing import LineReader, Overlong
from ringmaster.protocol.jsonrpc import (
    Fault,
    encode_batch,
    encode_fault,
    encode_result,
    parse_document,
)
from ringmaster.rpc.calls import Batch, Call, Limits
from ringmaster.rpc.dispatch import (
    BoundMethod,
    Context,
    Deferred,
    Streaming,
    fault_of,
    find_method,
    rest_of,
)
from ringmaster.rpc.output import Output
from ringmaster.rpc.reactor import GONE, Reactor
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.streams import Streams
from ringmaster.store.interface import Done

log = logging.getLogger("ringmaster.rpc")

RECEIVE_BYTES = 65536
TURN_MESSAGES = 64
"""Requests of one connection carried out before others get their turn: some 0.5 ms of trivial ones."""
IDLE_RUNNERS = 2


class Connection:
    """A client's connection, driven by the reactor. Handlers use the four public members that say so."""

    def __init__(
        self,
        connection: socket.socket,
        reactor: Reactor,
        table: Mapping[str, BoundMethod],
        services: object,
        caller: Caller,
        limits: Limits,
    ) -> None:
        self.caller = caller
        self.is_due = False
        self._socket = connection
        self._fd = connection.fileno()
        self._reactor = reactor
        self._table = table
        self._limits = limits
        self._context: Context[Any] = Context(services, caller, self)
        self._lines = LineReader()
        self._backlog: deque[bytes | Overlong | tuple[bytes, Batch]] = deque()
        self._output = Output(connection)
        self._interest = select.EPOLLIN
        self._is_closed = False
        self._is_eof = False
        self._is_quiet = False
        self._is_watched = False
        self._waiting: deque[Call] = deque()
        self._running = 0
        self._mutating = 0
        self._idle = trio.lowlevel.ParkingLot()
        self._idle_runners = 0
        self._scopes: set[trio.CancelScope] = set()
        self._grace_ends_at = math.inf
        self._streams = Streams(limits.streams, self._write_stream)
        self._unbusy: trio.Event | None = None
        self._nursery: trio.Nursery | None = None

    # For handlers.

    @property
    def is_closed(self) -> bool:
        """Whether the client is gone (or was dropped)."""
        return self._is_closed

    def reserve_subscription(self) -> int:
        """A number for a stream to come. Raises `RingmasterError` when the connection has too many."""
        return self._streams.reserve()

    def end_stream(self, subscription: int) -> bool:
        """Cancel a stream of this connection; its client is told. False: it is over already."""
        return self._streams.end(subscription)

    # For the server.

    @property
    def is_busy(self) -> bool:
        """Whether a drain should wait: a mutation is not answered yet, or an answer not sent."""
        return not self._is_closed and (self._mutating > 0 or self._output.size > 0)

    async def serve(self) -> None:
        """Serve until the client is gone or cancelled. Begun mutations have `mutation_grace_s` to end."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._reactor.add(self, self._interest)
                try:
                    await trio.sleep_forever()
                finally:
                    self.close()
        finally:
            self._socket.close()

    async def wait_unbusy(self) -> None:
        """Wait until it is not busy, or closed."""
        if self.is_busy:
            self._unbusy = self._unbusy or trio.Event()
            await self._unbusy.wait()

    def quiesce(self) -> None:
        """Begin nothing more; what has begun goes on and is answered."""
        self._is_quiet = True
        self._set_interest()

    def close(self) -> None:
        """Hang up. Answers not sent are lost, what was not taken yet is dropped, reads and streams cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        self._reactor.remove(self)
        self._socket.close()
        self._backlog.clear()
        # Mutations that were taken are carried out all the same: a notification's sender hangs up at once.
        self._waiting = deque(call for call in self._waiting if call.method.is_mutating)
        self._output.drop()
        self._grace_ends_at = trio.current_time() + self._limits.mutation_grace_s
        for scope in self._scopes:
            scope.deadline = self._grace_ends_at
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        self._tell_unbusy()

    def _tell_unbusy(self) -> None:
        if self._unbusy is not None and not self.is_busy:
            self._unbusy.set()
            self._unbusy = None

    # For the reactor.

    def fileno(self) -> int:
        """The socket's number, also after it was closed."""
        return self._fd

    def on_events(self, events: int) -> bool:
        """Read or write as epoll says."""
        if events & select.EPOLLIN:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                self.close()
                return False
            if data:
                self._backlog.extend(self._lines.feed(data))
            else:
                if events & GONE:
                    self.close()
                    return False
                # A peer that only shut its sending side down still wants its answers.
                self._is_eof = True
                if self._lines.has_partial:
                    self._refuse(None, None, Fault(PARSE_ERROR, "the last line has no newline; it was ignored"))
        elif events & GONE:
            self.close()
            return False
        return self.work()

    def work(self) -> bool:
        """Carry out a turn of what was read, and send. True: more can be carried out at once."""
        if self._is_closed:
            return False
        backlog = self._backlog
        budget = TURN_MESSAGES
        while backlog and budget and not self._is_held:
            budget -= 1
            self._take(backlog.popleft())
        try:
            self._output.flush()
        except OSError:
            self.close()
            return False
        if self._output.is_blocked and not self._is_watched and self._nursery is not None:
            self._is_watched = True
            self._nursery.start_soon(self._watch_stall)
        if self._is_eof and self._is_finished:
            self.close()
            return False
        self._set_interest()
        self._tell_unbusy()
        return bool(backlog) and not self._is_held

    @property
    def _is_held(self) -> bool:
        return (
            len(self._waiting) + self._running >= self._limits.in_flight
            or self._output.size >= self._limits.output_bytes
            or self._is_quiet
            or self._is_closed
        )

    @property
    def _is_finished(self) -> bool:
        return not (self._backlog or self._waiting or self._running or self._streams or self._output.size)

    def _set_interest(self) -> None:
        if self._is_closed:
            return
        interest = select.EPOLLOUT if self._output.is_blocked else 0
        if not self._backlog and not self._is_eof and not self._is_held:
            interest |= select.EPOLLIN
        if interest != self._interest:
            self._interest = interest
            self._reactor.change(self, interest)

    # Requests.

    def _take(self, item: bytes | Overlong | tuple[bytes, Batch]) -> None:
        batch = None
        name = "a request"
        id_json: bytes | None = None
        try:
            if isinstance(item, tuple):
                item, batch = item
            elif isinstance(item, Overlong):
                raise Fault(INVALID_REQUEST, f"a line is longer than {item.limit} bytes; it was skipped")
            request = parse_document(item)
            if isinstance(request, list):
                if batch is not None:
                    raise Fault(INVALID_REQUEST, "a batch may not hold a batch")
                parts = Batch(len(request))
                self._backlog.extendleft((member, parts) for member in reversed(request))
                return
            id_json = bytes(request.id)
            method = find_method(self._table, request.method, self.caller)
            params = method.decode(request)
            name = method.name
            if method.is_async or (method.is_mutating and self._waiting):
                self._begin(Call(method, params, id_json, batch))
                return
            result = method.handler(self._context, params)
            if isinstance(result, Deferred):
                self._defer(Call(method, params, id_json, batch), result)
            else:
                self._settle(id_json, batch, result)
        except Fault as fault:
            self._refuse(id_json, batch, fault)
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            self._refuse(id_json, batch, fault_of(error, name))

    def _begin(self, call: Call) -> None:
        self._waiting.append(call)
        self._mutating += call.method.is_mutating
        if self._idle_runners:
            self._idle_runners -= 1
            self._idle.unpark()
        else:
            assert self._nursery is not None
            self._nursery.start_soon(self._run_calls)

    async def _run_calls(self) -> None:
        # One scope for all calls of the runner: a scope for each would cost a call 4 µs more.
        with trio.CancelScope(deadline=self._grace_ends_at) as scope:
            self._scopes.add(scope)
            try:
                while True:
                    while self._waiting:
                        # No checkpoint between this and the handler's first step: that keeps the order.
                        await self._run_call(self._waiting.popleft(), scope)
                        self._send_soon()
                    if self._idle_runners >= IDLE_RUNNERS:
                        return
                    self._idle_runners += 1
                    await self._idle.park()
            finally:
                self._scopes.discard(scope)

    async def _run_call(self, call: Call, scope: trio.CancelScope) -> None:
        method = call.method
        self._running += 1
        scope.shield = method.is_mutating
        try:
            result = method.handler(self._context, call.params)
            if method.is_async:
                result = await result
            if isinstance(result, Deferred):
                self._defer(call, result)
            else:
                self._settle(call.id_json, call.batch, result)
        except trio.Cancelled:
            if method.is_mutating:
                log.warning("%s was cut short: its client had gone", method.name)
            raise
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            self._refuse(call.id_json, call.batch, fault_of(error, method.name))
        except BaseExceptionGroup as group:
            if (rest := rest_of(group)) is not None:
                self._refuse(call.id_json, call.batch, fault_of(rest, method.name))
            raise
        finally:
            scope.shield = False
            self._running -= 1
            self._mutating -= method.is_mutating

    def _defer(self, call: Call, result: Deferred[object]) -> None:
        result.begin(partial(self._end_deferred, call))
        self._running += 1
        self._mutating += call.method.is_mutating

    def _end_deferred(self, call: Call, done: Done[object]) -> None:
        self._running -= 1
        self._mutating -= call.method.is_mutating
        try:
            self._settle(call.id_json, call.batch, done.outcome())
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            self._refuse(call.id_json, call.batch, fault_of(error, call.method.name))
        self._send_soon()

    def _send_soon(self) -> None:
        """Send an answer at once when nothing else is under way, otherwise together with what ends now too."""
        if self._running or self._waiting or self.work():
            self._reactor.schedule(self)

    def _settle(self, id_json: bytes, batch: Batch | None, result: object) -> None:
        stream = result if isinstance(result, Streaming) else None
        line = encode_result(id_json, stream.result if stream else result) if id_json else b""
        # Without an id nobody would know the number of the subscription: such a stream is not begun.
        self._reply(line, batch, stream if id_json else None)

    def _refuse(self, id_json: bytes | None, batch: Batch | None, fault: Fault) -> None:
        """id_json: None while unknown, so that the fault's own is used; empty for a notification."""
        self._reply(b"" if id_json == b"" else encode_fault(fault, id_json or b""), batch)

    def _reply(self, line: bytes, batch: Batch | None, stream: Streaming[Any] | None = None) -> None:
        if self._is_closed:
            return
        followers: tuple[Streaming[Any], ...] = () if stream is None else (stream,)
        if batch is not None:
            if not batch.settle(line, stream):
                return
            line = encode_batch(batch.lines) if batch.lines else b""
            followers = tuple(batch.followers)
        if line:
            self._output.append(line)
        for follower in followers:
            assert self._nursery is not None
            self._streams.begin(self._nursery, follower)

    async def _write_stream(self, data: bytes) -> None:
        if not self._is_closed:
            self._output.append(data)
            self._reactor.schedule(self)
        await trio.lowlevel.checkpoint()
        if self._output.is_blocked or self._output.size >= self._limits.output_bytes:
            await self._output.wait_drained()

    async def _watch_stall(self) -> None:
        while self._output.is_blocked:
            before = self._output.sent_bytes
            with trio.move_on_after(self._limits.stall_s):
                await self._output.wait_drained()
            if self._output.is_blocked and self._output.sent_bytes == before:
                log.warning(
                    "dropped a client (pid %d) that read nothing for %g s",
                    self.caller.pid,
                    self._limits.stall_s,
                )
                self.close()
        self._is_watched = False
