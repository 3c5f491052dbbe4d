"""A patch as it may be shown: without keys, and still a patch. Its exact bytes are for git."""

from __future__ import annotations

from ringmaster.redaction.cleaning import decode
from ringmaster.redaction.forms import BLOCK_NEEDLE
from ringmaster.redaction.lines import LineRedactor
from ringmaster.redaction.redactor import Redactor

_SIGNS = ("+", "-", " ")


def shown_patch(redactor: Redactor, text: str, before: bytes = b"") -> str:
    """The text of a patch, redacted line by line: each keeps its sign, so that its hunks stay as long as they say.

    before: up to `LOOK_BACK` bytes of the patch that lie before it, for a private key that has begun there. Escapes
    stay, for whoever reviews must see that they are there: who shows it makes them harmless.
    """
    if not redactor.may_find(text) and BLOCK_NEEDLE.encode() not in before:
        return text
    lines = LineRedactor(redactor)
    if BLOCK_NEEDLE.encode() in before:
        for line in decode(before).split("\n"):
            lines = _follow(lines, redactor, line)[0]
    shown = []
    for line in text.split("\n"):
        lines, one = _follow(lines, redactor, line)
        shown.append(one)
    return "\n".join(shown)


def _follow(lines: LineRedactor, redactor: Redactor, line: str) -> tuple[LineRedactor, str]:
    """What redacts the next line, and this one as it is shown."""
    if line.startswith(_SIGNS):
        return lines, line[0] + lines.redact_line(line[1:])
    # No content: a header of a file or a hunk, with which a key that did not end is over.
    return (LineRedactor(redactor) if line else lines), redactor.redact(line)
