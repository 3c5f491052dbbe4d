"""Making text that others wrote safe to quote: no control characters, no keys, no way out of its fence."""

from __future__ import annotations

import re

# CSI, OSC (ended by BEL or ST) and the two-byte escapes of ECMA-48.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# C0 and C1 but tab and newline; overrides of writing direction; invisible "tag" letters and lone surrogates:
# what a person who reviews the prompt could not see, or no UTF-8 file can hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)

_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{12,}=*"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
REDACTED = "[redacted]"


def clean(text: str) -> str:
    """Text with tabs, newlines and what can be seen. A line rewritten by carriage returns keeps its last form."""
    text = _ESCAPE.sub("", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _UNSEEN.sub("", text)


def redact(text: str) -> str:
    """Text without what has the form of a key. Known forms only: no promise that none is left."""
    for secret in _SECRETS:
        text = secret.sub(REDACTED, text)
    return text


def quotable(text: str) -> str:
    """Both, and no blank lines around it. Redacted last: an escape in the middle would hide a key."""
    return redact(clean(text)).strip("\n")


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
