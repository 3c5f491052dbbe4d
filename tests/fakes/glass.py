"""What a person sees on a terminal: the rows that are left of what was written, with what may move the cursor."""

from __future__ import annotations

import io
import re

SEQUENCE = re.compile(r"\x1b\[(\??\d*)([A-Za-z])")


class Glass(io.StringIO):
    """A screen of so many columns that has no bottom. `resize` breaks lines as terminals do."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns
        self._rows = [""]
        self._row = self._column = 0
        self.drawn: list[str] = []

    @property
    def rows(self) -> list[str]:
        """The rows, without the empty ones at the end."""
        rows = [row.rstrip() for row in self._rows]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def write(self, text: str, /) -> int:
        """Take what a program writes. What is seen after each write is kept in `drawn`."""
        size, place = len(text), 0
        while place < size:
            found = SEQUENCE.match(text, place)
            if found:
                self._obey(found[1], found[2])
                place = found.end()
            else:
                self._put(text[place])
                place += 1
        self.drawn.append("\n".join(self.rows))
        return size

    def resize(self, columns: int) -> None:
        """Another width: a row that does not fit goes on in further ones, the cursor on the last of its own."""
        rows: list[str] = []
        for number, row in enumerate(self._rows):
            pieces = [row[at : at + columns] for at in range(0, len(row), columns)] or [""]
            rows += pieces
            if number == self._row:
                self._row, self._column = len(rows) - 1, min(self._column, len(pieces[-1]))
                break
        self._rows, self.columns = rows, columns

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._row, self._column = self._row + 1, 0
        else:
            if self._column >= self.columns:
                self._row, self._column = self._row + 1, 0
            self._grow()
            row = self._rows[self._row].ljust(self._column)
            self._rows[self._row] = row[: self._column] + char + row[self._column + 1 :]
            self._column += 1
        self._grow()

    def _grow(self) -> None:
        self._rows += [""] * (self._row + 1 - len(self._rows))

    def _obey(self, number: str, letter: str) -> None:
        if letter == "K":
            self._rows[self._row] = self._rows[self._row][: self._column]
        elif letter == "J":
            self._rows[self._row :] = [self._rows[self._row][: self._column]]
        elif letter == "A":
            self._row = max(0, self._row - int(number or 1))
        else:
            assert letter == "m", f"a program that shows progress has no use for {letter}"
