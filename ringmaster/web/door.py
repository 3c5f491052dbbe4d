"""The door: accepts, bounds how many are in, and keeps each client's trouble to that client."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import resource
import socket
import time
from collections.abc import Awaitable, Callable

import trio

from ringmaster.web.connection import Exchange, HttpConnection, Limits, OnUpgrade
from ringmaster.web.message import Answer, Refusal, Upgrade, encode_answer

log = logging.getLogger("ringmaster.web")

ACCEPTS_AT_ONCE = 16
ROOM_RETRY_S = 5.0
TELL_AGAIN_S = 60.0
WEBSOCKETS = 128
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def connection_bound() -> int:
    """How many may be in: a quarter of the descriptors there are, for the others are needed elsewhere."""
    return max(8, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16) // 4)


class Door:
    """Serves HTTP on a listener.

    answer: what to do with a request. on_upgrade: serves a connection that becomes a websocket, until it ends; it
    closes nothing. bound: how many connections there may be; the one that has kept the door waiting longest gives way
    to a new one. websockets: how many of them may be websockets, which give way to nobody.
    """

    def __init__(
        self,
        answer: Callable[[Exchange], Awaitable[Answer | Upgrade]],
        on_upgrade: OnUpgrade,
        *,
        bound: int | None = None,
        websockets: int = WEBSOCKETS,
        limits: Limits | None = None,
    ) -> None:
        self._ask = answer
        self._on_upgrade = on_upgrade
        self._websockets = websockets
        self._told_at = -math.inf
        self._bound = bound if bound is not None else connection_bound()
        self._limits = limits or Limits()
        self._connections: dict[HttpConnection, None] = {}
        self._accepting = trio.CancelScope()
        self._resuming = trio.Event()
        self._one_closed = trio.Event()

    @property
    def connections(self) -> int:
        """How many are in."""
        return len(self._connections)

    async def serve(
        self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled. The listener, non-blocking, stays the caller's; connections are closed."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                with self._accepting:
                    await self._run_accept(listener, nursery)
                await self._resuming.wait()

    async def part(self) -> None:
        """Accept nothing until `resume`, hang up on whoever is idle, and end websockets; wait until these have ended.

        Who connects meanwhile waits, and what was begun is answered. Bound it with a deadline.
        """
        self._pause()
        for connection in list(self._connections):
            if connection.is_upgraded:
                connection.scope.cancel()
        await trio.lowlevel.checkpoint()
        while any(connection.is_upgraded for connection in self._connections):
            await self._wait_closed()

    def resume(self) -> None:
        """Accept again, where it does not."""
        if self._accepting.cancel_called:
            self._accepting = trio.CancelScope()
            self._resuming.set()

    async def drain(self) -> None:
        """Accept nothing more, hang up on whoever is idle, and wait until what was begun is answered.

        Bound it with a deadline. Websockets are not waited for: who serves them ends them.
        """
        self._pause()
        await trio.lowlevel.checkpoint()
        while any(not connection.is_upgraded for connection in self._connections):
            await self._wait_closed()

    def _pause(self) -> None:
        self._resuming = trio.Event()
        self._accepting.cancel()
        for connection in list(self._connections):
            if not connection.is_upgraded:
                connection.leave()

    async def _wait_closed(self) -> None:
        self._one_closed = trio.Event()
        await self._one_closed.wait()

    async def _run_accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            for _ in range(ACCEPTS_AT_ONCE):
                try:
                    accepted, _ = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in EXHAUSTED:
                        self._tell_exhausted(error.strerror)
                        await self._wait_for_room()
                    # Any other is of a client that has gone again.
                    break
                self._admit(accepted, nursery)
            await trio.lowlevel.checkpoint()

    def _tell_exhausted(self, reason: str | None) -> None:
        if trio.current_time() >= self._told_at + TELL_AGAIN_S:
            self._told_at = trio.current_time()
            log.warning("cannot accept a connection: %s; waiting for one to close", reason)

    async def _wait_for_room(self) -> None:
        with trio.move_on_after(ROOM_RETRY_S):
            await self._wait_closed()

    def _admit(self, accepted: socket.socket, nursery: trio.Nursery) -> None:
        accepted.setblocking(False)
        if len(self._connections) >= self._bound and not self._make_room():
            refusal = Refusal(503, f"{len(self._connections)} connections are open, which is the limit")
            told = encode_answer(refusal.answer, is_last=True, is_head=False, now=time.time())
            # It may have gone again, which is no trouble of the door's.
            with accepted, contextlib.suppress(OSError):
                accepted.send(told, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
            return
        try:
            connection = HttpConnection(
                trio.socket.from_stdlib_socket(accepted), self._answer, self._on_upgrade, self._limits
            )
        except OSError:
            # It has gone again.
            accepted.close()
            return
        self._connections[connection] = None
        nursery.start_soon(self._serve_connection, connection)

    def _make_room(self) -> bool:
        """Hang up on the one that has kept the door waiting longest. False: there is none."""
        idle = [one for one in self._connections if one.waits_since is not None and not one.is_upgraded]
        if not idle:
            return False
        longest = min(idle, key=lambda one: one.waits_since or 0.0)
        # It does not count any more, though its end takes a turn of the loop.
        del self._connections[longest]
        longest.scope.cancel()
        return True

    async def _answer(self, exchange: Exchange) -> Answer | Upgrade:
        answer = await self._ask(exchange)
        if isinstance(answer, Upgrade) and sum(one.is_upgraded for one in self._connections) >= self._websockets:
            words = f"{self._websockets} websockets are open, which is the limit"
            raise Refusal(503, words, "close one of them, such as a page in another tab")
        return answer

    async def _serve_connection(self, connection: HttpConnection) -> None:
        try:
            await connection.serve()
        except Exception:
            # Also an ExceptionGroup, in which a nursery wraps whatever escaped from its trio tasks.
            log.exception("a connection from %s:%d failed; the others go on", *connection.remote)
        finally:
            self._connections.pop(connection, None)
            self._one_closed.set()
