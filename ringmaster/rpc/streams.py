"""Notifications that follow an answer, on the same connection, with back-pressure, until told to stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import STREAM_ENDED
from ringmaster.protocol.jsonrpc import Fault, encode_notification, error_object
from ringmaster.rpc.dispatch import Streaming, fault_of, rest_of
from ringmaster.rpc.handoff import HandedStream


class Follower(msgspec.Struct, eq=False):
    """A stream, from when its call was carried out.

    method, params: the call that would begin it where it is now; params None: all of it was sent. note: see
    `Stream.resume_at`. streaming: None where another image began it, so that its handler has to be called again.
    """

    subscription: int
    method: str
    params: object
    streaming: Streaming[Any] | None
    note: str = ""
    scope: trio.CancelScope = msgspec.field(default_factory=trio.CancelScope)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left but to say that it has ended."""
        return self.params is None or self.scope.cancel_called

    def to_handed(self) -> HandedStream:
        """As another image goes on with it."""
        return HandedStream(
            subscription=self.subscription,
            method=self.method,
            params=msgspec.json.encode(self.params),
            note=self.note,
        )


def make_follower(handed: HandedStream) -> Follower:
    """A stream that another image began."""
    return Follower(handed.subscription, handed.method, msgspec.Raw(handed.params), None, handed.note)


class Stream:
    """The way a producer sends notifications. See `Streaming`."""

    __slots__ = ("_follower", "_notification", "_write")

    def __init__(self, write: Callable[[bytes], Awaitable[None]], notification: str, follower: Follower) -> None:
        self._write = write
        self._notification = notification
        self._follower = follower

    @property
    def subscription(self) -> int:
        """Its number."""
        return self._follower.subscription

    @property
    def note(self) -> str:
        """What an earlier image noted beside the params that it went on from; '' where this one began it."""
        return self._follower.note

    def resume_at(self, params: msgspec.Struct | None, note: str = "") -> None:
        """Say with which params of its method the stream goes on in another image, after what is sent *next*.

        So call it right before `send`, with no checkpoint between: what `send` was given counts as sent once it
        has been called, also when it is cancelled in its wait. Without this the stream goes on from what
        `reserve_subscription` was given. params: None when nothing comes after. note: for what the params cannot say.
        """
        self._follower.params = params
        self._follower.note = note

    async def send(self, *items: object) -> None:
        """Send a notification {subscription, item} for each item, in one write.

        Waits while the client has not taken what was sent before: the back-pressure of the stream.
        Cancelled in that wait, the items still go out whole, unless the connection itself is closing.
        """
        number = self._follower.subscription
        lines = [encode_notification(self._notification, {"subscription": number, "item": item}) for item in items]
        await self._write(b"".join(lines))


class Streams:
    """The streams of one connection. write: queue lines and wait until the client keeps up.

    begin_again: call the handler of a stream that another image began. Raises what the handler does, and `Fault`.
    """

    def __init__(
        self,
        limit: int,
        write: Callable[[bytes], Awaitable[None]],
        begin_again: Callable[[Follower], Awaitable[Streaming[Any]]],
    ) -> None:
        self._limit = limit
        self._write = write
        self._begin_again = begin_again
        self._open: dict[int, Follower] = {}
        self._beginnings: dict[int, msgspec.Struct] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def reserve(self, beginning: msgspec.Struct | None = None) -> int:
        """A number no other stream of the connection has had. Raises `RingmasterError` at the limit."""
        if len(self._open) >= self._limit:
            raise RingmasterError(
                ErrorKind.REFUSED,
                f"this connection has {len(self._open)} streams open, which is the limit",
                "end one, or open another connection",
            )
        self._last += 1
        if beginning is not None:
            self._beginnings[self._last] = beginning
        return self._last

    def make_follower(self, streaming: Streaming[Any], method: str, params: object) -> Follower:
        """The stream that a call of `method` with `params` was answered with."""
        number = streaming.subscription
        return Follower(number, method, self._beginnings.pop(number, params), streaming)

    def end(self, subscription: int) -> bool:
        """Cancel a stream; its client is told that it is over. False: it is already."""
        follower = self._open.get(subscription)
        if follower is None:
            return False
        follower.scope.cancel()
        return True

    def begin(self, nursery: trio.Nursery, follower: Follower) -> None:
        """Run a stream in `nursery`."""
        self._open[follower.subscription] = follower
        nursery.start_soon(self._run, follower)

    def take_over(self, last: int, followers: list[Follower]) -> None:
        """Know the streams of another image; `begin_taken` runs them. last: the newest number it gave."""
        self._last = last
        self._open.update((follower.subscription, follower) for follower in followers)

    def begin_taken(self, nursery: trio.Nursery) -> None:
        """Run what was taken over."""
        for follower in self._open.values():
            nursery.start_soon(self._run, follower)

    def hand_over(self) -> tuple[int, list[HandedStream], list[bytes]]:
        """The newest number, the streams that go on elsewhere, and what the clients of the others are still told."""
        going_on = [follower.to_handed() for follower in self._open.values() if not follower.is_over]
        over = [_ended(number) for number, follower in self._open.items() if follower.is_over]
        return self._last, going_on, over

    async def _run(self, follower: Follower) -> None:
        fault: Fault | None = None
        name = f"the stream of {follower.method}"
        try:
            with follower.scope:
                streaming = follower.streaming or await self._begin_again(follower)
                await streaming.produce(Stream(self._write, streaming.notification, follower))
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            fault = fault_of(error, name)
        except BaseExceptionGroup as group:
            if (rest := rest_of(group)) is not None:
                fault_of(rest, name)
            raise
        finally:
            del self._open[follower.subscription]
        await self._write(_ended(follower.subscription, fault))


def _ended(subscription: int, fault: Fault | None = None) -> bytes:
    ended = {"subscription": subscription, "error": None if fault is None else error_object(fault)}
    return encode_notification(STREAM_ENDED, ended)
