"""What may come with a question, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.asking import Advice, make_advice
from ringmaster.model.errors import ErrorKind, RingmasterError

PLAIN: dict[str, Any] = {
    "options": ("a", "b"),
    "recommendation": "",
    "urgency": "normal",
    "default_answer": "",
    "default_after_s": None,
    "now": 1000.0,
}


def test_a_question_can_come_with_nothing_besides():
    assert make_advice(**PLAIN) == Advice()


def test_a_default_has_its_time():
    advice = make_advice(**PLAIN | {"default_answer": "b", "default_after_s": 60.0, "recommendation": "a"})
    assert advice == Advice(recommendation="a", default_answer="b", default_at=1060.0)


def test_without_options_any_words_may_be_recommended():
    assert make_advice(**PLAIN | {"options": (), "recommendation": "the blue one"}).recommendation == "the blue one"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recommendation": "c"}, "the recommendation 'c' is none of its options"),
        ({"default_answer": "c", "default_after_s": 60.0}, "the default 'c' is none of its options"),
        ({"options": (), "default_answer": "a", "default_after_s": 60.0}, "the default 'a' is none of its options"),
        ({"default_answer": "a"}, "a default needs its time"),
        ({"default_after_s": 60.0}, "a time needs the default"),
        ({"default_answer": "a", "default_after_s": 59.0}, "59 s is too soon"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(given: dict[str, Any], words: str):
    with pytest.raises(RingmasterError) as raised:
        make_advice(**PLAIN | given)
    assert raised.value.kind is ErrorKind.USAGE
    assert words in raised.value.message
    assert raised.value.message.endswith("nothing was asked")
