"""A manual page as a list of blocks, written as roff for man(1) or as plain text. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

PLAIN_CELLS = 80
INDENT = 7
SPECIAL = {
    "\\": "\\(rs",
    "-": "\\-",
    "~": "\\(ti",
    "^": "\\(ha",
    "`": "\\(ga",
    "'": "\\(aq",
    '"': "\\(dq",
}
"""What groff would print as something else, with what it prints as it is."""


class Block(NamedTuple):
    """A piece of the page. term: what an item explains."""

    kind: Literal["section", "command", "paragraph", "item"]
    text: str
    term: str = ""


def escape(text: str) -> str:
    """Text of which roff takes nothing for an instruction, in ASCII and on one line."""
    words = " ".join(text.split())
    plain = "".join(SPECIAL.get(char) or (char if char.isascii() else f"\\[u{ord(char):04X}]") for char in words)
    return f"\\&{plain}" if plain.startswith(".") else plain


def to_roff(title: str, source: str, blocks: Iterable[Block]) -> str:
    """The page for man(1), of section 1. source: whose page it is, at the foot."""
    lines = [f'.TH "{escape(title.upper())}" 1 "" "{escape(source)}" "User Commands"', ".nh", ".ad l"]
    for block in blocks:
        text = escape(block.text)
        if block.kind == "section":
            lines.append(f'.SH "{text}"')
        elif block.kind == "command":
            lines.append(f'.SS "{text}"')
        elif block.kind == "paragraph":
            lines += [".PP", text]
        else:
            # An empty text would let groff take the next request for the item's.
            lines += [".TP", f"\\fB{escape(block.term)}\\fP", text or "\\&"]
    return "\n".join(lines) + "\n"


def to_plain(blocks: Sequence[Block]) -> str:
    """The page as text, for where there is no man(1)."""
    parts: list[str] = []
    before = ""
    for block in blocks:
        if block.kind == before == "paragraph":
            parts.append("\n" + _wrapped(block.text, INDENT))
        elif block.kind == "section":
            parts.append(f"\n{block.text}")
        elif block.kind == "command":
            parts.append(f"\n   {block.text}")
        elif block.kind == "paragraph":
            parts.append(_wrapped(block.text, INDENT))
        else:
            parts.append(" " * INDENT + block.term)
            parts.append(_wrapped(block.text, 2 * INDENT))
        before = block.kind
    return "\n".join(part for part in parts if part).lstrip("\n") + "\n"


def _wrapped(text: str, indent: int) -> str:
    margin = " " * indent
    return textwrap.fill(
        " ".join(text.split()), PLAIN_CELLS, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )
