"""Bytes to lines, without I/O: one document a line, each line bounded.

A line that is too long is reported once and skipped up to its newline, so that the connection can go on.
Closing it instead would lose the answer: a client that is still writing gets a broken pipe and never reads
why.
"""

from __future__ import annotations

from ringmaster.protocol.codes import MAX_LINE_BYTES


class Overlong:
    """Stands in the place of a line that was longer than the bound. limit: that bound, in bytes."""

    __slots__ = ("limit",)

    def __init__(self, limit: int) -> None:
        self.limit = limit


class LineReader:
    """Cuts a stream of bytes into lines. Holds at most one partial line of `max_line` bytes."""

    __slots__ = ("_is_skipping", "_max_line", "_partial")

    def __init__(self, max_line: int = MAX_LINE_BYTES) -> None:
        self._max_line = max_line
        self._partial = bytearray()
        self._is_skipping = False

    @property
    def has_partial(self) -> bool:
        """Whether the bytes so far end within a line that has not been reported."""
        return bool(self._partial)

    @property
    def partial(self) -> bytes:
        """What was read of the line that has no end yet."""
        return bytes(self._partial)

    @property
    def is_skipping(self) -> bool:
        """Whether that line is an overlong one, reported already."""
        return self._is_skipping

    def go_on(self, partial: bytes, is_skipping: bool) -> None:
        """Begin where another reader was, in the middle of a line."""
        self._partial[:] = partial
        self._is_skipping = is_skipping

    def feed(self, data: bytes) -> list[bytes | Overlong]:
        """Take what was read; return the lines it finished, without their newline, blank ones left out.

        An overlong line appears as `Overlong` as soon as it is known to be one.
        """
        if not self._partial and not self._is_skipping and data.find(b"\n") == len(data) - 1:
            # One whole line and nothing else: the usual read of a client that waits for each answer.
            line = data[:-1]
            if len(line) <= self._max_line:
                return [line] if line.strip() else []
        return self._cut(data)

    def _cut(self, data: bytes) -> list[bytes | Overlong]:
        lines: list[bytes | Overlong] = []
        pieces = data.split(b"\n")
        last = len(pieces) - 1
        for number, piece in enumerate(pieces):
            if self._is_skipping:
                self._is_skipping = number == last
                continue
            if len(self._partial) + len(piece) > self._max_line:
                lines.append(Overlong(self._max_line))
                self._partial.clear()
                self._is_skipping = number == last
                continue
            if number == last:
                self._partial += piece
            elif self._partial:
                self._partial += piece
                line = bytes(self._partial)
                self._partial.clear()
                if line.strip():
                    lines.append(line)
            elif piece.strip():
                lines.append(piece)
        return lines
