"""A connected socket that sends and receives lines, each wait bounded by one deadline."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from ringmaster.client.interrupts import Interrupts
from ringmaster.client.reach import unreachable
from ringmaster.model.errors import ErrorKind, RingmasterError

RECEIVE_BYTES = 65536


class Lost(RingmasterError):
    """The connection ended before the answer came. Whether the request was carried out is not known."""

    def __init__(self) -> None:
        super().__init__(
            ErrorKind.UNREACHABLE,
            "the daemon closed the connection before it answered",
            "look whether it was done before you repeat it; with --idempotency-key a repeat is safe",
        )


OnWait = Callable[[], "float | None"]
"""Called while an answer is waited for; says in how many seconds it wants to be called again, None for not again."""


def _never() -> None:
    """Nothing to do while one waits."""


class Transport:
    """One connection. Close it, or use it as a context manager.

    on_wait: called while a line is waited for. interrupts: looked at then.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.on_wait: OnWait | None = None
        self.interrupts: Interrupts | None = None
        self._socket = connection
        self._received = bytearray()

    @classmethod
    def connect(cls, path: str, name: str, timeout_s: float | None) -> Transport:
        """Connect to the daemon's socket. Raises `RingmasterError` that says how it cannot be reached."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise unreachable(path, name, error) from None
        return cls(connection)

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor, for `select`."""
        return self._socket.fileno()

    def send(self, data: bytes, deadline: float | None) -> None:
        """Send whole lines. deadline: on `time.monotonic`'s clock; None waits for ever."""
        self._socket.settimeout(_left(deadline))
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise _timed_out() from None
        except OSError:
            # The daemon may have said why before it hung up: what it sent can still be read.
            if not self._received:
                raise Lost from None

    def receive(self, deadline: float | None) -> bytes:
        """The next line, without its newline."""
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                return line
            self._fill(deadline)

    def _fill(self, deadline: float | None) -> None:
        if self.on_wait is not None or self.interrupts is not None:
            self._wait(self.on_wait or _never, deadline)
        # A partial line is searched again from its start at each read; at 64 KB a read and 4 MB a line that
        # is 64 short searches.
        self._socket.settimeout(_left(deadline))
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError:
            raise _timed_out() from None
        except OSError:
            raise Lost from None
        if not data:
            raise Lost
        self._received += data

    def _wait(self, on_wait: OnWait, deadline: float | None) -> None:
        """Until there is something to read, or the deadline is over, which the read after it then finds."""
        readable = select.poll()
        readable.register(self._socket, select.POLLIN)
        interrupts = self.interrupts
        if interrupts is not None:
            readable.register(interrupts, select.POLLIN)
        while True:
            pause_s = on_wait()
            left_s = None if deadline is None else max(0.0, deadline - monotonic())
            waits = [wait_s for wait_s in (pause_s, left_s) if wait_s is not None]
            found = [fd for fd, _ in readable.poll(math.ceil(min(waits) * 1000) if waits else None)]
            if interrupts is not None and interrupts.fileno() in found:
                interrupts.take()
            if self._socket.fileno() in found or left_s == 0.0:
                return

    def exchange(self, lines: Sequence[bytes], deadline: float | None) -> Iterator[bytes]:
        """Send all lines while receiving, and yield as many as come back: one for each.

        Sending first and reading afterwards would hang once both directions are full.
        """
        unsent = memoryview(b"".join(lines))
        expected = len(lines)
        while expected:
            if unsent:
                self._socket.setblocking(False)
                wait_s = _left(deadline)
                readable, writable, _ = select.select([self], [self], [], wait_s)
                if not readable and not writable:
                    raise _timed_out()
                if writable:
                    try:
                        unsent = unsent[self._socket.send(unsent[:RECEIVE_BYTES]) :]
                    except BlockingIOError:
                        pass
                    except OSError:
                        raise Lost from None
                if readable:
                    self._fill(deadline)
            while expected and (not unsent or b"\n" in self._received):
                yield self.receive(deadline)
                expected -= 1


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - monotonic()
    if left <= 0:
        raise _timed_out()
    return left


def _timed_out() -> RingmasterError:
    return RingmasterError(ErrorKind.TIMED_OUT, "the daemon did not answer in time", "give it more with --timeout S")
