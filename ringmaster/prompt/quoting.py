"""Making text that others wrote safe to quote: no control characters, no keys, no way out of its fence."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ringmaster.redaction.cleaning import clean
from ringmaster.redaction.redactor import KNOWN_FORMS, Redactor


def quotable(text: str) -> str:
    """Cleaned and redacted, no blank lines around it. Redacted last: an escape in the middle would hide a key."""
    return KNOWN_FORMS.redact(clean(text)).strip("\n")


def shown(value: Any, redactor: Redactor) -> Any:
    """The same value with each text in it, however deep, cleaned and redacted."""
    if isinstance(value, str):
        return redactor.shown(value)
    if isinstance(value, tuple):
        return tuple(shown(item, redactor) for item in value)
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: shown(item, redactor) for name, item in msgspec.structs.asdict(value).items()})
    return value


def one_line(text: str, limit: int = 300) -> str:
    """The text as one bounded line."""
    text = " ".join(quotable(text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fence_for(text: str) -> str:
    """Backticks longer than any run of them in the text, so that nothing inside can close the fence."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def fenced(text: str, info: str = "text") -> str:
    """The text in a fence that it cannot close."""
    fence = fence_for(text)
    return f"{fence}{info}\n{text}\n{fence}"


def close_fences(text: str) -> str:
    """Markdown with a last fence closed that its author left open, so that what follows is not swallowed."""
    fence = ""
    for line in text.split("\n"):
        bare = line.strip()
        match = re.match("`{3,}|~{3,}", bare)
        if match is None:
            continue
        run = match.group()
        if not fence:
            if "`" not in bare[len(run) :]:
                fence = run
        elif bare == run and run[0] == fence[0] and len(run) >= len(fence):
            fence = ""
    return f"{text}\n{fence}" if fence else text
