"""Text that was changed here and there, and where each of its characters came from."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable


class Traced:
    """A text made from a source by substitutions. Positions are those of characters.

    Runs alternate freely between what was taken over (as long as in the source) and what was put in its place.
    """

    __slots__ = ("_made", "_sizes", "_source", "source_length", "text")

    def __init__(self, source: str, pattern: re.Pattern[str], put: Callable[[re.Match[str]], str]) -> None:
        self.source_length = len(source)
        self._made: list[int] = []
        self._source: list[int] = []
        self._sizes: list[tuple[int, int]] = []
        parts: list[str] = []
        at = done = 0
        for found in pattern.finditer(source):
            begin, end = found.span()
            for text, length, is_kept in ((source[done:begin], begin - done, True), (put(found), end - begin, False)):
                if text:
                    self._made.append(at)
                    self._source.append(done if is_kept else begin)
                    self._sizes.append((len(text), 0 if is_kept else length))
                    parts.append(text)
                    at += len(text)
            done = end
        self._made.append(at)
        self._source.append(done)
        self._sizes.append((len(source) - done, 0))
        parts.append(source[done:])
        self.text = "".join(parts)

    def start_of(self, position: int) -> int:
        """Where in the source the character at `position` begins; its end for the end of the text."""
        if position >= len(self.text):
            return self.source_length
        run = bisect_right(self._made, position) - 1
        is_kept = self._sizes[run][1] == 0
        return self._source[run] + (position - self._made[run] if is_kept else 0)

    def end_of(self, position: int) -> int:
        """Where in the source the character before `position` ends."""
        if position <= 0:
            return 0
        run = bisect_right(self._made, position - 1) - 1
        length = self._sizes[run][1]
        return self._source[run] + (length or position - self._made[run])

    def position_of(self, source: int) -> int:
        """Where in the text what lies at `source` or after it begins."""
        run = bisect_right(self._source, source) - 1
        if run < 0:
            return 0
        count, length = self._sizes[run]
        if length:
            return self._made[run] + (count if source > self._source[run] else 0)
        return self._made[run] + min(source - self._source[run], count)
