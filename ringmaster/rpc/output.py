"""What is to be written to one connection: gathered, and sent in as few calls as can be without waiting."""

from __future__ import annotations

import socket

import trio


class Output:
    """Lines on their way to a non-blocking socket."""

    __slots__ = ("_drained", "_lines", "_socket", "_unsent", "sent_bytes", "size")

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lines: list[bytes] = []
        self._unsent = bytearray()
        self._drained = trio.Event()
        self._drained.set()
        self.size = 0
        self.sent_bytes = 0

    @property
    def is_blocked(self) -> bool:
        """Whether the peer has not taken what was offered last."""
        return bool(self._unsent)

    def append(self, line: bytes) -> None:
        """Queue a line for the next flush."""
        self._lines.append(line)
        self.size += len(line)

    def flush(self) -> None:
        """Send what the socket takes now. Raises OSError when the peer is gone."""
        if self._unsent:
            self._unsent += b"".join(self._lines)
            self._lines.clear()
            sent = self._send(self._unsent)
            del self._unsent[:sent]
        elif self._lines:
            data = self._lines[0] if len(self._lines) == 1 else b"".join(self._lines)
            self._lines.clear()
            sent = self._send(data)
            if sent < len(data):
                self._unsent += memoryview(data)[sent:]
        if not self.size and not self._drained.is_set():
            self._drained.set()

    async def wait_drained(self) -> None:
        """Wait until everything was sent or dropped; a plain checkpoint when there is nothing."""
        if self.size and self._drained.is_set():
            self._drained = trio.Event()
        await self._drained.wait()

    async def wait_stalled(self, stall_s: float) -> bool:
        """Wait until the peer has taken not a byte for so long. False: nothing is held back by it any more."""
        while self.is_blocked:
            before = self.sent_bytes
            with trio.move_on_after(stall_s):
                await self.wait_drained()
            if self.is_blocked and self.sent_bytes == before:
                return True
        return False

    def take(self) -> bytes:
        """Everything that was not sent, in order, which is now somebody else's to send."""
        data = bytes(self._unsent) + b"".join(self._lines)
        self.drop()
        return data

    def drop(self) -> None:
        """Forget everything: nobody is left to read it."""
        self._lines.clear()
        self._unsent.clear()
        self.size = 0
        self._drained.set()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            sent = self._socket.send(data, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return 0
        self.size -= sent
        self.sent_bytes += sent
        return sent
