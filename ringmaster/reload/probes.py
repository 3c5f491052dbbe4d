"""What a daemon asks of itself to know that it is well: an answer over its own socket, a write that is durable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.measure import Measured
from ringmaster.reload.meter import Meter
from ringmaster.store.instance import note_alive
from ringmaster.store.interface import Done, Store

QUESTION = b'{"jsonrpc":"2.0","id":"probe","method":"daemon.health"}\n'
"""Asks memory alone, so that what is measured is the way to an answer. Meters leave it out of their totals."""
ANSWER_BYTES = 65536
ASKED_TIMES = 3


class NotWell(Exception):
    """A probe failed, and why, in words."""


async def call_itself(socket: Path) -> None:
    """Ask over a connection of its own and wait for the answer; bound it.

    Cancelled, it hangs up.

    Raises:
        NotWell: nobody listens, the connection was closed without an answer, or the answer was an error.
    """
    answer = b""
    try:
        stream = await trio.open_unix_socket(str(socket))
        async with stream:
            await stream.send_all(QUESTION)
            while b"\n" not in answer and len(answer) < ANSWER_BYTES:
                some = await stream.receive_some()
                if not some:
                    break
                answer += some
    except OSError as error:
        raise NotWell(f"it cannot be reached: {error.strerror or error}") from None
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise NotWell("it hung up on a call to itself") from None
    if b'"result"' not in answer:
        said = answer.decode(errors="replace").strip()
        raise NotWell(f"it answered a call to itself with {said[:200] or 'nothing'}")


class Writing:
    """A durable write under way. It cannot be cancelled, so it is begun and then waited for as long as one likes."""

    def __init__(self, store: Store, generation: int) -> None:
        self._ended = trio.Event()
        self._done: Done[None] | None = None
        store.write_soon(self._end, note_alive, generation)

    def _end(self, done: Done[None]) -> None:
        self._done = done
        self._ended.set()

    async def wait(self) -> bool:
        """Wait until it has ended. False: the disk is full, which is no fault of the code.

        Cancelled, the write goes on.

        Raises:
            NotWell: it failed.
        """
        await self._ended.wait()
        assert self._done is not None
        try:
            self._done.outcome()
        except RingmasterError as error:
            if error.kind is ErrorKind.DISK_FULL:
                return False
            raise NotWell(f"it cannot write: {error.message}") from error
        return True


def read_waited_s() -> float:
    """Seconds that this thread was ready to run and the machine ran others; 0.0 where the kernel does not say."""
    try:
        with open(f"/proc/self/task/{threading.get_native_id()}/schedstat", "rb", buffering=0) as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


async def take_measure(
    meter: Meter, store: Store, socket: Path, generation: int, *, clock: Callable[[], float] = trio.current_time
) -> Measured:
    """What this generation measured so far, with a few calls to itself and writes made for it: `before` of the next.

    Figures that could not be had are 0.0; it is no judgement. Takes some milliseconds; bound it. Cancelled, a write
    that was begun goes on.
    """
    calls, writes = [], []
    for _ in range(ASKED_TIMES):
        try:
            begun_at = clock()
            await call_itself(socket)
            called_at = clock()
            if await Writing(store, generation).wait():
                writes.append(clock() - called_at)
            calls.append(called_at - begun_at)
        except NotWell:
            break
    return msgspec.structs.replace(
        meter.snapshot(),
        own_call_s=_median(calls),
        write_s=_median(writes),
    )


def _median(values: Sequence[float]) -> float:
    """The middle one, 0 of none. The standard library's brings fractions and more into the pause of every switch."""
    return sorted(values)[len(values) // 2] if values else 0.0
