"""A text read otherwise than it is written: with its JSON escapes decoded, and without what has no width."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringmaster.redaction.tracing import Traced

Span = tuple[int, int]
Views = tuple[Traced, ...]
"""From the text to what is looked at, each made from the one before."""

LEVELS = 3
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[\"'\\/bfnrt])")
_PLAIN = (
    *((r"\"", '"'), (r"\'", "'"), (r"\/", "/")),
    *((r"\b", "\b"), (r"\f", "\f"), (r"\n", "\n"), (r"\r", "\r"), (r"\t", "\t")),
)
_HEX = re.compile("[0-9a-fA-F]{4}")
_PAIR = "\U0010fffe"
"""In place of two backslashes while the rest is decoded. No character: what no text has, and no such escape makes."""
# Has no width, or none of its own, but belongs in text: it stays, and a key is found around it.
WIDTHLESS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e01ef]+"
)
_TERMINAL = re.compile("(?:\x1b\\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]")


def find_views(text: str) -> list[Views]:
    """All ways to read the text besides the one it is written in."""
    return list(_iter_views(text))


def trace_back(views: Views, span: Span) -> Span:
    """Where in the text a span of the last view came from."""
    first, last = span
    for view in reversed(views):
        first, last = view.start_of(first), view.end_of(last)
    return first, last


def _iter_views(text: str) -> Iterator[Views]:
    views = _without_widthless(text, ())
    if views:
        yield views
    views = ()
    for _ in range(LEVELS):
        if "\\" not in text:
            return
        decoded = decode_escapes(text)
        if decoded == text:
            return
        views = (*views, Traced(text, _ESCAPE, decoded, width=1))
        yield views
        bare = _without_widthless(decoded, views)
        if bare:
            views = bare
            yield views
        text = views[-1].text


def _without_widthless(text: str, views: Views) -> Views:
    """The views and those of the text without what has no width; none where they are the same."""
    if not WIDTHLESS.search(text):
        return ()
    bare = Traced(text, _TERMINAL, _TERMINAL.sub("", text))
    return (*views, bare, Traced(bare.text, WIDTHLESS, WIDTHLESS.sub("", bare.text)))


def decode_escapes(text: str) -> str:
    """What JSON's escapes in a text stand for, each one character; what is none stays.

    Without a call for each of them: a text of nothing but backslashes would take a hundred times as long.
    """
    if _PAIR in text:
        # Nobody writes this but to be in the way of what follows.
        return _ESCAPE.sub(lambda found: decode_escapes(found[0]), text.replace(_PAIR, "?"))
    text = text.replace("\\\\", _PAIR)
    if "\\" in text:
        for escape, letter in _PLAIN:
            text = text.replace(escape, letter)
        first, *rest = text.split("\\u")
        if rest:
            codes = {code: _letter(code) for code in {part[:4] for part in rest}}
            text = first + "".join([codes[part[:4]] + part[4:] for part in rest])
    return text.replace(_PAIR, "\\")


def _letter(code: str) -> str:
    return chr(int(code, 16)) if _HEX.fullmatch(code) else "\\u" + code
