"""One websocket: a subscription and its frames, pings while it is idle, and an end that is said.

RFC 6455. Frames of the feed go out as text messages, the feed's messages one a line.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from ringmaster.feed.beginning import Start
from ringmaster.feed.feed import Feed
from ringmaster.feed.session import Session
from ringmaster.feed.wanted import Wanted
from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.feed import FeedSubscribeParams, Refused, SubscribeMessage
from ringmaster.stream.replayed import Replayed

log = logging.getLogger("ringmaster.stream")

HANDSHAKE_S = 10.0
OPENING_S = 10.0
"""How long an upgrade may take, and then the first subscription."""
MESSAGE_BYTES = 256 * 1024
QUEUED_MESSAGES = 4
STALL_S = 60.0
"""How long a frame may be on its way before who does not take it is hung up on."""
IDLE_S = 20.0
PONG_S = 40.0
CLOSING_S = 0.5
LEAVING_S = 0.2
"""How long the daemon's own end waits for the client's answer to its close."""

NORMAL, GOING_AWAY, VIOLATION, RESTART = 1000, 1001, 1008, 1012
FAILURES = frozenset({1002, 1003, 1007, 1009})
"""Codes for a client that does not keep to the protocol, or sends too much."""
SHAPE = 'such as {"kind": "subscribe", "task_id": "rm-1a2b", "output": ["steps"]}; docs/protocol.md has the members'

_decoder = msgspec.json.Decoder(SubscribeMessage)


class End(msgspec.Struct, frozen=True):
    """What ends a client besides itself. reason: why the daemon leaves, asked for when it does.

    wait_over: returns, with words for the client, once what let it in holds no more.
    """

    reason: Callable[[], Literal["reload", "stop"]]
    wait_over: Callable[[], Awaitable[str]] = trio.sleep_forever


async def serve_socket(stream: trio.abc.HalfCloseableStream, head: bytes, own_task: str, feed: Feed, end: End) -> None:
    """Serve a client until it leaves, or this is cancelled: it is then told why, and where to go on.

    head: the request of the upgrade as it was read from the stream; access was checked. own_task: the only task the
    client may look at, '' for all. end: what else ends it.
    Closes the stream. Cancelled, it returns after `LEAVING_S` at the latest. Raises nothing that a client can cause.
    """
    async with trio.open_nursery() as outside:
        with trio.CancelScope(shield=True) as whole:
            client = _Client(Replayed(stream, head), own_task, feed, end)

            async def leave_with_outside() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    whole.deadline = trio.current_time() + LEAVING_S
                    client.leave()

            outside.start_soon(leave_with_outside)
            try:
                await client.serve()
            except* (ConnectionClosed, LocalProtocolError):
                # The library's reader answers also who has gone meanwhile, or was told the end already: a ping behind
                # a close, a frame that is none from somebody who does not wait for the word about it.
                log.debug("a websocket was hung up on by its client")
            except* Exception:  # the boundary of a client: the others, and the daemon, have nothing to do with it
                log.exception("a websocket failed and is hung up on")
            finally:
                await trio.aclose_forcefully(stream)
        outside.cancel_scope.cancel()


_Asked = tuple[FeedSubscribeParams, Wanted]


class _Client:
    def __init__(self, stream: Replayed, own_task: str, feed: Feed, end: End) -> None:
        self._stream = stream
        self._own_task = own_task
        self._feed = feed
        self._what_ends = end
        self._scope = trio.CancelScope()
        self._is_leaving = False
        self._session: Session | None = None
        self._following = trio.CancelScope()
        self._sending = trio.CancelScope()
        self._next: _Asked | None = None
        self._busy_at = trio.current_time()
        self._code, self._reason = NORMAL, ""

    def leave(self) -> None:
        """End it, with a word to the client."""
        self._is_leaving = True
        self._cancel()

    async def serve(self) -> None:
        """Until the client has left, or was told why not."""
        async with trio.open_nursery() as reading:
            reading.start_soon(self._run_right)
            ws = await self._open(reading)
            if ws is not None:
                # Whatever ends it cancels a scope of its own, so this goes on to the word of farewell.
                await self._run(ws)
                await self._close(ws)
            reading.cancel_scope.cancel()
        if self._stream.writing_since is None and not self._is_leaving:
            await self._stream.linger()

    async def _open(self, reading: trio.Nursery) -> WebSocketConnection | None:
        with trio.move_on_after(HANDSHAKE_S):
            try:
                request = await wrap_server_stream(
                    reading, self._stream, message_queue_size=QUEUED_MESSAGES, max_message_size=MESSAGE_BYTES
                )
                return await request.accept()
            except ConnectionClosed:
                pass
        return None

    async def _run(self, ws: WebSocketConnection) -> None:
        with self._scope:
            first = None
            with trio.move_on_after(OPENING_S):
                first = await self._receive(ws)
            if first is None:
                self._end(VIOLATION, f"no subscription came within {OPENING_S:g} s")
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_receiver, ws)
                nursery.start_soon(self._run_heartbeat, ws)
                await self._run_sender(ws, first)
                nursery.cancel_scope.cancel()

    def _end(self, code: int, reason: str) -> None:
        self._code, self._reason = code, _fitting(reason)
        self._cancel()

    def _cancel(self) -> None:
        # Half a frame is waited for, so that the end can be said behind it, but not for as long as one may take.
        self._sending.deadline = min(self._sending.deadline, trio.current_time() + LEAVING_S / 2)
        self._scope.cancel()

    async def _run_right(self) -> None:
        self._end(VIOLATION, await self._what_ends.wait_over())

    async def _close(self, ws: WebSocketConnection) -> None:
        """Say the end, as far as anything can still be said."""
        with trio.move_on_after(CLOSING_S):
            if self._stream.writing_since is not None:
                # A frame is half out: whatever followed would be taken for its rest.
                return
            if self._is_leaving:
                reason = self._what_ends.reason()
                self._code, self._reason = (RESTART if reason == "reload" else GOING_AWAY), reason
                if self._session is not None:
                    with contextlib.suppress(ConnectionClosed):
                        await ws.send_message(self._session.bye(reason))
            if ws.closed is not None and ws.closed.code in FAILURES and not self._stream.is_end_said:
                # The library hangs up on what is no websocket any more without a word about it.
                with contextlib.suppress(trio.BrokenResourceError):
                    await self._stream.say_end(ws.closed.code, _fitting(ws.closed.reason or ""))
            await ws.aclose(self._code, self._reason)

    # What the client says.

    async def _run_receiver(self, ws: WebSocketConnection) -> None:
        while True:
            self._next = await self._receive(ws)
            self._following.cancel()

    async def _receive(self, ws: WebSocketConnection) -> _Asked:
        """The next subscription that can be had; what cannot is told and changes nothing. Ends with the connection."""
        while True:
            try:
                message = await ws.get_message()
                self._stream.finish()
                refused = Refused(message="a subscription is text, and this is binary")
                if isinstance(message, str):
                    try:
                        params: FeedSubscribeParams = _decoder.decode(message)
                        return params, await self._feed.resolve(params, self._own_task)
                    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                        refused = Refused(message=f"this is no subscription: {error}", hint=SHAPE)
                    except RingmasterError as error:
                        refused = Refused(message=error.message, hint=error.hint)
                await ws.send_message(msgspec.json.encode(refused).decode())
            except ConnectionClosed:
                self._scope.cancel()
                await trio.sleep_forever()

    # What it is told.

    async def _run_sender(self, ws: WebSocketConnection, asked: _Asked) -> None:
        is_told, cursor = True, ""
        while True:
            params, wanted = asked
            start = Start(cursor=params.cursor or cursor, tail_lines=params.tail_lines, is_told=is_told)
            async with self._feed.open_session(wanted, start, may_skip=True) as session:
                self._session = session
                with trio.CancelScope() as self._following:
                    if self._next is None:
                        await self._follow(ws, session)
            assert self._next is not None
            # One that was replaced before it said anything has told neither `hello` nor that a cursor has expired.
            is_told = is_told and not session.has_given
            cursor = session.cursor() if session.has_given else start.cursor
            asked, self._next = self._next, None

    async def _follow(self, ws: WebSocketConnection, session: Session) -> None:
        """Send frames until another subscription takes this one's place, or the end of all."""
        while messages := await session.next_frame():
            # Whole or not at all: another subscription waits for the frame, only the end of the connection does not.
            self._sending = sending = trio.CancelScope(shield=True, deadline=trio.current_time() + STALL_S)
            with sending:
                try:
                    await ws.send_message("\n".join(messages))
                except ConnectionClosed:
                    self._scope.cancel()
            self._busy_at = trio.current_time()
            if sending.cancelled_caught:
                log.info("a client took no frame for %g s and is hung up on", STALL_S)
                self._scope.cancel()
        await trio.sleep_forever()

    async def _run_heartbeat(self, ws: WebSocketConnection) -> None:
        while True:
            await trio.sleep_until(self._busy_at + IDLE_S)
            now, writing_since = trio.current_time(), self._stream.writing_since
            if writing_since is not None:
                # A ping would wait behind it. A frame has its own deadline; an answer to a ping, or to what was no
                # subscription, has none but this.
                if now >= writing_since + STALL_S:
                    log.info("a client took no answer for %g s and is hung up on", STALL_S)
                    self._scope.cancel()
                self._busy_at = max(self._busy_at, now - IDLE_S / 2)
                continue
            if now < self._busy_at + IDLE_S:
                continue
            with trio.move_on_after(PONG_S) as answering:
                try:
                    await ws.ping()
                except ConnectionClosed:
                    self._scope.cancel()
            self._busy_at = trio.current_time()
            if answering.cancelled_caught:
                self._end(GOING_AWAY, f"no answer to a ping for {PONG_S:g} s")


def _fitting(reason: str) -> str:
    """A close frame holds 123 bytes of reason (RFC 6455, 5.5)."""
    return reason.encode()[:120].decode("utf-8", "ignore")
