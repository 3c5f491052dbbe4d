"""Redacting line by line, where a key may go over several lines, and a line may come in pieces."""

from __future__ import annotations

from ringmaster.redaction.cleaning import (
    begun_at,
    clean,
    decode,
    has_sequences,
    is_plain,
    trace_clean,
    whole_characters,
)
from ringmaster.redaction.forms import BLOCK_BEGIN, BLOCK_END, BLOCK_LINES, BLOCK_MARK_LENGTH, BLOCK_NEEDLE, BLOCK_REST
from ringmaster.redaction.redactor import Redactor, cut_out, merge
from ringmaster.redaction.views import Span, Views, find_views

LOOK_BACK = 65_536
"""How many bytes before a place decide about what is shown from there."""
TAIL = 4096
"""How many bytes of a line's last pieces are kept: no key goes over a cut, so that only what it looks like matters."""


class LineRedactor:
    """Cleans and redacts one run of lines, in order. Texts of successive pieces joined are the text of the whole.

    A private key of several lines is taken out from its beginning on, each of its lines by a mark, until its end, or
    for 100 lines: then it was none.
    """

    __slots__ = ("_block_lines", "_redactor", "_tail")

    def __init__(self, redactor: Redactor, before: bytes = b"") -> None:
        self._redactor = redactor
        self._block_lines = 0
        self._tail = b""
        if before:
            lines, newline, rest = before.rpartition(b"\n")
            if newline and BLOCK_NEEDLE.encode() in lines:
                self.redact_lines(clean(decode(lines + newline)))
            self._tail = rest

    @property
    def is_within_line(self) -> bool:
        """Whether a part of the line was taken already."""
        return bool(self._tail)

    def redact_lines(self, text: str) -> str:
        """Whole lines that were cleaned, each with its newline but perhaps the last."""
        if not self._block_lines and not self._redactor.may_find(text):
            return text
        parts: list[str] = []
        at = 0
        while at < len(text):
            if not self._block_lines:
                # Nothing but a block goes over a line's end: looked at one by one, lines take a hundred times as long.
                needle = text.find(BLOCK_NEEDLE, at)
                stop = len(text) if needle < 0 else text.rfind("\n", at, needle) + 1
                if stop > at:
                    parts.append(self._redactor.redact(text[at:stop]))
                    at = stop
                    continue
            end = text.find("\n", at)
            line = text[at:] if end < 0 else text[at:end]
            parts += (self.redact_line(line), "" if end < 0 else "\n")
            at += len(line) + 1
        return "".join(parts)

    def show_lines(self, data: bytes) -> str:
        """Whole lines as they may be shown, each with its newline but perhaps the last."""
        if is_plain(data):
            return self.redact_lines(data.decode())
        text = decode(data)
        if has_sequences(text) and BLOCK_NEEDLE not in text:
            # As it is and no other way: those are looked at when it is cleaned.
            text = cut_out(text, self._redactor.find(text, []), 0, len(text))
        return self.redact_lines(clean(text))

    def redact_line(self, line: str) -> str:
        """One whole line that was cleaned, without its newline."""
        if not self._block_lines and not self._redactor.may_find(line):
            return line
        spans, self._block_lines = self._find(line, find_views(line))
        return cut_out(line, spans, 0, len(line))

    def take_piece(self, data: bytes, *, is_end: bool) -> tuple[int, str]:
        """A piece of one line, without a newline: how many bytes of it were taken, and their text.

        is_end: the line ends behind it, so all is taken. Otherwise what the rest may change stays: half a character or
        escape, a key or what may become one.
        """
        before = decode(self._tail) if self._tail else ""
        if not is_end:
            data = data[: whole_characters(data)]
        line = before + decode(data)
        length = len(line) if is_end else max(begun_at(line), len(before))
        seen, shown = trace_clean(line[:length])
        begin = shown.position_of(seen.position_of(len(before)))
        views = find_views(shown.text)
        spans, block_lines = self._find(shown.text, views)
        cut = len(shown.text) if is_end else self._cut(shown.text, spans, views)
        if has_sequences(line):
            raw_spans, raw_cut = self._look_at_raw(line[:length])
            places = [shown.position_of(seen.position_of(at)) for span in raw_spans for at in span]
            spans = merge([*spans, *zip(places[::2], places[1::2], strict=True)])
            cut = cut if is_end else min(cut, shown.position_of(seen.position_of(raw_cut)))
        if cut <= begin < len(shown.text) and len(data) > LOOK_BACK:
            # A chain of keys without a gap: no key is as long.
            cut = len(shown.text)
        taken = length if cut >= len(shown.text) else seen.start_of(shown.start_of(cut))
        count = len(data) if taken >= len(line) else max(0, _bytes_of(data, taken - len(before)))
        text = cut_out(shown.text, spans, begin, cut) if cut > begin else ""
        if before and "\r" in seen.text[: shown.start_of(begin) + 1].rstrip("\r") and text and begin == 0:
            text = "\n" + text
        if is_end:
            self._tail, self._block_lines = b"", block_lines
        else:
            self._tail = _end_of(self._tail + data[:count])
        return count, text

    def _look_at_raw(self, line: str) -> tuple[list[Span], int]:
        """What is taken out of a line that was not cleaned, and where it may be cut. Other views are of the cleaned."""
        spans = self._redactor.find(line, []) if self._redactor.may_find(line) else []
        return spans, self._redactor.find_begun(line, [])

    def _find(self, line: str, views: list[Views]) -> tuple[list[Span], int]:
        """What is taken out of a line, and how many lines of a key block there are up to it: 0 outside of one."""
        if self._block_lines:
            end = BLOCK_END.search(line)
            if end is None:
                return [(0, len(line))], (self._block_lines + 1) % BLOCK_LINES
            spans = [(0, end.end())]
            spans += [span for span in self._redactor.find(line, views) if span[0] >= end.end()]
        else:
            spans = self._redactor.find(line, views)
        if BLOCK_NEEDLE in line:
            begins = list(BLOCK_BEGIN.finditer(line))
            if begins and BLOCK_REST.match(line, begins[-1].end()):
                begin = begins[-1].start()
                return [*(span for span in spans if span[1] <= begin), (begin, len(line))], 1
        return spans, 0

    def _cut(self, text: str, spans: list[Span], views: list[Views]) -> int:
        if self._block_lines and spans and spans[0] == (0, len(text)):
            return max(0, len(text) - BLOCK_MARK_LENGTH)
        cut = self._redactor.find_begun(text, views)
        for first, last in reversed(spans):
            if first < cut and (last > cut or last == len(text)):
                cut = first
        return cut


def _end_of(data: bytes) -> bytes:
    """The last bytes of a line, begun so that the same of its backslashes belong together."""
    before, tail = data[:-TAIL], data[-TAIL:]
    is_odd = (len(before) - len(before.rstrip(b"\\"))) % 2
    return before[-1:] + tail if is_odd else tail


def _bytes_of(data: bytes, characters: int) -> int:
    """How many bytes the first characters of `decode(data)` take."""
    if data.isascii():
        return characters
    return len(data.decode("utf-8", "surrogateescape")[:characters].encode("utf-8", "surrogateescape"))
