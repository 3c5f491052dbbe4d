"""A connection whose first bytes were read by somebody else, and that takes only so much from its client."""

from __future__ import annotations

import trio

UNFINISHED_BYTES = 8 * 1024 * 1024
"""What a client may send without finishing a message: empty continuation frames have no size to bound them by."""


class Replayed(trio.abc.Stream):
    """`stream` with `head` before what it receives. Closing it closes the stream."""

    def __init__(self, stream: trio.abc.Stream, head: bytes) -> None:
        self._stream = stream
        self._head = head
        self._taken = 0
        self.is_writing = False

    def finish(self) -> None:
        """A message was complete."""
        self._taken = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As of a stream; ends the connection where a client sends on and on and says nothing."""
        if self._head:
            await trio.lowlevel.checkpoint()
            count = len(self._head) if max_bytes is None else max_bytes
            head, self._head = self._head[:count], self._head[count:]
            return head
        data = await self._stream.receive_some(max_bytes)
        self._taken += len(data)
        if self._taken > UNFINISHED_BYTES:
            raise trio.BrokenResourceError("the client finishes no message")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As of a stream. Cancelled half-way `is_writing` stays true: nothing can follow half a frame."""
        self.is_writing = True
        await self._stream.send_all(data)
        self.is_writing = False

    async def wait_send_all_might_not_block(self) -> None:
        """As of a stream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
