"""One client: its requests carried out, its answers and its streams written, and its end.

Plain methods are answered while reading, or by a callback; the others run in a few trio tasks, see `running`.
Answers go out as they are ready, in any order.
"""

from __future__ import annotations

import logging
import select
import socket
from collections import deque
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import msgspec
import trio

from ringmaster.protocol.codes import INVALID_REQUEST, PARSE_ERROR
from ringmaster.protocol.framing import LineReader, Overlong
from ringmaster.protocol.jsonrpc import Fault, parse_document
from ringmaster.rpc.answers import Answers, MeterLike
from ringmaster.rpc.backlog import Item, pack, unpack
from ringmaster.rpc.calls import Batch, Call, Limits
from ringmaster.rpc.dispatch import BoundMethod, Context, Deferred, Streaming, fault_of, find_method
from ringmaster.rpc.handoff import HandedConnection
from ringmaster.rpc.output import Output
from ringmaster.rpc.reactor import GONE, Reactor
from ringmaster.rpc.resuming import begin_again
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.running import Calls
from ringmaster.rpc.streams import Follower, Streams, make_follower

log = logging.getLogger("ringmaster.rpc")

RECEIVE_BYTES = 65536
TURN_MESSAGES = 64
"""Requests of one connection carried out before others get their turn: some 0.5 ms of trivial ones."""


class Connection:
    """A client's connection, driven by the reactor. Handlers use the five public members that say so."""

    def __init__(
        self,
        connection: socket.socket,
        reactor: Reactor,
        table: Mapping[str, BoundMethod],
        services: object,
        caller: Caller,
        limits: Limits,
        meter: MeterLike | None = None,
    ) -> None:
        self.caller = caller
        self.is_due = False
        self._socket = connection
        self._fd = connection.fileno()
        self._reactor = reactor
        self._table = table
        self._limits = limits
        self._meter = meter
        self._context: Context[Any] = Context(services, caller, self)
        self._lines = LineReader()
        self._backlog: deque[Item] = deque()
        self._output = Output(connection)
        self._interest = select.EPOLLIN
        self._is_registered = False
        self._is_closed = False
        self._is_eof = False
        self._is_quiet = False
        self._is_halted = False
        self._is_watched = False
        self._streams = Streams(limits.streams, self._write_stream, self._begin_again)
        self._answers = Answers(self._output, self._streams, meter)
        self._calls = Calls(self._context, self._answers, self._send_soon)
        self._waiting = self._calls.waiting
        self._begun = self._calls.begun
        self._unbusy: trio.Event | None = None
        self._nursery: trio.Nursery | None = None

    # For handlers.

    is_resumed = False
    """Whether the handler is called to go on with a stream that another image began."""

    @property
    def is_closed(self) -> bool:
        """Whether the client is gone (or was dropped, or handed over)."""
        return self._is_closed

    def reserve_subscription(self, beginning: msgspec.Struct | None = None) -> int:
        """A number for a stream to come. Raises `RingmasterError` when the connection has too many.

        beginning: params of the same method with which another image begins it where this one does, if not its own.
        """
        return self._streams.reserve(beginning)

    def end_stream(self, subscription: int) -> bool:
        """Cancel a stream of this connection; its client is told. False: it is over already."""
        return self._streams.end(subscription)

    # For the server.

    @property
    def is_busy(self) -> bool:
        """Whether a drain should wait: a mutation is not answered yet, or an answer not sent."""
        return not self._is_closed and (self._calls.mutating > 0 or self._output.size > 0)

    @property
    def mutations(self) -> list[Call]:
        """Mutations that were begun and have not ended, and those that will be though the client has gone."""
        return self._calls.mutations

    async def serve(self) -> None:
        """Serve until the client is gone or cancelled. Begun mutations have `mutation_grace_s` to end."""
        if self._is_closed:
            return
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = self._calls.nursery = self._answers.nursery = nursery
                self._streams.begin_taken(nursery)
                # What another image had read is carried out before a hang-up is looked for, which would drop it.
                self._carry_out(len(self._backlog))
                self._set_interest()
                self._register()
                if self._is_eof or self._backlog or self._output.size:
                    self._reactor.schedule(self)
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

    async def wait_settled(self) -> None:
        """Wait until nothing is unsettled."""
        await self._calls.wait_settled()

    def stop_taking(self) -> None:
        """Take nothing more; what was taken is begun and answered."""
        self._is_quiet = True
        self._set_interest()
        if self._is_halted:
            self._go_on()

    def quiesce(self) -> None:
        """Read nothing and begin nothing, also of what was taken; what has begun goes on and is answered."""
        if not self._is_closed:
            self._is_quiet = self._is_halted = True
            self._calls.halt()
            self._set_interest()

    def resume(self) -> None:
        """Go on as if there had been no `quiesce`."""
        if self._is_halted:
            self._is_quiet = False
            self._go_on()

    def _go_on(self) -> None:
        self._is_halted = False
        self._calls.resume()
        if self._nursery is not None and not self._is_closed:
            self._register()
            self._reactor.schedule(self)

    def hand_over(self) -> HandedConnection | None:
        """Let go of the socket, which stays open, and say what its next owner has to know. None: the client is gone.

        Only when nothing is unsettled. Reads and streams are cancelled, and `serve` returns soon.
        """
        if self._is_closed:
            return None
        for call in list(self._begun):
            if not call.id_json:
                # A notification that only reads: nobody waits for what it would say.
                del self._begun[call]
                self._answers.reply(b"", call.batch)
        frames, batches = pack([*self._begun, *self._waiting], self._backlog)
        last, streams, farewells = self._streams.hand_over()
        self._unregister()
        self._is_closed = self._answers.is_closed = True
        self._calls.drop()
        self._backlog.clear()
        handed = HandedConnection(
            fd=self._socket.detach(),
            caller=self.caller,
            partial=self._lines.partial,
            is_skipping=self._lines.is_skipping,
            is_eof=self._is_eof,
            frames=frames,
            batches=batches,
            unsent=self._output.take() + b"".join(farewells),
            streams=tuple(streams),
            last_subscription=last,
        )
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        self._tell_unbusy()
        return handed

    def take_over(self, handed: HandedConnection) -> None:
        """Begin where another image was, when `serve` begins."""
        self._lines.go_on(handed.partial, handed.is_skipping)
        self._is_eof = handed.is_eof
        self._backlog.extend(unpack(handed))
        if handed.unsent:
            self._output.append(handed.unsent)
        self._streams.take_over(handed.last_subscription, [make_follower(stream) for stream in handed.streams])

    def close(self) -> None:
        """Hang up. Answers not sent are lost, what was not taken yet is dropped, reads and streams cancelled."""
        if self._is_closed:
            return
        self._is_closed = self._answers.is_closed = True
        self._unregister()
        self._socket.close()
        self._backlog.clear()
        self._output.drop()
        self._calls.close(self._limits.mutation_grace_s)
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        self._tell_unbusy()

    def _tell_unbusy(self) -> None:
        if self._unbusy is not None and not self.is_busy:
            self._unbusy.set()
            self._unbusy = None

    def _register(self) -> None:
        if not self._is_registered:
            self._is_registered = True
            self._reactor.add(self, self._interest)

    def _unregister(self) -> None:
        if self._is_registered:
            self._is_registered = False
            self._reactor.remove(self)

    def _lose(self) -> None:
        """The client is gone."""
        if self._is_halted:
            # What it had sent before is still to be carried out, here or elsewhere: who goes on finds out anew.
            self._unregister()
            self._output.drop()
        else:
            self.close()

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
                self._lose()
                return False
            if data:
                self._backlog.extend(self._lines.feed(data))
            else:
                if events & GONE:
                    self._lose()
                    return False
                # A peer that only shut its sending side down still wants its answers.
                self._is_eof = True
                if self._lines.has_partial:
                    self._answers.answer_fault(
                        None, None, Fault(PARSE_ERROR, "the last line has no newline; it was ignored")
                    )
        elif events & GONE:
            self._lose()
            return False
        return self.work()

    def work(self) -> bool:
        """Carry out a turn of what was read, and send. True: more can be carried out at once."""
        if self._is_closed:
            return False
        self._carry_out(TURN_MESSAGES)
        try:
            self._output.flush()
        except OSError:
            self._lose()
            return False
        if self._output.is_blocked and not self._is_watched and self._nursery is not None:
            self._is_watched = True
            self._nursery.start_soon(self._watch_stall)
        if self._is_eof and self._is_finished:
            self.close()
            return False
        self._set_interest()
        self._tell_unbusy()
        return bool(self._backlog) and not self._is_held

    def _carry_out(self, budget: int) -> None:
        backlog = self._backlog
        while backlog and budget and not self._is_held:
            budget -= 1
            self._take(backlog.popleft())

    @property
    def _is_held(self) -> bool:
        return (
            len(self._waiting) + len(self._begun) >= self._limits.in_flight
            or self._output.size >= self._limits.output_bytes
            or self._is_quiet
            or self._is_closed
        )

    @property
    def _is_finished(self) -> bool:
        return not (self._backlog or self._waiting or self._begun or self._streams or self._output.size)

    def _set_interest(self) -> None:
        if self._is_closed:
            return
        interest = select.EPOLLOUT if self._output.is_blocked else 0
        if not self._backlog and not self._is_eof and not self._is_held:
            interest |= select.EPOLLIN
        if interest != self._interest:
            self._interest = interest
            if self._is_registered:
                self._reactor.change(self, interest)

    # Requests.

    def _take(self, item: Item) -> None:
        batch = None
        method = None
        id_json: bytes | None = None
        taken_at = perf_counter() if self._meter is not None else 0.0
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
            if method.is_async or (method.is_mutating and self._waiting):
                self._calls.add(Call(method, params, id_json, batch, item, taken_at))
                return
            result = method.handler(self._context, params)
            if isinstance(result, Deferred):
                self._calls.defer(Call(method, params, id_json, batch, item, taken_at), result)
                return
            self._answers.answer(id_json, batch, result, method, params)
            if self._meter is not None:
                self._meter.note(method.name, perf_counter() - taken_at, "")
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            fault = error if isinstance(error, Fault) else fault_of(error, method.name if method else "a request")
            self._answers.answer_fault(id_json, batch, fault)
            if self._meter is not None and method is not None:
                self._meter.note(method.name, perf_counter() - taken_at, fault.kind)

    # Answers.

    def _send_soon(self) -> None:
        """Send an answer at once when nothing else is under way, otherwise together with what ends now too."""
        if self._begun or self._waiting or self.work():
            self._reactor.schedule(self)

    async def _begin_again(self, follower: Follower) -> Streaming[Any]:
        return await begin_again(self._table, self._context.services, self, follower)

    async def _write_stream(self, data: bytes) -> None:
        if not self._is_closed:
            self._output.append(data)
            self._reactor.schedule(self)
        await trio.lowlevel.checkpoint()
        if self._output.is_blocked or self._output.size >= self._limits.output_bytes:
            await self._output.wait_drained()

    async def _watch_stall(self) -> None:
        stall_s = self._limits.stall_s
        while await self._output.wait_stalled(stall_s):
            if not self._is_halted:
                log.warning("dropped a client (pid %d) that read nothing for %g s", self.caller.pid, stall_s)
                self.close()
        self._is_watched = False
