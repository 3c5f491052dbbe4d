"""What a program wrote to its terminal, as a page: colours, bold and dim, nothing that moves the cursor."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

SGR = re.compile(r"\x1b\[([0-9;]*)m")
OTHER_ESCAPE = re.compile(r"\x1b")
COLOURS = {
    31: "#ff7b72",
    32: "#7ee787",
    33: "#e3b341",
    34: "#79c0ff",
    35: "#d2a8ff",
    36: "#76e3ea",
}
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #0d1117; }}
main {{ display: inline-block; background: #0d1117; padding: 18px 22px 20px; }}
pre {{ margin: 0; color: #c9d1d9; font: 14px/1.42 "DejaVu Sans Mono", monospace; }}
.prompt {{ color: #7ee787; }} b {{ color: #f0f6fc; }}
</style><main><pre>{body}</pre></main>"""


class Style:
    """How the next words look: what the escapes so far have said."""

    def __init__(self) -> None:
        self.colour = ""
        self.is_bold = self.is_dim = False

    def take(self, codes: str) -> None:
        """One escape. Raises ValueError for what these pages have no look for."""
        for code in [int(one) for one in codes.split(";") if one] or [0]:
            if code == 0:
                self.colour, self.is_bold, self.is_dim = "", False, False
            elif code == 1:
                self.is_bold = True
            elif code == 2:
                self.is_dim = True
            elif code in COLOURS:
                self.colour = COLOURS[code]
            else:
                raise ValueError(f"no look for the escape {code}")

    def dress(self, words: str) -> str:
        """The words as HTML."""
        looks = [f"color: {self.colour}"] if self.colour else []
        looks += ["opacity: 0.62"] if self.is_dim else []
        text = html.escape(words)
        text = f'<span style="{"; ".join(looks)}">{text}</span>' if looks else text
        return f"<b>{text}</b>" if self.is_bold else text


def pieces(written: str) -> Iterator[str]:
    """HTML of what was written, piece by piece. Raises ValueError for an escape that is no colour."""
    style, place = Style(), 0
    for found in SGR.finditer(written):
        yield _plain(style, written[place : found.start()])
        style.take(found[1])
        place = found.end()
    yield _plain(style, written[place:])


def _plain(style: Style, words: str) -> str:
    if OTHER_ESCAPE.search(words):
        raise ValueError(f"an escape that is no colour: {words[:80]!r}")
    return style.dress(words) if words else ""


def terminal_page(calls: Sequence[tuple[str, str]]) -> str:
    """A page with what commands wrote. calls: a command as it was typed, and what it wrote."""
    body = "\n".join(
        f'<span class="prompt">$</span> <b>{html.escape(typed)}</b>\n{"".join(pieces(written)).rstrip()}\n'
        for typed, written in calls
    )
    return PAGE.format(body=body.rstrip("\n"))
