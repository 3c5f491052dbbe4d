"""Fitting sections into a budget: the least important are shortened first, and it shows."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.prompt.quoting import fenced

CHARACTERS_PER_TOKEN = 4
"""A rough measure that needs no vocabulary; finished runs report the true usage."""

USEFUL_CHARACTERS = 200
"""Less than this of a part helps nobody, so it is left out whole."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a section: words of ours, then a quoted text that may be shortened.

    keep: which end of the text matters, the head of a file or the tail of an output.
    """

    words: str = ""
    text: str = ""
    keep: Literal["head", "tail"] = "head"
    info: str = "text"

    def render(self) -> str:
        """The part as it stands in the prompt."""
        quoted = fenced(self.text, self.info) if self.text else ""
        return "\n".join(piece for piece in (self.words, quoted) if piece)


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A headed section. parts: the most important first.

    rank: 0 is never cut; the highest rank is cut first.
    """

    name: str
    rank: int
    title: str
    parts: tuple[Part, ...]

    def render(self) -> str:
        """The section as it stands in the prompt."""
        return "\n\n".join([f"## {self.title}", *(part.render() for part in self.parts)])


def count_tokens(text: str) -> int:
    """Tokens, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def fit(sections: tuple[Section, ...], budget_tokens: int) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """Sections within the budget, in their order, and the names of those that were cut.

    Sections of rank 0 stay whole even when they alone exceed the budget: a task that is cut is another task.
    """
    budget = budget_tokens * CHARACTERS_PER_TOKEN
    sizes = {section.name: len(section.render()) + 2 for section in sections}
    excess = sum(sizes.values()) - budget
    fitted = {section.name: section for section in sections}
    cut = []
    for section in sorted(sections, key=lambda section: section.rank, reverse=True):
        if excess <= 0 or section.rank == 0:
            break
        shorter = _shorten(section, sizes[section.name] - excess)
        saved = sizes[section.name] - len(shorter.render()) - 2
        if saved <= 0:
            continue
        fitted[section.name] = shorter
        cut.append(section.name)
        excess -= saved
    return tuple(fitted[section.name] for section in sections), tuple(cut)


def _shorten(section: Section, size: int) -> Section:
    """As many whole parts as fit, then a shortened one, then a line that says how many are missing."""
    parts: list[Part] = []
    left = size - len(section.title) - 80  # room for the line that says so
    for position, part in enumerate(section.parts):
        length = len(part.render()) + 2
        if length <= left:
            parts.append(part)
            left -= length
            continue
        shortened = _shorten_part(part, left)
        if shortened is not None:
            parts.append(shortened)
        missing = len(section.parts) - position - (shortened is not None)
        if missing:
            parts.append(Part(words=f"[left out for length: {missing} of {len(section.parts)} here]"))
        break
    return msgspec.structs.replace(section, parts=tuple(parts))


def _shorten_part(part: Part, size: int) -> Part | None:
    """The part with only one end of its text, or None when too little of it would be left."""
    frame = len(part.render()) - len(part.text)
    room = size - frame - 60
    if room < USEFUL_CHARACTERS or room >= len(part.text):
        return None
    text = part.text[:room] if part.keep == "head" else part.text[-room:]
    # Cut at a line's end, unless that would throw away most of what is left.
    if part.keep == "head" and text.rfind("\n") > room // 2:
        text = text[: text.rfind("\n")]
    elif part.keep == "tail" and 0 <= text.find("\n") < room // 2:
        text = text[text.find("\n") + 1 :]
    marker = f"[… {len(part.text) - len(text)} characters left out for length …]"
    text = f"{text}\n{marker}" if part.keep == "head" else f"{marker}\n{text}"
    return msgspec.structs.replace(part, text=text)
