"""Text on a terminal: what is written by others cannot steer it, and columns line up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TextIO

RESET = "\x1b[0m"
CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}
COLOURS = {
    "ready": "cyan",
    "running": "blue",
    "working": "blue",
    "validating": "blue",
    "landing": "blue",
    "done": "green",
    "landed": "green",
    "succeeded": "green",
    "passed": "green",
    "green": "green",
    "red": "red",
    "ok": "green",
    "active": "green",
    "good": "green",
    "bad": "red",
    "trial": "blue",
    "candidate": "blue",
    "superseded": "dim",
    "failed": "red",
    "gate_failed": "red",
    "timed_out": "red",
    "degraded": "red",
    "estop": "red",
    "down": "red",
    "waiting": "yellow",
    "paused": "yellow",
    "needs_decision": "yellow",
    "stopping": "yellow",
    "unkept": "yellow",
    "blocked": "dim",
    "scheduled": "dim",
    "draft": "dim",
    "cancelled": "dim",
    "idle": "dim",
    "stopped": "dim",
}

# C0 but tab and newline, DEL, C1 (0x9b alone begins an escape sequence), the marks that reorder what a reader sees
# (Unicode's bidirectional marks, overrides and isolates), separators, and what nobody sees: zero width, tags.
HARMFUL = (
    *(code for code in range(0x20) if code not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200B, 0x200E, 0x200F),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xE0000, 0xE0080),
)
VISIBLE = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    for code in HARMFUL
}
VISIBLE_IN_LINE = VISIBLE | {0x09: " ", 0x0A: " "}
VISIBLE_IN_JSON = {code: f"\\u{code:04x}" if code < 0x10000 else f"\\udb40\\udc{code & 0xFF:02x}" for code in HARMFUL}


def harmless(text: str, keep: str = "") -> str:
    """Several lines with every control character spelled out, but for those to keep."""
    return text.translate({code: said for code, said in VISIBLE.items() if chr(code) not in keep} if keep else VISIBLE)


def one_line(text: str) -> str:
    """The same on one line: tabs and newlines become spaces."""
    return text.translate(VISIBLE_IN_LINE)


def is_colour_wanted(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is a terminal that shows colour and nobody said no (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM", "") not in ("", "dumb")


def paint(text: str, colour: str, *, is_coloured: bool) -> str:
    """The text in a colour of CODES, or as it is."""
    if not is_coloured or not colour or not text:
        return text
    return f"\x1b[{CODES[colour]}m{text}{RESET}"


def width(text: str) -> int:
    """Cells that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, cells: int) -> str:
    """The text cut to so many cells, with an ellipsis where something went."""
    if width(text) <= cells:
        return text
    kept, used = [], 0
    for char in text:
        used += width(char)
        if used > cells - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def columns(
    header: tuple[str, ...] | None,
    rows: Sequence[tuple[str, ...]],
    *,
    limit: int | None,
    flexible: int | None,
    is_coloured: bool,
) -> str:
    """Rows as aligned columns, two spaces apart.

    limit: cells of a line, None for any; flexible: index of the column that gives way when a line is longer.
    """
    table = [header, *rows] if header else rows
    if not table:
        return ""
    widths = [max(width(row[index]) for row in table) for index in range(len(table[0]))]
    if limit is not None and flexible is not None:
        over = sum(widths) + 2 * (len(widths) - 1) - limit
        if over > 0:
            widths[flexible] = max(widths[flexible] - over, 12)
    lines = []
    for number, row in enumerate(table):
        is_header = header is not None and number == 0
        cells = []
        for index, text in enumerate(row):
            shown = fit(text, widths[index]) if index == flexible else text
            padding = " " * (widths[index] - width(shown)) if index < len(row) - 1 else ""
            colour = "dim" if is_header else COLOURS.get(text, "")
            cells.append(paint(shown, colour, is_coloured=is_coloured) + padding)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"
