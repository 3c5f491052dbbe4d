"""Legal moves and what a person sees: docs/states.md as a table."""

from __future__ import annotations

import pytest

from ringmaster.model.decisions import DECISION_EFFECTS, DecisionKind, Effect, effect_of, options_of
from ringmaster.model.errors import EXIT_CODES, ErrorKind, RingmasterError
from ringmaster.model.states import (
    ATTEMPT_MOVES,
    TASK_MOVES,
    UNDO_MOVES,
    AttemptState,
    TaskState,
    check_move,
    derived_state,
)


def test_every_state_has_its_row_and_what_has_ended_stays_ended() -> None:
    assert set(TASK_MOVES) == set(TaskState)
    assert set(ATTEMPT_MOVES) == set(AttemptState)
    # A person, or a child that is open again, takes up what was done.
    assert TASK_MOVES[TaskState.DONE] == frozenset({TaskState.OPEN})
    assert ATTEMPT_MOVES[AttemptState.ENDED] == frozenset()


def test_undoing_goes_only_where_a_person_can_have_come_from() -> None:
    assert set(UNDO_MOVES) == set(TaskState)
    for state, back in UNDO_MOVES.items():
        assert not back & TASK_MOVES[state], "a way that is there for all needs no other"
        assert not (back | {state} if back else set()) & {TaskState.RUNNING, TaskState.VALIDATING, TaskState.LANDING}


def test_an_illegal_move_is_refused_in_words() -> None:
    with pytest.raises(RingmasterError, match="task rm-1 is done, so it cannot become running") as caught:
        check_move(TASK_MOVES, "task", "rm-1", TaskState.DONE, TaskState.RUNNING)
    assert caught.value.kind is ErrorKind.WRONG_STATE
    check_move(TASK_MOVES, "task", "rm-1", TaskState.OPEN, TaskState.RUNNING)


@pytest.mark.parametrize(
    ("state", "blockers", "decision", "not_before_at", "shown"),
    [
        (TaskState.OPEN, 0, False, None, "ready"),
        (TaskState.OPEN, 0, False, 5.0, "ready"),
        (TaskState.OPEN, 0, False, 20.0, "scheduled"),
        (TaskState.OPEN, 2, False, 20.0, "blocked"),
        (TaskState.OPEN, 1, True, None, "waiting"),
        (TaskState.RUNNING, 1, True, None, "running"),
        (TaskState.DRAFT, 0, False, None, "draft"),
    ],
)
def test_what_a_person_sees_is_derived(
    state: TaskState, blockers: int, decision: bool, not_before_at: float | None, shown: str
) -> None:
    found = derived_state(
        state, open_blockers=blockers, has_open_decision=decision, not_before_at=not_before_at, now=10.0
    )
    assert found == shown


def test_every_decision_takes_answers_and_refuses_others_by_naming_its_own() -> None:
    assert set(DECISION_EFFECTS) == set(DecisionKind)
    assert effect_of(DecisionKind.QUESTION, "d-1", "anything at all") is Effect.NOTE
    assert options_of(DecisionKind.ACCEPT) == ("accept", "reject")
    with pytest.raises(RingmasterError, match="decision d-1 takes accept or reject, not 'perhaps'"):
        effect_of(DecisionKind.ACCEPT, "d-1", "perhaps")


def test_every_error_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(ErrorKind)
