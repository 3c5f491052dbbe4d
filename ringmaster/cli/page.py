"""The page of one thing, for `show`: facts, texts and small tables under a title."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ringmaster.cli import clock, terminal
from ringmaster.cli.output import Column, Output, Row

LABEL_CELLS = 14


class Page:
    """Gathers the lines of a page. In a pipe the same page comes without colour."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.lines: list[str] = []

    def title(self, name: str, state: str, words: str = "") -> None:
        """The first line: what it is called, how it stands, what it is."""
        colour = terminal.COLOURS.get(state.split(" ")[0], "bold")
        head = self.output.paint(terminal.one_line(name), "bold")
        self.lines.append(
            f"{head}  {self.output.paint(terminal.one_line(state), colour)}  {terminal.one_line(words)}".rstrip()
        )

    def fact(self, label: str, value: object) -> None:
        """A labelled value; nothing when it is empty."""
        text = self.output.shown(value)
        if text:
            self.lines.append(f"{self.output.paint(label.ljust(LABEL_CELLS - 1), 'dim')} {text}")

    def text(self, label: str, text: str) -> None:
        """Several lines, indented under their label; nothing when empty."""
        if text.strip():
            self.heading(label)
            self.lines += ["  " + line for line in terminal.harmless(text.rstrip()).split("\n")]

    def bullets(self, label: str, items: Sequence[str]) -> None:
        """A list of lines."""
        if items:
            self.heading(label)
            self.lines += ["  - " + terminal.one_line(item) for item in items]

    def numbered(self, label: str, items: Sequence[Sequence[str]]) -> None:
        """A numbered list; further lines of an item stand below its first."""
        if items:
            self.heading(label)
        for number, (first, *further) in enumerate(items, 1):
            self.lines.append(f"  {number}. {terminal.one_line(first)}")
            self.lines += [f"     {terminal.one_line(line)}" for line in further]

    def table(self, label: str, rows: Sequence[Row], shape: Sequence[Column]) -> None:
        """Rows under a label; nothing without rows. Headings only where columns name themselves."""
        if not rows:
            return
        self.heading(label)
        cells = [tuple(self.output.cell(row, column) for column in shape) for row in rows]
        flexible = next((index for index, column in enumerate(shape) if column.is_flexible), None)
        header = tuple(column.heading for column in shape) if shape[0].heading else None
        cells_left = self.output.cells
        text = terminal.columns(
            header,
            cells,
            limit=cells_left - 2 if cells_left else None,
            flexible=flexible,
            is_coloured=self.output.is_coloured,
        )
        self.lines += ["  " + line for line in text.rstrip("\n").split("\n")]

    def heading(self, label: str) -> None:
        """A heading with an empty line before it."""
        self.gap()
        self.lines.append(self.output.paint(label, "bold"))

    def gap(self) -> None:
        """An empty line, once."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def at(self, value: float | None) -> str:
        """A time, local on a terminal, with how long ago."""
        if value is None:
            return ""
        ago = time.time() - value
        return f"{self.output.at(value)} ({clock.duration(ago)} ago)" if ago >= 0 else self.output.at(value)

    def done(self) -> str:
        """The whole page."""
        return "\n".join(self.lines) + "\n"
