"""What a search in steps asks for: words, phrases and beginnings of words. Pure."""

from __future__ import annotations

import re
import unicodedata

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError

_PART = re.compile(r'"([^"]*)"?(\*?)|(\S+)')
_WORD = re.compile(r"\w+")
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
_BETWEEN = re.compile(rf"(?<=[{_UNSPACED}])(?=\w)|(?<=\w)(?=[{_UNSPACED}])")
SEPARATOR = "\u200b"
"""Between two words that are written without a space. What is shown has none of its own: it is cleaned."""


MOST_WORDS = 50
"""Each is a look at all that begins with it: of very many the index would be busy for half a minute."""


class Pattern(msgspec.Struct, frozen=True):
    """Phrases of words, each of which a step must hold; is_beginning: the last word may go on."""

    phrases: tuple[tuple[tuple[str, ...], bool], ...]

    @property
    def expression(self) -> str:
        """For FTS5. Only words come into it, in quotes: nothing of its own language."""
        return " AND ".join(f'"{" ".join(words)}"{"*" if is_beginning else ""}' for words, is_beginning in self.phrases)

    @property
    def regexes(self) -> tuple[re.Pattern[str], ...]:
        """The same for text that is not in the index, once that is `separated` and `folded`."""
        return tuple(
            re.compile(r"\b" + r"\W+".join(map(folded, words)) + ("" if is_beginning else r"\b"), re.IGNORECASE)
            for words, is_beginning in self.phrases
        )


def parse_pattern(text: str) -> Pattern:
    """What a person wrote. Raises USAGE where there is no word in it, or more than `MOST_WORDS`."""
    phrases = []
    for found in _PART.finditer(separated(text)):
        phrase, star, word = found.groups()
        part = word if word is not None else phrase
        words = tuple(_WORD.findall(part))
        if words:
            phrases.append((words, bool(star) or (word is not None and word.endswith("*"))))
    if not phrases:
        raise RingmasterError(
            ErrorKind.USAGE, f"there is no word to look for in {text[:60]!r}", 'words, "words in a row", beginnings*'
        )
    count = sum(len(words) for words, _ in phrases)
    if count > MOST_WORDS:
        raise RingmasterError(
            ErrorKind.USAGE, f"that is {count} words, and {MOST_WORDS} are the most to look for", "look for fewer"
        )
    return Pattern(tuple(phrases))


def separated(text: str) -> str:
    """Text with a `SEPARATOR` around each character of a script that writes no spaces: each is a word of its own.

    Accents are one with their letters then, however they were written.
    """
    return text if text.isascii() else _BETWEEN.sub(SEPARATOR, unicodedata.normalize("NFC", text))


def joined(text: str) -> str:
    """Text as it is shown, of what is `separated`."""
    return text.replace(SEPARATOR, "")


class _Bases(dict[int, int]):
    def __missing__(self, code: int) -> int:
        self[code] = base = ord(unicodedata.normalize("NFD", chr(code))[0])
        return base


_BASES = _Bases()


def folded(text: str) -> str:
    """Text without accents, each character in its place: the index looks for words without them."""
    return text if text.isascii() else text.translate(_BASES)


def snippet_of(text: str, pattern: Pattern, size: int = 240) -> str | None:
    """A piece of `separated` text around the first match, where all of the pattern is in it."""
    places = []
    sought = folded(text)
    for regex in pattern.regexes:
        found = regex.search(sought)
        if found is None:
            return None
        places.append(found.start())
    begin = max(0, min(places) - size // 4)
    piece = text[begin : begin + size]
    return f"{'…' if begin else ''}{piece}{'…' if begin + size < len(text) else ''}"
