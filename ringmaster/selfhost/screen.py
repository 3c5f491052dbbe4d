"""Lines as they happen: plain in a pipe, on a terminal with a last line that says what is under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TextIO, TypeVar

from ringmaster.cli.progress import Progress, frames_of

T = TypeVar("T")

WIDTH_OF_WHAT = 10
INDENT = " " * (8 + 2 + WIDTH_OF_WHAT + 1)


class Screen:
    """Writes to one stream. is_terminal: whether a line may be written over. columns: of it, asked at each drawing."""

    def __init__(
        self,
        out: TextIO,
        *,
        is_terminal: bool,
        is_coloured: bool = False,
        columns: Callable[[], int] = lambda: 80,
    ) -> None:
        self._out = out
        self._is_terminal = is_terminal
        self._is_coloured = is_coloured
        # In a pipe the lines themselves tell each step.
        self._progress = Progress(
            out,
            is_drawn=is_terminal,
            is_silent=not is_terminal,
            is_coloured=is_coloured,
            frames=frames_of(out),
            columns=columns,
            quiet_s=0.0,
        )

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

    def passing(self, text: str, ago_s: float | None = None) -> None:
        """What is under way, and since when; the next line takes its place. Nothing in a pipe."""
        self._progress.step(text, ago_s=ago_s)

    def tick(self) -> float | None:
        """Draw what is under way if it is time to. Seconds until it is time again; None in a pipe."""
        return self._progress.tick()

    def during(self, text: str, work: Callable[[], T]) -> T:
        """What `work` returns; while it goes on, it is what is under way.

        It goes on in another thread then. After Ctrl-C the program ends once that has ended too; programs that it runs
        have got the Ctrl-C themselves.
        """
        if not self._is_terminal:
            return work()
        self.passing(text)
        executor = ThreadPoolExecutor(1)
        try:
            future = executor.submit(work)
            while not future.done():
                wait([future], timeout=self.tick())
            return future.result()
        finally:
            self._progress.close()
            executor.shutdown(wait=False)

    def ask(self, question: str) -> str:
        """Put a question on the terminal; the line that is typed, '' at its end."""
        self._write(harmless(question))
        return sys.stdin.readline()

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._is_coloured else text

    def _write(self, text: str) -> None:
        self._progress.erase()
        self._out.write(text)
        self._out.flush()


def harmless(text: str) -> str:
    """One line without control characters: an agent's output must not steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text.replace("\t", "    "))
