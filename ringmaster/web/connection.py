"""One client of the door: its requests read one after the other, each answered before the next is looked at."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Awaitable, Callable

import msgspec
import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.web.message import Answer, Refusal, Request, Upgrade, encode_answer
from ringmaster.web.reading import Reader, cut_head

log = logging.getLogger("ringmaster.web")

OnUpgrade = Callable[[trio.abc.HalfCloseableStream, bytes, Upgrade], Awaitable[None]]

RECEIVE_BYTES = 65536
DRAIN_BYTES = 256 * 1024
PIECES = 32
"""Pieces of a body that are read in one turn of the loop."""
STALLED_S = 1.0
"""Who has taken nothing of an answer for so long gives way as who says nothing."""
FRESH_S = 1.0
"""Whoever connected so lately is about to ask: it is hung up on only when it has an answer."""


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one connection, in seconds.

    idle_s: from one answer to the next request. head_s, body_s: for a whole head and a whole body, from the first byte.
    send_s: for an answer, without a byte taken. linger_s: how long unread input is thrown away before the close, so
    that the last answer is not lost with it. half_closed_s: how long a call that only reads goes on for a client that
    says nothing more: it may have gone.
    """

    idle_s: float = 75.0
    head_s: float = 10.0
    body_s: float = 30.0
    send_s: float = 30.0
    linger_s: float = 0.2
    half_closed_s: float = 1.0


class Exchange:
    """One request and what belongs to it, for whoever answers. local, remote: the ends of its connection."""

    def __init__(self, connection: HttpConnection, reader: Reader) -> None:
        self.request: Request = reader.request
        self.connection = connection
        self._reader = reader
        self.is_read = not reader.request.has_body

    async def read_body(self, most: int) -> bytes:
        """The whole body. Raises `Refusal` for one of more than `most` bytes, before reading it where it says so."""
        refusal = Refusal(413, f"the body is longer than {most} bytes", kind=ErrorKind.PROTOCOL)
        length = self.request.header("content-length")
        if length and int(length) > most:
            raise refusal
        body, pieces = bytearray(), 0
        if self.is_read:
            return b""
        if self.request.header("expect").lower() == "100-continue":
            await self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        with trio.move_on_after(self.connection.limits.body_s):
            while (data := self._reader.next_data()) is not None:
                body += data
                pieces += 1
                if not pieces % PIECES:
                    # A body may come in chunks of one byte, thousands of them at once.
                    await trio.lowlevel.checkpoint()
                if len(body) > most:
                    raise refusal
                if not data:
                    self._reader.feed(await self.connection.receive())
            self.is_read = True
            return bytes(body)
        raise Refusal(408, "the body did not come in time", kind=ErrorKind.TIMED_OUT)

    def rest(self) -> bytes:
        """What was read behind this request."""
        return self._reader.rest()


class HttpConnection:
    """A client. answer: says what to do with a request. on_upgrade: takes the connection over.

    idle_since: monotonic time since when it waits for what its client says; None while something is done for it.
    kept: for whoever answers, what holds for the whole connection.
    """

    def __init__(
        self,
        connection: trio.socket.SocketType,
        answer: Callable[[Exchange], Awaitable[Answer | Upgrade]],
        on_upgrade: OnUpgrade,
        limits: Limits,
    ) -> None:
        self.limits = limits
        self.local: tuple[str, int] = connection.getsockname()[:2]
        self.remote: tuple[str, int] = connection.getpeername()[:2]
        self.kept: object | None = None
        self.idle_since: float | None = trio.current_time()
        self._sending_since: float | None = None
        self._opened_at = trio.current_time()
        self._has_answered = False
        self.scope = trio.CancelScope()
        self.is_upgraded = False
        self.is_leaving = False
        self._stream = trio.SocketStream(connection)
        self._answer = answer
        self._on_upgrade = on_upgrade
        self._buffer = bytearray()
        self._is_eof = False

    @property
    def waits_since(self) -> float | None:
        """Since when its client has kept it waiting, by saying nothing or taking no answer; None while it does not."""
        if self._sending_since is not None and trio.current_time() >= self._sending_since + STALLED_S:
            return self._sending_since
        return self.idle_since

    async def serve(self) -> None:
        """Serve until either side has had enough; the connection is closed then. Cancelled, it is closed at once."""
        try:
            with self.scope:
                goes_on = True
                while goes_on:
                    # One who sends many at once gets no more turns than others.
                    await trio.lowlevel.checkpoint()
                    if self.is_leaving and self._has_answered and not self._buffer:
                        # It was told to leave while its answer was on its way, which did not say so any more.
                        break
                    goes_on = await self._serve_one()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The client has gone, and nobody is left to tell anything.
            pass
        finally:
            await trio.aclose_forcefully(self._stream)

    def leave(self) -> None:
        """Serve no further request: one that is under way is answered still, also on its way from who just came."""
        self.is_leaving = True
        is_fresh = not self._has_answered and trio.current_time() - self._opened_at < FRESH_S
        if self.idle_since is not None and not is_fresh:
            self.scope.cancel()

    async def send(self, data: bytes) -> None:
        """Send all of it. Raises BrokenResourceError when the client takes nothing for too long."""
        view = memoryview(data)
        while view:
            self._sending_since = trio.current_time()
            with trio.move_on_after(self.limits.send_s) as scope:
                await self._stream.send_all(view[:RECEIVE_BYTES])
            self._sending_since = None
            if scope.cancelled_caught:
                raise trio.BrokenResourceError("the client takes nothing")
            view = view[RECEIVE_BYTES:]

    async def receive(self) -> bytes:
        """What the client sends next; empty when nothing comes any more."""
        self.idle_since = trio.current_time()
        try:
            return bytes(await self._stream.receive_some(RECEIVE_BYTES))
        finally:
            self.idle_since = None

    async def _serve_one(self) -> bool:
        """Read and answer a request. False: the connection ends."""
        exchange: Exchange | None = None
        try:
            head = await self._read_head()
            if head is None:
                return False
            exchange = Exchange(self, self._open_reader(head))
            answer = await self._answer(exchange)
        except Refusal as refusal:
            answer = refusal.answer
        if isinstance(answer, Upgrade):
            assert exchange is not None
            return await self._hand_on(exchange.request, answer)
        is_last = self.is_leaving or exchange is None or not exchange.is_read or not exchange.request.may_go_on
        is_head = exchange is not None and exchange.request.method == "HEAD"
        # A long body is not copied for each who takes it.
        is_apart = len(answer.body) > RECEIVE_BYTES
        await self.send(encode_answer(answer, is_last=is_last, is_head=is_head or is_apart, now=time.time()))
        if is_apart and not is_head:
            await self.send(answer.body)
        self._has_answered = True
        if is_last:
            await self._linger()
            return False
        assert exchange is not None
        self._buffer += exchange.rest() if exchange.request.has_body else b""
        return True

    def _open_reader(self, head: bytes) -> Reader:
        reader = Reader(head)
        if reader.request.has_body and self._buffer:
            # A body begins with what was read behind the head.
            reader.feed(bytes(self._buffer))
            self._buffer.clear()
        return reader

    async def _read_head(self) -> bytes | None:
        """The next head; None where none comes."""
        limit = trio.CancelScope(deadline=trio.current_time() + self.limits.idle_s)
        began, looked = False, 0
        with limit:
            while (head := cut_head(self._buffer, looked)) is None:
                looked = len(self._buffer)
                if self._buffer and not began:
                    began = True
                    limit.deadline = trio.current_time() + self.limits.head_s
                data = await self.receive()
                if not data:
                    return None
                self._buffer += data
            return head
        if self._buffer:
            raise Refusal(408, "the request did not come in time", kind=ErrorKind.TIMED_OUT)
        return None

    async def _hand_on(self, request: Request, upgrade: Upgrade) -> bool:
        if self._buffer:
            # What was sent before the other side agreed may be read by a proxy as something else.
            refusal = Refusal(400, "bytes came behind the head of an upgrade", kind=ErrorKind.PROTOCOL)
            await self.send(encode_answer(refusal.answer, is_last=True, is_head=False, now=time.time()))
            await self._linger()
            return False
        self.is_upgraded = True
        await self._on_upgrade(self._stream, request.head, upgrade)
        return False

    async def _linger(self) -> None:
        """Unread input would take the last answer with it: the kernel resets a connection that is closed over some."""
        await self._stream.send_eof()
        thrown = 0
        with trio.move_on_after(self.limits.linger_s):
            while thrown < DRAIN_BYTES and (data := await self._stream.receive_some(RECEIVE_BYTES)):
                thrown += len(data)

    async def wait_gone(self) -> None:
        """Until the client has sent its end, and `half_closed_s` more; for ever where it sends something else."""
        opened = self._stream.socket
        await trio.lowlevel.wait_readable(opened)
        try:
            is_end = not await opened.recv(1, socket.MSG_PEEK)
        except OSError:
            return
        if not is_end:
            await trio.sleep_forever()
        await trio.sleep(self.limits.half_closed_s)
