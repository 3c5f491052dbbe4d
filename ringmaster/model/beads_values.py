"""Values of the fields of a bead's record, whatever they are made of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ringmaster.model.importing import DESCRIPTION_LIMIT, ITEM_LIMIT, LIST_LIMIT, TITLE_LIMIT, unix_time

_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
encode_json = msgspec.json.Encoder().encode


def oddities(record: Mapping[str, Any], title: str, description: str, created_at: float | None) -> Iterator[str]:
    """What is not taken as it is, though nothing else would show it."""
    if len(title) > TITLE_LIMIT:
        yield f"cut: a title of more than {TITLE_LIMIT} characters"
    if len(description) > DESCRIPTION_LIMIT:
        yield f"cut: a description of more than {DESCRIPTION_LIMIT:,} characters"
    if created_at is None and record.get("created_at") not in (None, ""):
        yield "of now, since its created_at is no time"
    for name in ("due_at", "defer_until"):
        if (told := record.get(name)) not in (None, "") and to_time(told) is None:
            yield f"left out: a {name} that is no time"
    labels = record.get("labels")
    if labels is None or labels == []:
        return
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        yield "left out: labels that are no list of words"
    elif len(labels) > LIST_LIMIT or any(len(label) > ITEM_LIMIT for label in labels):
        yield f"cut: more than {LIST_LIMIT} labels, or one of more than {ITEM_LIMIT:,} characters"


def to_words(value: Any) -> tuple[str, ...]:
    """The words of a list, each once; none of what is no list."""
    if not isinstance(value, list) or not value:
        return ()
    items = (to_text(item).strip()[:ITEM_LIMIT] for item in value if isinstance(item, str))
    return tuple(dict.fromkeys(item for item in items if item))[:LIST_LIMIT]


def to_acceptance(value: Any) -> tuple[str, ...]:
    """The criteria of a text, one a line, without their bullets; or of a list."""
    if not value:
        return ()
    lines = to_text(value).splitlines() if isinstance(value, str) else to_words(value)
    items = (_BULLET.sub("", line).strip()[:ITEM_LIMIT] for line in lines)
    return tuple(item for item in items if item)[:LIST_LIMIT]


def to_text(value: Any) -> str:
    """A text, of another value its JSON, without what no column holds."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode_json(value).decode()
    return text.replace("\0", "") if "\0" in text else text


def to_time(value: Any) -> float | None:
    """Unix seconds; None for what is no time."""
    return unix_time(value) if isinstance(value, str) and value else None
