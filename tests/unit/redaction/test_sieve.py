"""A sieve finds what is there, whatever was taken away on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringmaster.redaction.forms import BLOCK_NEEDLE, NEEDLES
from ringmaster.redaction.sieve import MANY, Sieve

SOUGHT = (*NEEDLES, BLOCK_NEEDLE)
SIEVE = Sieve(SOUGHT)
AROUND = st.text(st.sampled_from("aeskghp_-JA.:/ \n\u00e9\ud800"), max_size=30)


@given(before=AROUND, after=AROUND)
def test_each_string_is_found_in_whatever_surrounds_it(before: str, after: str) -> None:
    assert [sought for sought in SOUGHT if not SIEVE.finds(before + sought + after)] == []


@given(text=st.text(st.sampled_from("aeskghp_-JAKI.:/ \n"), max_size=200))
def test_what_it_finds_is_there(text: str) -> None:
    assert SIEVE.finds(text) == any(one in text for one in SOUGHT)


def test_what_is_left_of_a_string_is_not_the_string() -> None:
    assert not SIEVE.finds("gh aeti p_ and s k- and A K I A")
    assert not SIEVE.finds("")


def test_a_string_of_which_nothing_is_left_is_looked_for_as_it_is() -> None:
    assert Sieve(["an end"]).finds("this is an end")
    assert not Sieve(["an end"]).finds("not yet")


def test_signs_are_looked_at_by_what_is_before_them_few_or_many() -> None:
    sieve = Sieve(["ghp_", "ab_cd", "sk-", "plain"])
    assert sieve.find("hp_ b_cd k- xk_ p-") == []
    for filler in ("", "x_ y- " * MANY):
        assert sieve.find(f"{filler}ghp_ sk-") == ["ghp_", "sk-"]
        assert sieve.find(f"{filler}ab_ce plain") == ["plain"]
