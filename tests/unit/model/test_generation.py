"""Generations as values: legal moves, and what is derived of measures."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import (
    GENERATION_MOVES,
    UNSETTLED_STATES,
    GenerationState,
    Measures,
    Receipt,
    StageResult,
    check_generation_move,
)

G = GenerationState
LEGAL = {
    (G.CANDIDATE, G.TRIAL),
    (G.CANDIDATE, G.BAD),
    (G.CANDIDATE, G.SUPERSEDED),
    (G.TRIAL, G.GOOD),
    (G.TRIAL, G.BAD),
    (G.TRIAL, G.CANDIDATE),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(G, G)))
def test_a_move_is_legal_or_refused_in_words(old: GenerationState, new: GenerationState):
    if (old, new) in LEGAL:
        check_generation_move(4, old, new)
        return
    with pytest.raises(RingmasterError, match=f"generation 4 is {old}, so it cannot become {new}") as caught:
        check_generation_move(4, old, new)
    assert caught.value.kind is ErrorKind.WRONG_STATE


def test_what_has_settled_stays():
    assert {state for state in G if GENERATION_MOVES[state]} == UNSETTLED_STATES


def test_rates_are_of_what_ended_and_costs_of_what_succeeded():
    measures = Measures(attempts=4, succeeded=2, cost_usd=3.0, work_s=90.0)
    assert (measures.success_rate, measures.cost_per_success_usd, measures.work_per_success_s) == (0.5, 1.5, 45.0)
    none = Measures(attempts=4, succeeded=0, cost_usd=3.0, work_s=90.0)
    assert (none.success_rate, none.cost_per_success_usd, none.work_per_success_s) == (0.0, None, None)
    for empty in (Measures(), Measures(attempts=0, succeeded=0)):
        assert (empty.success_rate, empty.cost_per_success_usd, empty.work_per_success_s) == (None, None, None)


def test_newer_measures_take_the_place_of_older_ones_and_leave_the_rest():
    assert Measures(calls=3, lag_s=0.1).with_newer(Measures(calls=0, rpc_p99_s=0.2)) == Measures(
        calls=0, lag_s=0.1, rpc_p99_s=0.2
    )


def test_a_receipt_of_newer_code_is_read():
    text = b'{"stage": "x", "result": "postponed", "wall_s": 1.0, "words": "w", "more": 1}'
    assert msgspec.json.decode(text, type=Receipt) == Receipt("x", StageResult.UNKNOWN, 1.0, "w")
