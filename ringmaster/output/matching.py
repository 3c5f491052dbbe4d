"""What a search in steps asks for: words, phrases and beginnings of words. Pure."""

from __future__ import annotations

import re

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError

_PART = re.compile(r'"([^"]*)"?(\*?)|(\S+)')
_WORD = re.compile(r"\w+")


class Pattern(msgspec.Struct, frozen=True):
    """Phrases of words, each of which a step must hold; is_beginning: the last word may go on."""

    phrases: tuple[tuple[tuple[str, ...], bool], ...]

    @property
    def expression(self) -> str:
        """For FTS5. Only words come into it, in quotes: nothing of its own language."""
        return " AND ".join(f'"{" ".join(words)}"{"*" if is_beginning else ""}' for words, is_beginning in self.phrases)

    @property
    def regexes(self) -> tuple[re.Pattern[str], ...]:
        """The same for text that is not in the index."""
        return tuple(
            re.compile(r"\b" + r"\W+".join(words) + ("" if is_beginning else r"\b"), re.IGNORECASE)
            for words, is_beginning in self.phrases
        )


def parse_pattern(text: str) -> Pattern:
    """What a person wrote. Raises USAGE where there is no word in it."""
    phrases = []
    for found in _PART.finditer(text):
        phrase, star, word = found.groups()
        part = word if word is not None else phrase
        words = tuple(_WORD.findall(part))
        if words:
            phrases.append((words, bool(star) or (word is not None and word.endswith("*"))))
    if not phrases:
        raise RingmasterError(
            ErrorKind.USAGE, f"there is no word to look for in {text[:60]!r}", 'words, "words in a row", beginnings*'
        )
    return Pattern(tuple(phrases))


def snippet_of(text: str, pattern: Pattern, size: int = 240) -> str | None:
    """A piece of the text around the first match, where all of the pattern is in it."""
    places = []
    for regex in pattern.regexes:
        found = regex.search(text)
        if found is None:
            return None
        places.append(found.start())
    begin = max(0, min(places) - size // 4)
    piece = text[begin : begin + size]
    return f"{'…' if begin else ''}{piece}{'…' if begin + size < len(text) else ''}"
