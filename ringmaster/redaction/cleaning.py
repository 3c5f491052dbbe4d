"""Taking out what acts on a terminal or a page, or cannot be seen: escapes, control characters, direction marks."""

from __future__ import annotations

import re

from ringmaster.redaction.tracing import Traced

STRING_LENGTH = 4096
"""The longest control string (OSC and its like) that is taken out whole; of a longer one the introducer alone."""

# ECMA-48, in seven bits and in eight: CSI; strings (DCS SOS OSC PM APC) with their end in the same line; the rest.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}[@-~]"
    rf"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]{{0,{STRING_LENGTH}}}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{0,8}[0-~]"
)
_ESCAPE_BEGUN = re.compile(
    r"(?:\x1b[ -/]{0,8}|(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,16}"
    rf"|(?:\x1b[PX\]^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]{{0,{STRING_LENGTH}}}\x1b?)\Z"
)
_JSON_BEGUN = re.compile(r"\\{1,8}(?:u[0-9a-fA-F]{0,3})?\Z")
# C0 and C1 but tab, newline and return; overrides of writing direction; separators that no line ends with; invisible
# "tag" letters and lone surrogates: what a person could not see, or no UTF-8 file can hold.
_HIDDEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSEEN = re.compile(f"[{_HIDDEN}]+")
# In runs, but for what an escape may begin with: of two, the second does.
_TAKEN_OUT = re.compile(rf"\x1b+(?=\x1b)|{_ESCAPE.pattern}|(?:(?![\x1b\x80-\x9f])[{_HIDDEN}])+|[\x1b\x80-\x9f]")
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\r\n])|\r+", re.MULTILINE)
_BAD_BYTES = dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")
_PLAIN_BYTES = bytes([0x09, 0x0A, *range(0x20, 0x7F)])


def decode(data: bytes) -> str:
    """Bytes as text, each byte that is no UTF-8 as U+FFFD, wherever the data was cut in two."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape").translate(_BAD_BYTES)


def is_plain(data: bytes) -> bool:
    """Whether the bytes are ASCII that can be seen, tabs and newlines: there is nothing to clean."""
    return not data.translate(None, _PLAIN_BYTES)


def has_sequences(text: str) -> bool:
    """Whether cleaning may take out what can be seen: a sequence that is broken off ends with the next letter.

    If that is the first one of a key, the rest would not be known: so such text is also looked at as it is.
    """
    return "\x1b" in text or "\x9b" in text


def clean(text: str) -> str:
    """Text with tabs, newlines and what can be seen. A line rewritten by carriage returns keeps its last form."""
    if text.isascii() and text.isprintable():
        return text
    if "\x1b" in text or not text.isascii():
        text = _ESCAPE.sub("", text)
    text = _UNSEEN.sub("", text)
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


def trace_clean(line: str) -> tuple[Traced, Traced]:
    """`clean` of one line, traced: without escapes and what is unseen, then without what was overwritten."""
    seen = Traced(line, _TAKEN_OUT, _TAKEN_OUT.sub("", line))
    text = seen.text
    return seen, Traced(text, _OVERWRITTEN, _OVERWRITTEN.sub("", text) if "\r" in text else text)


def begun_at(text: str) -> int:
    """Where an escape begins that the end of the text may have cut in two, or a return that a newline may follow.

    One of JSON too: without its rest what it stands for, as a letter of a key, is not known.
    """
    window = max(0, len(text) - STRING_LENGTH - 300)
    found = _ESCAPE_BEGUN.search(text, window)
    end = found.start() if found else len(text)
    json = _JSON_BEGUN.search(text, max(0, end - 16), end)
    end = json.start() if json else end
    # One return is enough to know by what follows it whether the line is written anew.
    return end - 1 if text[:end].endswith("\r") else end


def whole_characters(data: bytes) -> int:
    """How many of the bytes are whole UTF-8 characters: up to three at the end may wait for the rest of one."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if needed > back else len(data)
    return len(data)
