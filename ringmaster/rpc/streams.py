"""Notifications that follow an answer, on the same connection, with back-pressure, until told to stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import STREAM_ENDED
from ringmaster.protocol.jsonrpc import Fault, encode_notification, error_object
from ringmaster.rpc.dispatch import Streaming, fault_of, rest_of


class Stream:
    """The way a producer sends notifications. See `Streaming`."""

    __slots__ = ("_notification", "_write", "subscription")

    def __init__(self, write: Callable[[bytes], Awaitable[None]], notification: str, subscription: int) -> None:
        self._write = write
        self._notification = notification
        self.subscription = subscription

    async def send(self, *items: object) -> None:
        """Send a notification {subscription, item} for each item, in one write.

        Waits while the client has not taken what was sent before: the back-pressure of the stream.
        Cancelled in that wait, the items still go out whole, unless the connection itself is closing.
        """
        number = self.subscription
        lines = [encode_notification(self._notification, {"subscription": number, "item": item}) for item in items]
        await self._write(b"".join(lines))


class Streams:
    """The streams of one connection. write: queue lines and wait until the client keeps up."""

    def __init__(self, limit: int, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._limit = limit
        self._write = write
        self._scopes: dict[int, trio.CancelScope] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._scopes)

    def reserve(self) -> int:
        """A number no other stream of the connection has had. Raises `RingmasterError` at the limit."""
        if len(self._scopes) >= self._limit:
            raise RingmasterError(
                ErrorKind.REFUSED,
                f"this connection has {len(self._scopes)} streams open, which is the limit",
                "end one, or open another connection",
            )
        self._last += 1
        return self._last

    def end(self, subscription: int) -> bool:
        """Cancel a stream; its client is told that it is over. False: it is already."""
        scope = self._scopes.get(subscription)
        if scope is None:
            return False
        scope.cancel()
        return True

    def begin(self, nursery: trio.Nursery, streaming: Streaming[Any]) -> None:
        """Run a stream in `nursery`."""
        scope = self._scopes[streaming.subscription] = trio.CancelScope()
        nursery.start_soon(self._run, streaming, scope)

    async def _run(self, streaming: Streaming[Any], scope: trio.CancelScope) -> None:
        fault: Fault | None = None
        name = f"the stream of {streaming.notification}"
        number = streaming.subscription
        try:
            with scope:
                await streaming.produce(Stream(self._write, streaming.notification, number))
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            fault = fault_of(error, name)
        except BaseExceptionGroup as group:
            if (rest := rest_of(group)) is not None:
                fault_of(rest, name)
            raise
        finally:
            del self._scopes[number]
        ended = {"subscription": number, "error": None if fault is None else error_object(fault)}
        await self._write(encode_notification(STREAM_ENDED, ended))
