"""Text that was changed here and there, and where each of its characters came from."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate, chain


class Traced:
    """A text made from a source, each match of `pattern` become `width` characters: 0 or 1. Positions are those of
    characters.

    text: what was made. The matches are looked for only when somebody asks where a character came from: nearly
    always nobody does, and text that is meant to keep us busy has one in every second character.
    """

    __slots__ = ("_ends", "_made", "_pattern", "_source", "_starts", "_width", "text")

    def __init__(self, source: str, pattern: re.Pattern[str], text: str, width: int = 0) -> None:
        self.text = text
        self._source = source
        self._pattern = pattern
        self._width = width
        self._made: list[int] | None = None

    @property
    def source_length(self) -> int:
        """How long the source is."""
        return len(self._source)

    def start_of(self, position: int) -> int:
        """Where in the source the character at `position` begins; its end for the end of the text."""
        if position >= len(self.text):
            return len(self._source)
        made = self._find()
        last = bisect_right(made, position) - 1
        if last < 0:
            return position
        behind = position - made[last] - self._width
        return self._starts[last] if behind < 0 else self._ends[last] + behind

    def end_of(self, position: int) -> int:
        """Where in the source the character before `position` ends."""
        if position <= 0:
            return 0
        made = self._find()
        last = bisect_right(made, position - 1) - 1
        if last < 0:
            return position
        return self._ends[last] + max(0, position - made[last] - self._width)

    def position_of(self, source: int) -> int:
        """Where in the text what lies at `source` or after it begins."""
        made = self._find()
        last = bisect_right(self._starts, source) - 1
        if last < 0:
            return source
        if source == self._starts[last]:
            return made[last]
        return made[last] + self._width + max(0, source - self._ends[last])

    def _find(self) -> list[int]:
        """Where in the text each match was put."""
        if self._made is None:
            spans = (
                [] if self.text is self._source else [found.span() for found in self._pattern.finditer(self._source)]
            )
            self._starts = [start for start, _ in spans]
            self._ends = [end for _, end in spans]
            gone = accumulate(chain((0,), (end - start - self._width for start, end in spans)))
            self._made = [start - before for start, before in zip(self._starts, gone, strict=False)]
        return self._made
