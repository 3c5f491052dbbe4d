"""The outcome table of docs/states.md, row by row, and the back-off as a pure function."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringmaster.model.outcomes import (
    BACKOFF_FIRST_S,
    BACKOFF_LIMIT_S,
    INTERRUPTED_DELAY_S,
    INTERRUPTED_LIMIT,
    OUTCOME_RULES,
    Consequence,
    Outcome,
    backoff_s,
    consequence_of,
)
from ringmaster.model.states import TaskState

NOW = 1_000_000.0


def consequence(outcome: Outcome, **facts: object) -> Consequence:
    given_facts = {"counted_attempts": 0, "max_attempts": 3, "streak": 0, "now": NOW, "rng": random.Random(1), **facts}
    return consequence_of(outcome, **given_facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "state", "counted", "is_delayed"),
    [
        (Outcome.SUCCEEDED, TaskState.DONE, 1, False),
        (Outcome.FAILED, TaskState.OPEN, 1, True),
        (Outcome.GATE_FAILED, TaskState.OPEN, 1, True),
        (Outcome.CONFLICT, TaskState.OPEN, 1, False),
        (Outcome.NO_CHANGES, TaskState.OPEN, 0, False),
        (Outcome.NEEDS_DECISION, TaskState.OPEN, 0, False),
        (Outcome.RATE_LIMITED, TaskState.OPEN, 0, True),
        (Outcome.TIMED_OUT, TaskState.OPEN, 1, True),
        (Outcome.OUTPUT_FLOOD, TaskState.OPEN, 1, True),
        (Outcome.CANCELLED, TaskState.CANCELLED, 0, False),
        (Outcome.INTERRUPTED, TaskState.OPEN, 0, True),
        (Outcome.LEASE_LOST, None, 0, False),
        (Outcome.SPAWN_FAILED, TaskState.OPEN, 0, True),
    ],
)
def test_each_outcome_has_its_row(outcome: Outcome, state: TaskState | None, counted: int, is_delayed: bool) -> None:
    found = consequence(outcome)
    assert (found.next_state, found.counted_attempts, found.not_before_at is not None) == (state, counted, is_delayed)


def test_every_outcome_has_a_rule() -> None:
    assert set(OUTCOME_RULES) == set(Outcome)


def test_the_last_counted_attempt_spends_the_task_and_an_uncounted_failure_does_not() -> None:
    spent = consequence(Outcome.GATE_FAILED, counted_attempts=2)
    assert (spent.next_state, spent.is_spent, spent.not_before_at) == (TaskState.FAILED, True, None)
    excused = consequence(Outcome.FAILED, counted_attempts=2, is_counted=False)
    assert (excused.next_state, excused.is_spent, excused.counted_attempts) == (TaskState.OPEN, False, 2)


def test_a_streak_of_interruptions_is_broken_off_and_anything_else_ends_it() -> None:
    assert not consequence(Outcome.INTERRUPTED, streak=INTERRUPTED_LIMIT - 2).is_streak_broken
    assert consequence(Outcome.INTERRUPTED, streak=INTERRUPTED_LIMIT - 1).is_streak_broken
    assert consequence(Outcome.INTERRUPTED).not_before_at == NOW + INTERRUPTED_DELAY_S
    assert consequence(Outcome.CONFLICT, streak=4).streak == 0


def test_a_rate_limit_waits_for_its_reset() -> None:
    assert consequence(Outcome.RATE_LIMITED, reset_at=NOW + 77.0).not_before_at == NOW + 77.0


@given(retries=st.integers(min_value=0, max_value=10_000), seed=st.integers())
def test_the_back_off_doubles_within_its_bounds(retries: int, seed: int) -> None:
    cap = min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2 ** min(max(retries, 1) - 1, 16))
    assert cap / 2 <= backoff_s(retries, random.Random(seed)) <= cap <= BACKOFF_LIMIT_S
