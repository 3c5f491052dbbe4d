"""Finding keys in text that was cleaned: known forms, and the values that were handed to a job."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from ringmaster.redaction.cleaning import clean, has_sequences
from ringmaster.redaction.forms import (
    BEGUN_LENGTH,
    BLOCK_BEGIN,
    BLOCK_END,
    BLOCK_LENGTH,
    BLOCK_NEEDLE,
    BLOCK_RUN,
    NEEDLES,
    find_begun,
    find_keys,
)
from ringmaster.redaction.sieve import Sieve
from ringmaster.redaction.views import WIDTHLESS, Span, Views, find_views, trace_back

REDACTED = "[redacted]"
LEAST_VALUE = 8
LONGEST_VALUE = 16_384
"""Of a value, what is looked for: with more than this handed over the beginning will do."""

_PERCENT = re.compile("%[0-9A-F]{2}")
_SIEVE = Sieve((*NEEDLES, BLOCK_NEEDLE))
# What JSON may write for a character that could be part of a key, or lie unseen within one.
_ODD_ESCAPE = re.compile(r"\\(?:/|u(?:00[0-9]|00[aA][dD]|20[0-6]|03|06|11|17|18|31|[fF][eEfF]|[dD][bB]))")


class Redactor:
    """Knows what must not be shown. Without values: what has the form of a key. Immutable.

    values: secrets as they are; those shorter than `LEAST_VALUE` characters are words that texts are full of, and
    are passed over. Of one with several lines each line counts.
    """

    __slots__ = ("_values", "longest")

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = tuple(dict.fromkeys(form for value in values for form in _iter_forms(value)))
        self.longest = max(BEGUN_LENGTH, *(len(value) for value in self._values), 0)

    def may_find(self, text: str) -> bool:
        """Whether there is anything to look for at all: cheap, and false for nearly every text."""
        if _SIEVE.finds(text):
            return True
        for value in self._values:
            if value in text:
                return True
        if not text.isascii() and WIDTHLESS.search(text):
            return True
        return "\\" in text and _ODD_ESCAPE.search(text) is not None

    def redact(self, text: str) -> str:
        """Cleaned text without what must not be shown."""
        return cut_out(text, self.find(text), 0, len(text)) if self.may_find(text) else text

    def shown(self, text: str) -> str:
        """Any text as it may be shown: cleaned, then redacted."""
        return self.redact(clean(self.redact(text) if has_sequences(text) else text))

    def find(self, text: str, seen: list[Views] | None = None) -> list[Span]:
        """Where keys lie, in order, none within another, also where escapes or widthless characters hide them.

        seen: the text's views, where they are known.
        """
        found = list(self._find_plain(text))
        for views in find_views(text) if seen is None else seen:
            found += (trace_back(views, span) for span in self._find_plain(views[-1].text))
        return merge(found)

    def find_begun(self, text: str, seen: list[Views] | None = None) -> int:
        """Where at the end of the text something begins that what follows may make a key; the text's length if not."""
        begun = self._begun(text)
        for views in find_views(text) if seen is None else seen:
            position = self._begun(views[-1].text)
            if position < len(views[-1].text):
                begun = min(begun, trace_back(views, (position, len(views[-1].text)))[0])
        return begun

    def _find_plain(self, text: str) -> Iterator[Span]:
        yield from find_keys(text, _SIEVE.find(text))
        for value in self._values:
            at = text.find(value)
            while at >= 0:
                yield at, at + len(value)
                at = text.find(value, at + len(value))
        if BLOCK_NEEDLE in text:
            yield from find_blocks(text)

    def _begun(self, text: str) -> int:
        begun = find_begun(text, _SIEVE.find(text[-BEGUN_LENGTH:]))
        for value in self._values:
            at = text.find(value[0], max(0, len(text) - len(value) + 1))
            while 0 <= at < begun:
                if value.startswith(text[at : at + 16]) and value.startswith(text[at:]):
                    begun = at
                at = text.find(value[0], at + 1)
        dashes = text.find("-----B", max(0, len(text) - 80))
        if dashes < 0 and text.endswith("-"):
            dashes = max(len(text.rstrip("-")), len(text) - 5)
        return min(begun, dashes) if dashes >= 0 else begun


KNOWN_FORMS = Redactor()
"""For text of nobody's job in particular."""


def find_blocks(text: str) -> Iterator[Span]:
    """Private keys between their two marks. One that does not end goes as far as it looks like one."""
    done = 0
    ends = BLOCK_END.finditer(text)
    end = next(ends, None)
    for begin in BLOCK_BEGIN.finditer(text):
        if begin.start() < done:
            continue
        while end is not None and end.start() < begin.end():
            end = next(ends, None)
        if end is not None and end.end() - begin.start() <= BLOCK_LENGTH:
            done = end.end()
        else:
            run = BLOCK_RUN.match(text, begin.end())
            done = run.end() if run else begin.end()
        yield begin.start(), done


def cut_out(text: str, spans: list[Span], begin: int, end: int) -> str:
    """`text[begin:end]` with a mark for each span that begins in it, and nothing of one that began before."""
    parts: list[str] = []
    at = begin
    for first, last in spans:
        if last <= at:
            continue
        if first >= end:
            break
        if first >= at:
            parts += (text[at:first], REDACTED)
        at = last
    if at < end:
        parts.append(text[at:end])
    return "".join(parts)


def merge(spans: list[Span]) -> list[Span]:
    """The spans in order, what overlaps as one."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        elif first < last:
            merged.append((first, last))
    return merged


def _iter_forms(value: str) -> Iterator[str]:
    """How a value may be written, longest first, so far as each says something."""
    if len(value.strip()) < LEAST_VALUE:
        return
    value = clean(value.strip()[:LONGEST_VALUE])
    lines = [line.strip() for line in value.splitlines()]
    for text in dict.fromkeys([value, *lines]):
        if len(text) >= LEAST_VALUE:
            yield from _iter_writings(text)


def _iter_writings(text: str) -> Iterator[str]:
    if "\n" not in text:
        # As it is; in HTML and XML; in a shell's words.
        yield from (text, html.escape(text), html.escape(text, quote=False), text.replace("'", "'\\''"))
    for is_ascii in (True, False):
        once = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        yield once
        yield json.dumps(once)[1:-1]
    # In an address and in the body of a form, in capitals or not.
    for quoted in (quote(text, safe=""), quote(text, safe="/"), quote_plus(text)):
        yield quoted
        yield _PERCENT.sub(lambda found: found[0].lower(), quoted)
    data = text.encode("utf-8", "surrogateescape")
    # In base64 it looks one of three ways, by what precedes it; at either end bits are shared with a neighbour.
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(bytes(before) + data).decode()[shared : (before + len(data)) * 8 // 6]
        yield encoded
        yield encoded.translate({ord("+"): "-", ord("/"): "_"})
