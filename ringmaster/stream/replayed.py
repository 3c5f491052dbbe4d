"""A connection whose first bytes were read by somebody else, and that takes only so much from its client."""

from __future__ import annotations

import struct

import trio

UNFINISHED_BYTES = 8 * 1024 * 1024
"""What a client may send without finishing a message: empty continuation frames have no size to bound them by."""
LINGER_S = 0.2
LINGER_BYTES = 1024 * 1024
"""How long, and of how much, what still comes is thrown away once all has been said."""


CLOSE_FRAME = 0x88


class Replayed(trio.abc.Stream):
    """`stream` with `head` before what it receives. Once closed it takes and gives nothing; `stream` stays open, for a
    last word and the caller to close.

    writing_since: monotonic time since when bytes are on their way; None where none are. is_end_said: a close frame
    has gone out.
    """

    def __init__(self, stream: trio.abc.HalfCloseableStream, head: bytes) -> None:
        self._stream = stream
        self._head = head
        self._taken = 0
        self._is_closed = False
        self.is_end_said = False
        self.writing_since: float | None = None

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
        if self._is_closed:
            await trio.lowlevel.checkpoint()
            raise trio.ClosedResourceError
        data = await self._stream.receive_some(max_bytes)
        self._taken += len(data)
        if self._taken > UNFINISHED_BYTES:
            raise trio.BrokenResourceError("the client finishes no message")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As of a stream. Cancelled half-way `writing_since` stays: nothing can follow half a frame."""
        if self._is_closed:
            await trio.lowlevel.checkpoint()
            raise trio.ClosedResourceError
        await self._send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As of a stream."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Take and give nothing any more."""
        await trio.lowlevel.checkpoint()
        self._is_closed = True

    async def say_end(self, code: int, reason: str) -> None:
        """Send a close frame, also when closed. Raises BrokenResourceError where the client has gone."""
        payload = struct.pack("!H", code) + reason.encode()
        await self._send(bytes((CLOSE_FRAME, len(payload))) + payload)

    async def linger(self) -> None:
        """Throw away what still comes, for a moment: a connection that is closed over unread input is reset by the
        kernel, and the word about its end is lost with it."""
        thrown = 0
        with trio.move_on_after(LINGER_S):
            try:
                await self._stream.send_eof()
                while thrown < LINGER_BYTES and (data := await self._stream.receive_some(65536)):
                    thrown += len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        self.writing_since = trio.current_time()
        await self._stream.send_all(data)
        self.writing_since = None
        self.is_end_said = data[0] == CLOSE_FRAME
