"""Follow a file that grows: exact offsets, whole lines, no byte twice."""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import trio

from ringmaster.proc.inotify import Changes, Watcher

CHUNK_BYTES = 65536
LINE_BYTES = 8 * 1024 * 1024
READ_INLINE_BYTES = 65536


class Chunk(msgspec.Struct, frozen=True):
    """Bytes of the file at `offset`."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """Offset of the byte after: where to go on."""
        return self.offset + len(self.data)


class Line(msgspec.Struct, frozen=True):
    """One line without its newline. `end` is where to go on.

    is_complete: a newline ended it. False for what stood after the last one when the job ended, and
    for each part but the last of a line over the bound.
    """

    offset: int
    data: bytes
    end: int
    is_complete: bool


Item = TypeVar("Item")


class _Iterator(Generic[Item]):
    """`async for` over a function that gives None at the end."""

    def __init__(self, give_next: Callable[[], Awaitable[Item | None]]) -> None:
        self._give_next = give_next

    def __aiter__(self) -> _Iterator[Item]:
        return self

    async def __anext__(self) -> Item:
        item = await self._give_next()
        if item is None:
            raise StopAsyncIteration
        return item


class Tail:
    """One reader of one file. Made by `open_tail`. Read it either by chunks or by lines.

    A file that is not there yet counts as empty. Reading goes on until `ended` is set and all is read.
    Cancellation loses nothing: the next call goes on where the last one ended.
    """

    def __init__(self, path: Path, offset: int, ended: trio.Event, changes: Changes) -> None:
        self._path = path
        self._fd = -1
        self._offset = offset
        self._ended = ended
        self._changes = changes
        self._rest = bytearray()

    # Objects and not async generators: whoever stops half-way has nothing to close.
    def chunks(self) -> AsyncIterator[Chunk]:
        """Iterate over `next_chunk`."""
        return _Iterator(self.next_chunk)

    def lines(self) -> AsyncIterator[Line]:
        """Iterate over `next_line`."""
        return _Iterator(self.next_line)

    async def next_chunk(self, chunk_bytes: int = CHUNK_BYTES) -> Chunk | None:
        """What is there from the offset on, as soon as there is any; None at the end."""
        while True:
            # Asked before reading: what was written before the end was told is read after it.
            is_last = self._ended.is_set()
            data = self._read(chunk_bytes)
            if data:
                # Before the offset moves: a cancellation here must not lose what was read.
                await trio.lowlevel.checkpoint()
                chunk = Chunk(self._offset, data)
                self._offset = chunk.end
                return chunk
            if is_last:
                return None
            await self._changes.wait()

    async def next_line(self, line_bytes: int = LINE_BYTES) -> Line | None:
        """The next line, or the next part of one that is longer than `line_bytes`; None at the end."""
        searched = 0
        while (newline := self._rest.find(b"\n", searched, line_bytes + 1)) < 0 and len(self._rest) <= line_bytes:
            searched = len(self._rest)
            chunk = await self.next_chunk()
            if chunk is None:
                break
            self._rest += chunk.data
        if newline >= 0:
            return self._take(newline, is_complete=True)
        if self._rest:
            return self._take(min(len(self._rest), line_bytes), is_complete=False)
        return None

    def _take(self, count: int, *, is_complete: bool) -> Line:
        start = self._offset - len(self._rest)
        data = bytes(self._rest[:count])
        del self._rest[: count + is_complete]
        return Line(start, data, start + count + is_complete, is_complete)

    def _read(self, count: int) -> bytes:
        # On the loop: a page that was just written is in memory, and a thread costs more than the copy.
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        return os.pread(self._fd, min(count, READ_INLINE_BYTES), self._offset)

    def close(self) -> None:
        """Close the descriptor. `open_tail` does it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextlib.asynccontextmanager
async def open_tail(path: Path, offset: int, ended: trio.Event, *, watcher: Watcher) -> AsyncIterator[Tail]:
    """Follow `path` from byte `offset`. Set `ended` when its writers are dead (`Job.wait` returned).

    The directory must exist, the file need not. Closing is the block's business.
    """
    with watcher.watch(path.parent) as changes:
        tail = Tail(path, offset, ended, changes)
        try:
            async with trio.open_nursery() as nursery:

                async def wake_at_end() -> None:
                    await ended.wait()
                    changes.notify()

                nursery.start_soon(wake_at_end)
                yield tail
                nursery.cancel_scope.cancel()
        finally:
            tail.close()


class Mark(msgspec.Struct, frozen=True):
    """One line of a job's index: how much output there was at that time."""

    at: float
    stdout: int
    stderr: int


def read_index(path: Path) -> list[Mark]:
    """The index of a job, oldest first; empty where there is none. A torn last line is left out."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    marks = []
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        at, stdout, stderr = line.split()
        marks.append(Mark(float(at), int(stdout), int(stderr)))
    return marks


def offset_at(index: Path, since: float, stream: str = "stdout") -> int:
    """Offset in `stdout` or `stderr` from which everything written after `since` (unix time) is found.

    Up to a second too early, never too late.
    """
    marks = read_index(index)
    position = bisect.bisect_right(marks, since, key=lambda mark: mark.at)
    if position == 0:
        return 0
    mark = marks[position - 1]
    return mark.stdout if stream == "stdout" else mark.stderr
