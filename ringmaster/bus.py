"""In-process publish and subscribe. Nobody who listens slowly can hold up who speaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec
import trio

T = TypeVar("T")

SUBSCRIPTION_CAPACITY = 4096


class Lagged(msgspec.Struct, frozen=True):
    """Stands in a subscription where `missed` messages were dropped: read them again from their source."""

    missed: int


class Wakeup:
    """A condition that is remembered and coalesced: any number of `set` before a `wait` wake it once.

    For one trio task that looks at everything there is to do each time it wakes.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._lot = trio.lowlevel.ParkingLot()

    def set(self) -> None:
        """Wake the waiter, or let its next `wait` return at once. On the loop only; never blocks."""
        self._is_set = True
        self._lot.unpark()

    async def wait(self) -> None:
        """Wait until `set` has been called since the last `wait` returned.

        Always a checkpoint. A cancelled wait leaves the wake-up for the next.
        """
        if self._is_set:
            await trio.lowlevel.checkpoint()
        while not self._is_set:
            await self._lot.park()
        self._is_set = False


class Subscription(Generic[T]):
    """What one subscriber has not read yet. Made by `Bus.open_subscription`; for one reader.

    It is an async iterator over messages and, in the place of what was dropped, `Lagged`. It does
    not end by itself: the reader leaves it.
    """

    def __init__(self, accepts: Callable[[T], bool] | None, capacity: int) -> None:
        self._accepts = accepts
        self._capacity = capacity
        self._messages: deque[T] = deque()
        self._missed = 0
        self._wakeup = Wakeup()

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> T | Lagged:
        """The next message. Always a checkpoint; nothing is lost when it is cancelled."""
        await self._wait()
        if self._missed:
            return self._take_lagged()
        message = self._messages.popleft()
        self._wake_if_any()
        return message

    async def receive_batch(self) -> list[T | Lagged]:
        """All that is there, at least one. Always a checkpoint; nothing is lost when it is cancelled."""
        await self._wait()
        batch: list[T | Lagged] = [self._take_lagged()] if self._missed else []
        batch.extend(self._messages)
        self._messages.clear()
        return batch

    def _wake_if_any(self) -> None:
        if self._messages:
            self._wakeup.set()

    def _take_lagged(self) -> Lagged:
        lagged = Lagged(self._missed)
        self._missed = 0
        self._wake_if_any()
        return lagged

    async def _wait(self) -> None:
        await self._wakeup.wait()
        while not self._messages and not self._missed:
            await self._wakeup.wait()

    def _put(self, messages: Sequence[T]) -> None:
        accepts = self._accepts
        wanted = messages if accepts is None else [message for message in messages if accepts(message)]
        if not wanted:
            return
        if len(self._messages) + len(wanted) > self._capacity:
            # What is older than the gap goes too: after it the reader starts over from its cursor
            # anyway, and dropping the newest would leave a gap that nothing marks.
            self._missed += len(self._messages) + len(wanted)
            self._messages.clear()
        else:
            self._messages.extend(wanted)
        self._wakeup.set()


class Bus(Generic[T]):
    """Hands each published message to every subscription that wants it.

    All of it happens on one loop and without a checkpoint, so all subscribers see the same order.
    """

    def __init__(self) -> None:
        # A dict for its order: subscribers are served in the order in which they came.
        self._subscriptions: dict[Subscription[T], None] = {}

    def publish(self, messages: Sequence[T]) -> None:
        """Hand over `messages` in order. Never blocks; a subscriber that is full is marked as lagged.

        Raises what a subscriber's filter raises.
        """
        for subscription in self._subscriptions:
            subscription._put(messages)

    @contextmanager
    def open_subscription(
        self, accepts: Callable[[T], bool] | None = None, *, capacity: int = SUBSCRIPTION_CAPACITY
    ) -> Iterator[Subscription[T]]:
        """Receive what is published from now on until the block is left.

        accepts: which messages are wanted; pure, fast, and must not raise. By default all.
        capacity: how many unread messages are kept before they are dropped and marked by `Lagged`.
        """
        subscription = Subscription(accepts, capacity)
        self._subscriptions[subscription] = None
        try:
            yield subscription
        finally:
            del self._subscriptions[subscription]
