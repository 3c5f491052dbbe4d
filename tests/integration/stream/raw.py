"""A client of the websocket that sends whatever bytes it likes, and reads frames as they are (RFC 6455, 5.2)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio

MASK = b"\x01\x02\x03\x04"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
UPGRADE = (
    b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
SUBSCRIBE = b'{"kind": "subscribe"}'


class Frame(NamedTuple):
    """One frame of the daemon's."""

    first: int
    payload: bytes

    @property
    def closing(self) -> tuple[int, str]:
        """Code and reason of a close frame."""
        assert self.first == 0x80 | CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0], self.payload[2:].decode()


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True, flags: int = 0, is_masked: bool = True) -> bytes:
    """The bytes of one frame. flags: the reserved bits, in their place."""
    size = len(payload)
    mark = 0x80 if is_masked else 0
    head = bytes([(0x80 if is_last else 0) | flags | opcode])
    if size < 126:
        head += bytes([mark | size])
    elif size < 1 << 16:
        head += bytes([mark | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mark | 127]) + struct.pack("!Q", size)
    if not is_masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


class RawClient:
    """A connection after its upgrade. head: what was answered to that."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.head = b""
        self._read = b""

    async def send(self, *frames: bytes) -> None:
        """Send them together."""
        await self.stream.send_all(b"".join(frames))

    async def next_frame(self) -> Frame:
        """The next frame. Raises EOFError when the connection ends, ConnectionError when it is reset."""
        first, length = await self._take(2)
        assert not length & 0x80, "a server does not mask"
        if length == 126:
            [length] = struct.unpack("!H", await self._take(2))
        elif length == 127:
            [length] = struct.unpack("!Q", await self._take(8))
        return Frame(first, await self._take(length))

    async def closing(self) -> tuple[int, str]:
        """Code and reason of the close frame, after whatever comes before it; and that nothing comes behind it."""
        while (found := await self.next_frame()).first != 0x80 | CLOSE:
            pass
        assert await self.is_at_end()
        return found.closing

    async def is_at_end(self) -> bool:
        """Whether the daemon has nothing more to say, and says so."""
        try:
            await self._take(1)
        except EOFError:
            return True
        return False

    async def open(self) -> None:
        """Ask for the upgrade."""
        await self.stream.send_all(UPGRADE)
        while b"\r\n\r\n" not in self._read:
            self._read += await self._receive()
        self.head, _, self._read = self._read.partition(b"\r\n\r\n")

    async def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            self._read += await self._receive()
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    async def _receive(self) -> bytes:
        with trio.fail_after(10):
            data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError
        return bytes(data)


@asynccontextmanager
async def open_raw(number: int) -> AsyncIterator[RawClient]:
    """A client of a port, upgraded."""
    async with await trio.open_tcp_stream("127.0.0.1", number) as stream:
        client = RawClient(stream)
        await client.open()
        yield client
