"""Lines as they happen: plain in a pipe, on a terminal with a last line that says what is under way."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH_OF_WHAT = 10
INDENT = " " * (8 + 2 + WIDTH_OF_WHAT + 1)


class Screen:
    """Writes to one stream. is_terminal: whether a line may be written over."""

    def __init__(self, out: TextIO, *, is_terminal: bool, is_coloured: bool = False, columns: int = 80) -> None:
        self._out = out
        self._is_terminal = is_terminal
        self._is_coloured = is_coloured
        self._columns = columns
        self._is_passing = False

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks on."""
        return self._is_terminal

    def words(self, text: str = "") -> None:
        """One line as it is."""
        self._write(f"{harmless(text)}\n")

    def fact(self, name: str, text: str) -> None:
        """A named fact."""
        self._write(f"{self._bold(name.ljust(WIDTH_OF_WHAT))} {harmless(text)}\n")

    def event(self, at: float, what: str, text: str) -> None:
        """Something that happened. at: unix seconds, shown in local time."""
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        self._write(f"{clock}  {self._bold(what.ljust(WIDTH_OF_WHAT))} {harmless(text)}\n")

    def detail(self, text: str) -> None:
        """What belongs to the event before."""
        self._write(f"{INDENT}{harmless(text)}".rstrip() + "\n")

    def passing(self, text: str) -> None:
        """What is under way; the next line takes its place. Nothing in a pipe."""
        if self._is_terminal:
            self._out.write(f"\r\033[K{harmless(text)[: self._columns - 1]}")
            self._out.flush()
            self._is_passing = True

    def ask(self, question: str) -> str:
        """Put a question on the terminal; the line that is typed, '' at its end."""
        self._write(harmless(question))
        return sys.stdin.readline()

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._is_coloured else text

    def _write(self, text: str) -> None:
        erase = "\r\033[K" if self._is_passing else ""
        self._is_passing = False
        self._out.write(erase + text)
        self._out.flush()


def harmless(text: str) -> str:
    """One line without control characters: an agent's output must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text.replace("\t", "    "))
