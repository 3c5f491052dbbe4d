"""Whether any of many short strings is in a text, for a fraction of what it costs to look for each of them.

From text and strings the same characters are taken away. What is left of a string is in what is left of a text that
holds it, and that text is so short that looking for all of them in it takes little.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator

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

    __slots__ = ("_groups",)

    def __init__(self, strings: Iterable[str]) -> None:
        groups: list[dict[bytes, list[str]]] = [{} for _ in _DELETED]
        strings = tuple(strings)
        # What none of them is made of is taken away besides: text of nothing but signs would stay as long as it is.
        used = {byte for text in strings for byte in text.encode()}
        unused = bytes(byte for byte in range(256) if byte not in used)
        for text in strings:
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
        data = text.encode("utf-8", "surrogatepass")
        for deleted, group in self._groups:
            short = data.translate(None, deleted)
            for left, strings in group:
                if left in short:
                    # What is left may stand there by chance.
                    yield from (one for one in strings if one in text)
