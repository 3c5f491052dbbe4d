"""Which of many short strings are in a text, for a fraction of what it costs to look for each of them.

Most have a sign in them that texts seldom have, and are looked for before each such sign. For the others the same
characters are taken away from text and strings: what is left of a string is in what is left of a text that holds it,
and that text is so short that looking for all of them in it takes little.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence

SIGNS = "_-"
MANY = 1_000
"""With more of a sign than this a text is looked through for each string: looking at each sign would take longer."""
LEAST = 3
"""What must be left of a string where most of a text is taken away: less is in every text."""
# What keys are least made of. First all but capitals, for the strings that are told apart by those.
_TAKEN = (
    (set(string.ascii_lowercase + string.digits + string.whitespace + "\"'(),;:/_{}[]<>") - {*"yz"}),
    {*"aetinoucwvdr0134568 \n\t\"'(),;"},
)
_DELETED = tuple("".join(sorted(taken)).encode() for taken in _TAKEN)


class Sieve:
    """Made of strings. Immutable."""

    __slots__ = ("_groups", "_signed")

    def __init__(self, strings: Iterable[str]) -> None:
        others = list(strings)
        self._signed: list[tuple[str, re.Pattern[str], tuple[str, ...]]] = []
        for sign in SIGNS:
            signed = tuple(text for text in others if sign in text)
            others = [text for text in others if sign not in text]
            if signed:
                self._signed.append((sign, _pattern_of(sign, signed), signed))
        groups: list[dict[bytes, list[str]]] = [{} for _ in _DELETED]
        # What none of them is made of is taken away besides: text of nothing but signs would stay as long as it is.
        used = {byte for text in others for byte in text.encode()}
        unused = bytes(byte for byte in range(256) if byte not in used)
        for text in others:
            left = [text.encode().translate(None, deleted) for deleted in _DELETED]
            place = next((place for place, one in enumerate(left) if len(one) >= LEAST), len(left) - 1)
            groups[place].setdefault(left[place], []).append(text)
        self._groups = tuple(
            (deleted + unused, tuple((left, tuple(texts)) for left, texts in group.items()))
            for deleted, group in zip(_DELETED, groups, strict=True)
        )

    def finds(self, text: str) -> bool:
        """Whether the text holds one of the strings."""
        return next(self._iter_found(text), None) is not None

    def find(self, text: str) -> list[str]:
        """Those of the strings that the text holds."""
        return list(self._iter_found(text))

    def _iter_found(self, text: str) -> Iterator[str]:
        for sign, pattern, strings in self._signed:
            count = text.count(sign)
            if count and (count > MANY or pattern.search(text)):
                yield from (one for one in strings if one in text)
        data = text.encode("utf-8", "surrogatepass")
        for deleted, group in self._groups:
            short = data.translate(None, deleted)
            for left, strings in group:
                if left in short:
                    # What is left may stand there by chance.
                    yield from (one for one in strings if one in text)


def _pattern_of(sign: str, strings: Sequence[str]) -> re.Pattern[str]:
    """Finds the sign where it stands behind what one of the strings begins with; first by the character before it."""
    heads = sorted({text[: text.index(sign) + 1] for text in strings})
    before = "".join(sorted({head[-2:-1] for head in heads}))
    choices = "|".join(f"(?<={re.escape(head)})" for head in heads)
    return re.compile(f"{re.escape(sign)}(?<=[{re.escape(before)}]{re.escape(sign)})(?:{choices})")
