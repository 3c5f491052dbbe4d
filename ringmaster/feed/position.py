"""Where one subscriber is in one source, and the next message for it: the shared one, or one made from the file."""

from __future__ import annotations

import msgspec
import trio

from ringmaster.feed.cursor import Source
from ringmaster.feed.reader import LONGEST_BYTES, PIECE_BYTES, Reader, Renderer, encode_end, encode_message
from ringmaster.output import files
from ringmaster.proc.job import is_held
from ringmaster.protocol.feed import Gap, Unreadable

BLOCK_BYTES = 256 * 1024
"""What is read at once for who is behind: a thread for it costs more than the reading."""
BEHIND_BYTES = 16 * 1024 * 1024
"""How far behind output may be that a subscriber was once up to date with, before it is left out."""


class Piece(msgspec.Struct, frozen=True):
    """A message for one subscriber. is_end: nothing follows of its source."""

    text: str
    is_end: bool = False


class Position:
    """Where a subscriber is in a source. is_ended: it has been told that the job has ended.

    Only what lies before `offset` was given out.
    """

    def __init__(self, reader: Reader, offset: int, *, is_ended: bool) -> None:
        self.reader = reader
        self.offset = offset
        self.is_ended = is_ended
        self._was_live = False
        self._renderer: Renderer | None = None
        self._block = b""
        self._block_at = 0

    @property
    def source(self) -> Source:
        """Which source."""
        return self.reader.source

    def find_gap(self) -> Gap | None:
        """What is left out where the subscriber is too far behind; the position is then behind the gap."""
        reader = self.reader
        if not self._was_live:
            return None
        size = reader.extent()
        if size - self.offset <= BEHIND_BYTES:
            return None
        if size - reader.end > BEHIND_BYTES // 2:
            # It has waited for this one, or for others who are as far behind.
            reader.skip_to_end()
        if reader.start <= self.offset:
            return None
        attempt_id, job, output = self.source
        gap = Gap(attempt_id=attempt_id, job=job, output=output, offset=self.offset, next_offset=reader.start)
        self.offset = reader.start
        self._leave_file()
        return gap

    def find_failure(self) -> str:
        """Why nothing more can be read though there is more, or may be; '' where there is no more. Blocking, shortly.

        Raises OSError.
        """
        reader = self.reader
        if not reader.is_complete:
            return ""
        directory = reader.origin.directory
        if reader.size() > self.offset or (is_held(directory / "lock") and not files.has_ended(directory)):
            return "its reader has failed; the daemon's log says why"
        return ""

    def is_gone(self) -> bool:
        """Whether what was never read was taken by a clean-up. Blocking, shortly."""
        return self.offset == 0 and files.is_removed(self.reader.origin.directory)

    def unreadable(self, reason: str) -> str:
        """The message that says that nothing more can be read, and why."""
        attempt_id, job, output = self.source
        said = Unreadable(attempt_id=attempt_id, job=job, output=output, offset=self.offset, reason=reason)
        return msgspec.json.encode(said).decode()

    async def next_piece(self) -> Piece | None:
        """The next message, None when there is nothing now. Its bytes count as given out."""
        reader = self.reader
        if not reader.is_ready:
            return None
        chunk = reader.chunk_at(self.offset)
        if chunk is not None:
            self._leave_file()
            self._was_live = True
            self.offset = chunk.next_offset
            reader.expect(self.offset)
            return Piece(chunk.text)
        if self.offset < reader.end:
            return await self._read_behind()
        if reader.is_complete and self.is_ended:
            return Piece(encode_end(self.source, self.offset), is_end=True)
        self._was_live = True
        reader.expect(self.offset)
        return None

    def _leave_file(self) -> None:
        self._renderer = None
        self._block = b""

    async def _read_behind(self) -> Piece:
        """What lies before the chunks that are kept, or in the rest of one of them, from the file."""
        reader = self.reader
        offset = self.offset
        around = reader.chunk_around(offset)
        boundary = around.next_offset if around is not None else max(reader.start, offset)
        if boundary == offset:
            # The reader let go of what it kept while this was under way, or begins behind: its end is a line's start.
            boundary = reader.end
        renderer = self._renderer
        if renderer is None:
            renderer = self._renderer = await trio.to_thread.run_sync(reader.make_renderer, offset)
        count = PIECE_BYTES
        while True:
            data = await self._read(offset, min(count, boundary - offset))
            is_last = offset + len(data) >= boundary or len(data) < min(count, boundary - offset)
            rendered = renderer.take(data, is_last=is_last)
            if rendered.length or is_last:
                break
            count = min(count * 4, LONGEST_BYTES + PIECE_BYTES)
        # A file that has become shorter than what was read of it before: its end is here.
        length = rendered.length or boundary - offset
        self.offset = offset + length
        is_partial = rendered.length > 0 and not data[: rendered.length].endswith(b"\n")
        return Piece(encode_message(self.source, offset, self.offset, rendered, is_partial=is_partial))

    async def _read(self, offset: int, count: int) -> bytes:
        start = offset - self._block_at
        if not 0 <= start <= len(self._block) - count:
            size = max(BLOCK_BYTES, count)
            self._block = await trio.to_thread.run_sync(self.reader.read, offset, size)
            self._block_at, start = offset, 0
        return self._block[start : start + count]
