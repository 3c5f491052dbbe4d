"""Reading a text otherwise than it is written, and finding back."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ringmaster.redaction.cleaning import clean, trace_clean
from ringmaster.redaction.tracing import Traced
from ringmaster.redaction.views import decode_escapes, find_views, trace_back

ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"'\\/bfnrt]))")
PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
WRITTEN = st.text(st.sampled_from("\\\\\\u0067n/\"'bghp\u200d\U0010fffe"), max_size=40)
CONTROLLED = st.text(st.sampled_from("\x1b\x1b[];m1a\x00\x07\x9b\x9d\u200b\r\\P("), max_size=30)


def decode_one_by_one(text: str) -> str:
    return ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else PLAIN.get(found[2], found[2]), text)


@given(text=WRITTEN)
def test_escapes_are_decoded_as_one_by_one(text: str) -> None:
    assert decode_escapes(text) == decode_one_by_one(text).replace("\U0010fffe", "?" if "\U0010fffe" in text else "")


@given(text=WRITTEN)
def test_each_character_of_a_view_is_found_back(text: str) -> None:
    for views in find_views(text):
        seen = views[-1].text
        spans = [trace_back(views, (at, at + 1)) for at in range(len(seen))]
        # In order, none empty, none within another; what is as it is written is at its own place.
        assert all(first < last for first, last in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
        kept = [(text[first], seen[at]) for at, (first, last) in enumerate(spans) if last - first == 1]
        assert all(there == here or (there, here) == ("\U0010fffe", "?") for there, here in kept)


@given(text=CONTROLLED)
def test_what_is_traced_is_what_is_cleaned(text: str) -> None:
    seen, shown = trace_clean(text)
    assert shown.text == clean(text)
    for at, letter in enumerate(shown.text):
        assert text[seen.start_of(shown.start_of(at))] == letter


def test_a_place_in_the_source_and_its_place_in_the_text() -> None:
    gone = Traced("a--b-c", re.compile("-+"), "abc")
    assert [gone.position_of(at) for at in range(7)] == [0, 1, 1, 1, 2, 2, 3]
    assert [gone.start_of(at) for at in range(4)] == [0, 3, 5, 6]
    assert [gone.end_of(at) for at in range(4)] == [0, 1, 4, 6]
    made = Traced("a--b", re.compile("--"), "a=b", width=1)
    assert [made.position_of(at) for at in range(5)] == [0, 1, 2, 2, 3]
    assert [(made.start_of(at), made.end_of(at + 1)) for at in range(3)] == [(0, 1), (1, 3), (3, 4)]
