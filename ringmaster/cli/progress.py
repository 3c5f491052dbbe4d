"""What is under way, told while somebody waits: one line that moves on a terminal, plain lines in a pipe.

A renderer of its own: a library for it would take longer to import than most calls of rmctl take in all.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from ringmaster.cli import terminal

TURN_S = 0.1
"""Between two drawings: ten in a second look alive, and more would only cost."""
QUIET_S = 0.3
"""What is over before is not drawn at all: a line that comes and goes is a flicker."""
PLAIN_S = 1.0
"""A step that takes less is not told in a pipe: it is no long work."""
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ASCII_FRAMES = "|/-\\"
NARROWEST = 8
"""Cells below which nothing is drawn: no word would fit."""


class Progress:
    """Tells what is under way. Draws when told to and at `tick`, never by itself. Close it, or its line stays.

    out: where it is told, which is nobody else's meanwhile. is_drawn: a terminal, whose last line may be written over;
    otherwise each step is a line, once. is_silent: neither, and nothing need be found out to be told. frames: the turns
    of the spinner. columns: asked at each drawing, because a window changes. clock: monotonic seconds. quiet_s: how
    long nothing is drawn at first.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        is_drawn: bool,
        is_silent: bool = False,
        is_coloured: bool = False,
        frames: str = FRAMES,
        columns: Callable[[], int] = lambda: 80,
        clock: Callable[[], float] = time.monotonic,
        quiet_s: float = QUIET_S,
    ) -> None:
        self.is_drawn = is_drawn and not is_silent
        self.is_silent = is_silent
        self._out = out
        self._is_coloured = is_coloured
        self._frames = frames
        self._columns = columns
        self._clock = clock
        self._words = self._untold = self._last_line = ""
        self._began = clock()
        self._is_timed = True
        self._ends: float | None = None
        self._count: tuple[int, int] | None = None
        self._turn = 0
        self._due = clock() + quiet_s
        self._cells = 0

    def step(
        self,
        words: str,
        *,
        ago_s: float | None = None,
        left_s: float | None = None,
        count: tuple[int, int] | None = None,
        is_timed: bool = True,
    ) -> None:
        """What is under way now; '' for nothing. Other words than before are another step, whose time begins.

        ago_s: since when it lasts, where that is not since now. left_s: until it is over, shown in place of the time it
        has taken. count: how many of how many. is_timed: whether its time is shown; not where nobody ticks. In a pipe
        it becomes a line once it has lasted PLAIN_S.
        """
        words = terminal.one_line(words)
        if words != self._words or ago_s is not None:
            self._began = self._clock() - (ago_s or 0.0)
        if words != self._words:
            self._untold = words
        self._words, self._count, self._is_timed = words, count, is_timed
        self._ends = None if left_s is None else self._clock() + left_s
        self.tick()

    def say(self, words: str) -> None:
        """A line that stays, at once."""
        if self.is_silent:
            return
        self._write((self._erasure() if self._cells else "") + terminal.harmless(words) + "\n")
        if self._due <= self._clock() + TURN_S:
            self.draw()

    def tick(self) -> float | None:
        """Draw what changed if it is time to. Seconds until it is time again; None for never."""
        now = self._clock()
        if self.is_drawn:
            if now >= self._due:
                self.draw()
            return max(0.0, self._due - now)
        if self.is_silent or not self._untold:
            return None
        if now - self._began < PLAIN_S:
            return PLAIN_S - (now - self._began)
        if self._untold != self._last_line:
            self._last_line = self._untold
            self._write(self._untold + "\n")
        self._untold = ""
        return None

    def erase(self) -> None:
        """Take the line away, for whoever is about to write there; the next drawing brings it back."""
        if self._cells:
            self._write(self._erasure())

    def close(self) -> None:
        """Take the line away; nothing is left of it."""
        self.erase()
        self._words = self._untold = ""

    def draw(self) -> None:
        """Draw now, whatever time it is; nothing where nothing is drawn."""
        if not self.is_drawn:
            return
        columns = self._columns()
        line = self._line(columns)
        erasure = self._erasure() if terminal.width(line) < self._cells or self._cells >= columns else "\r"
        self._due = self._clock() + TURN_S
        if not line:
            if self._cells:
                self._write(erasure)
            return
        self._cells = terminal.width(line)
        frame, rest = line[:1], line[1:]
        self._turn += 1
        # In one write: a terminal that shows each as it comes would show the empty line in between.
        painted = terminal.paint(frame, "cyan", is_coloured=self._is_coloured)
        self._write(f"{erasure}{painted}{rest}")

    def _line(self, columns: int) -> str:
        """The line without colour; the last cell is left empty, or some terminals would go on to the next line."""
        if not self._words or columns < NARROWEST:
            return ""
        head, tail = f"{self._frames[self._turn % len(self._frames)]} ", self._tail()
        room = columns - 1 - len(head)
        if len(tail) + NARROWEST > room:
            tail = ""
        return head + terminal.fit(self._words, room - len(tail)) + tail

    def _tail(self) -> str:
        now = self._clock()
        words = ""
        if self._count is not None:
            done, total = self._count
            words = f"  {done:,} of {total:,}" + (f", {100 * done // total} %" if total else "")
        if self._ends is not None:
            return f"{words}  {seconds(max(0.0, self._ends - now))} left"
        return f"{words}  {seconds(now - self._began)}" if self._is_timed else words

    def _erasure(self) -> str:
        # A window that became narrower has broken the line into several: all of them go.
        rows = (self._cells - 1) // max(1, self._columns()) if self._cells else 0
        self._cells = 0
        up = f"\x1b[{rows}A" if rows else ""
        return f"{up}\r\x1b[J" if rows else "\r\x1b[K"

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            # Nobody looks any more; what is told of goes on.
            self.is_drawn, self.is_silent, self._cells = False, True, 0


def seconds(value: float) -> str:
    """A time that is looked at while it passes: whole seconds, then minutes and seconds, then hours and minutes."""
    left = max(0, int(value))
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return f"{left // 60}m {left % 60:02d}s"
    return f"{left // 3600}h {left % 3600 // 60:02d}m"


def columns_of(stream: TextIO, environ: Mapping[str, str]) -> int:
    """Cells of a terminal's line now: COLUMNS where it is set, else what the terminal says, else 80."""
    named = environ.get("COLUMNS", "")
    if named.isdigit() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def is_drawn_on(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a line on the stream can be written over."""
    return stream.isatty() and environ.get("TERM", "") not in ("", "dumb")


def frames_of(stream: TextIO) -> str:
    """The spinner that the stream's encoding has."""
    encoding = stream.encoding if isinstance(stream, io.TextIOWrapper) else "utf-8"
    try:
        FRAMES.encode(encoding)
    except UnicodeEncodeError:
        return ASCII_FRAMES
    return FRAMES


@contextmanager
def open_progress(
    stream: TextIO, environ: Mapping[str, str], *, is_silent: bool = False, is_colour_off: bool = False
) -> Iterator[Progress]:
    """Progress on a stream as its environment would have it; its line is gone at the end, however that comes."""
    progress = Progress(
        stream,
        is_drawn=is_drawn_on(stream, environ),
        is_silent=is_silent,
        is_coloured=not is_colour_off and terminal.is_colour_wanted(stream, environ),
        frames=frames_of(stream),
        columns=lambda: columns_of(stream, environ),
    )
    try:
        yield progress
    finally:
        progress.close()
