"""What goes to stdout: rows and single things in the format asked for. Words go to stderr.

A table on a terminal, tab-separated values without header and colour in a pipe. JSON keeps the protocol's
names; fields that end in `_at` (and an event's `at`) are RFC 3339 in UTC there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ringmaster.cli import clock, terminal
from ringmaster.model.errors import ErrorKind, RingmasterError

Row = dict[str, Any]
FORMATS = ("table", "wide", "json", "jsonl", "name")


class Column:
    """One column: its heading, and a dotted path into the row or a function of it.

    is_wide: only with `-o wide`; is_flexible: gives way when the terminal is narrow.
    """

    __slots__ = ("heading", "is_flexible", "is_wide", "source")

    def __init__(
        self,
        heading: str,
        source: str | Callable[[Row], object],
        *,
        is_wide: bool = False,
        is_flexible: bool = False,
    ) -> None:
        self.heading = heading
        self.source = source
        self.is_wide = is_wide
        self.is_flexible = is_flexible


def field(row: Row, path: str) -> object:
    """What a dotted path names in a row.

    Raises:
        RingmasterError: USAGE naming the fields there are.
    """
    value: object = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = ",".join(value) if isinstance(value, Mapping) else "none below it"
            raise RingmasterError(ErrorKind.USAGE, f"no field {path!r}", f"fields: {known}")
        value = value[part]
    return value


def with_times(value: object) -> object:
    """The same with every time as RFC 3339."""
    if isinstance(value, Mapping):
        return {
            key: clock.rfc3339(item)
            if (key == "at" or key.endswith("_at")) and isinstance(item, (int, float)) and item is not True
            else with_times(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [with_times(item) for item in value]
    return value


class Output:
    """Writes results. One per call of rmctl; main closes nothing, it flushes.

    kind: one of FORMATS; fields: dotted paths, empty for all; is_quiet: ids only.
    """

    def __init__(
        self, kind: str = "", *, fields: Sequence[str] = (), is_quiet: bool = False, is_colour_off: bool = False
    ) -> None:
        self.kind = kind
        self.fields = tuple(fields)
        self.is_quiet = is_quiet
        self.is_colour_off = is_colour_off

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads stdout."""
        return sys.stdout.isatty()

    @property
    def is_json(self) -> bool:
        """Whether a program reads it."""
        return self.kind in ("json", "jsonl")

    @property
    def is_for_people(self) -> bool:
        """Whether to lay it out for a person: a terminal, and no other format asked for."""
        return self.is_terminal and self.kind in ("", "table", "wide") and not self.fields and not self.is_quiet

    @property
    def is_coloured(self) -> bool:
        """Whether stdout takes colour."""
        return not self.is_colour_off and terminal.is_colour_wanted(sys.stdout, os.environ)

    @property
    def cells(self) -> int | None:
        """Cells of a line, None in a pipe and with `-o wide`."""
        if not self.is_terminal or self.kind == "wide":
            return None
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or 80
        except OSError:
            return 80

    def text(self, text: str) -> None:
        """Write text that was made harmless already."""
        sys.stdout.write(text)

    def words(self, text: str) -> None:
        """A line for people, on stderr; nothing with -q."""
        if text and not self.is_quiet:
            sys.stdout.flush()
            try:
                sys.stderr.write(terminal.harmless(text) + "\n")
            except BrokenPipeError:
                # Nobody reads the words any more; what they tell of is still to be done.
                sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it is the process's own until the end

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where stdout takes it."""
        return terminal.paint(text, colour, is_coloured=self.is_coloured)

    def shown(self, value: object) -> str:
        """A cell: harmless, on one line, times local for people and RFC 3339 in a pipe."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, (list, tuple)):
            return terminal.one_line(",".join(str(item) for item in value))
        if isinstance(value, Mapping):
            return terminal.one_line(json.dumps(value, ensure_ascii=False))
        return terminal.one_line(str(value))

    def at(self, value: object) -> str:
        """A time's cell."""
        if not isinstance(value, (int, float)):
            return ""
        return clock.local_time(value, time.time()) if self.is_terminal else clock.rfc3339(value)

    def json(self, value: object) -> None:
        """One JSON document: indented with `-o json`, one line with `-o jsonl`."""
        self.raw_json(with_times(value))

    def raw_json(self, value: object) -> None:
        """The same with times as they are."""
        text = json.dumps(value, ensure_ascii=False, indent=None if self.kind == "jsonl" else 2)
        # In a pipe too: the same value for a program, and often a terminal behind it.
        self.text(text.translate(terminal.VISIBLE_IN_JSON) + "\n")

    def rows(
        self,
        rows: Iterable[Row],
        shape: Sequence[Column],
        *,
        id_of: Callable[[Row], object] | str = "id",
        empty: str = "",
        is_headed: bool = True,
    ) -> None:
        """A list. empty: words for stderr when a person sees no row."""
        if self.is_quiet or self.kind == "name":
            for row in rows:
                self.text(self.shown(row[id_of] if isinstance(id_of, str) else id_of(row)) + "\n")
            return
        if self.is_json:
            self._json_rows(rows)
            return
        if self.fields:
            shape = [self._field_column(name) for name in self.fields]
        chosen = [column for column in shape if self.kind == "wide" or not column.is_wide]
        cells = [tuple(self.cell(row, column) for column in chosen) for row in rows]
        if not self.is_terminal:
            self.text("".join("\t".join(line) + "\n" for line in cells))
            return
        if not cells:
            self.words(empty)
            return
        flexible = next((index for index, column in enumerate(chosen) if column.is_flexible), None)
        header = tuple(column.heading for column in chosen) if is_headed else None
        self.text(terminal.columns(header, cells, limit=self.cells, flexible=flexible, is_coloured=self.is_coloured))

    def stream(self, rows: Iterable[Row], shape: Sequence[Column], *, id_of: str = "id") -> None:
        """Rows as they come, each written at once; with `-o json` one object a line, because a stream has no end."""
        if self.fields and not self.is_json:
            shape = [self._field_column(name) for name in self.fields]
        chosen = [column for column in shape if self.kind == "wide" or not column.is_wide]
        kind, self.kind = self.kind, "jsonl" if self.is_json else self.kind
        widths = [0] * len(chosen)
        try:
            for row in rows:
                if self.is_json or self.is_quiet or kind == "name":
                    self.rows([row], shape, id_of=id_of)
                else:
                    cells = [self.cell(row, column) for column in chosen]
                    self.text(self._streamed(cells, widths) if self.is_terminal else "\t".join(cells) + "\n")
                sys.stdout.flush()
        finally:
            self.kind = kind

    def _streamed(self, cells: list[str], widths: list[int]) -> str:
        """A row for a terminal, its columns as wide as the widest so far (which `widths` keeps)."""
        widths[:] = [max(old, terminal.width(cell)) for old, cell in zip(widths, cells, strict=True)]
        line = "  ".join(
            cell + " " * (cells_wide - terminal.width(cell)) for cell, cells_wide in zip(cells, widths, strict=True)
        )
        return (terminal.fit(line.rstrip(), self.cells) if self.cells else line.rstrip()) + "\n"

    def changed(self, row: Row, shape: Sequence[Column], *, id_of: str = "id", note: str = "") -> None:
        """What a mutating command answers: the row as it is now on stdout, what else happened on stderr."""
        if self.kind in ("json", "jsonl"):
            self.json(self._chosen(row))
        else:
            self.rows([row], shape, id_of=id_of, is_headed=False)
        self.words(note)

    def item(self, row: Row, layout: Callable[[], str], *, id_of: str = "id") -> None:
        """One thing: `layout()` for people and pipes, the object for programs."""
        if self.is_quiet or self.kind == "name":
            self.text(self.shown(row[id_of]) + "\n")
        elif self.is_json:
            self.json(self._chosen(row))
        elif self.fields:
            self.rows([row], [])
        else:
            self.text(layout())

    def _chosen(self, row: Row) -> Row:
        return {name: field(row, name) for name in self.fields} if self.fields else row

    def _json_rows(self, rows: Iterable[Row]) -> None:
        if self.kind == "json":
            self.json([self._chosen(row) for row in rows])
            return
        for row in rows:
            self.json(self._chosen(row))

    def _field_column(self, name: str) -> Column:
        is_time = name.rpartition(".")[2].endswith("_at") or name == "at"
        if is_time:
            return Column(name.upper(), lambda row: self.at(field(row, name)))
        return Column(name.upper(), name)

    def cell(self, row: Row, column: Column) -> str:
        """What a column shows of a row."""
        source = column.source
        return self.shown(field(row, source) if isinstance(source, str) else source(row))
