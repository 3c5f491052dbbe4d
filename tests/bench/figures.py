"""Figures as they are printed: the median, how far the runs lay apart, the yardstick of the same run, the aim."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ringmaster.cli.progress import Progress

NAME_CELLS = 44


@dataclass
class Report:
    """Prints each figure as it is known, and remembers the aims that were missed.

    progress: says on a terminal what is measured now; in a pipe the figures themselves do.
    """

    is_quick: bool
    missed: list[str] = field(default_factory=list)
    progress: Progress | None = None
    _part: str = ""
    _count: tuple[int, int] = (0, 0)

    def begin(self, part: str, done: int, total: int) -> None:
        """A part begins, so many of so many are behind it."""
        self._part, self._count = part, (done, total)
        self.under_way()

    def under_way(self, words: str = "") -> None:
        """What of the part is measured now, such as which round. Drawn once, without a clock that goes on.

        What draws while something is measured is measured with it.
        """
        if self.progress is not None:
            at = time.strftime("%H:%M:%S")
            what = f"{self._part}: {words}" if words else self._part
            self.progress.step(f"measuring {what}, since {at}", count=self._count, is_timed=False)
            self.progress.draw()

    def _print(self, line: str) -> None:
        if self.progress is not None:
            self.progress.erase()
        print(line, flush=True)
        if self.progress is not None:
            self.progress.draw()

    def head(self, words: str) -> None:
        """The title of a part."""
        self._print(f"\n{words}")

    def note(self, words: str) -> None:
        """A line that is no figure."""
        self._print(f"  {words}")

    def figure(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        *,
        yardstick: tuple[str, Sequence[float]] | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float:
        """Print the median of `values` with their range, and return it. The aim is for the median."""
        median = statistics.median(values)
        words = f"  {name:<{NAME_CELLS}} {_shown(median)} {unit} ({_shown(min(values))}..{_shown(max(values))})"
        if yardstick is not None:
            label, others = yardstick
            other = statistics.median(others)
            words += f"   {label} {_shown(other)} {unit} ({median / other:.2f} x)"
        self._print(words + self._aim(name, median, unit, at_least, at_most))
        return median

    def at_most(self, name: str, value: float, aim: float) -> None:
        """Print a quotient of two medians beside the most it should be."""
        self._print(f"  {name:<{NAME_CELLS}} {value:.2f} x{self._aim(name, value, 'x', None, aim)}")

    def at_least(self, name: str, value: float, aim: float) -> None:
        """Print a quotient of two medians beside the least it should be."""
        self._print(f"  {name:<{NAME_CELLS}} {value:.2f} x{self._aim(name, value, 'x', aim, None)}")

    def _aim(self, name: str, median: float, unit: str, at_least: float | None, at_most: float | None) -> str:
        if at_least is not None:
            is_met, words = median >= at_least, f">= {_shown(at_least)} {unit}"
        elif at_most is not None:
            is_met, words = median <= at_most, f"<= {_shown(at_most)} {unit}"
        else:
            return ""
        if not is_met:
            self.missed.append(f"{name}: {_shown(median)} {unit}, aim {words}")
        return f"   aim {words}: {'met' if is_met else 'MISSED'}"


def _shown(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@contextmanager
def timing(into: list[float]) -> Iterator[None]:
    """Append the seconds that the block took."""
    began = time.perf_counter()
    yield
    into.append(time.perf_counter() - began)
