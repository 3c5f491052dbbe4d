"""When a dependency is in the way: the table of docs/queue.md, line by line."""

from __future__ import annotations

import pytest

from ringmaster.model.dependency import (
    GATING_KINDS,
    DependencyKind,
    OtherFacts,
    dependency_words,
    is_epic_over,
    is_in_the_way,
    is_unneeded,
)
from ringmaster.model.states import TaskState

S = TaskState
K = DependencyKind
STATES = tuple(TaskState)


def _open_in(kind: str, mode: str = "", **facts: object) -> set[TaskState]:
    """The states of the other task in which such a dependency is in the way."""
    return {state for state in STATES if is_in_the_way(kind, mode, OtherFacts(state, **facts))}  # type: ignore[arg-type]  # facts by name


def test_a_blocker_is_in_the_way_until_it_is_done() -> None:
    assert _open_in(K.BLOCKS) == set(STATES) - {S.DONE}


def test_a_fallback_waits_until_the_other_has_failed_or_is_given_up() -> None:
    assert _open_in(K.CONDITIONAL_BLOCKS) == {S.DRAFT, S.OPEN, S.RUNNING, S.VALIDATING, S.LANDING}
    assert {state for state in STATES if is_unneeded(K.CONDITIONAL_BLOCKS, OtherFacts(state))} == {S.DONE}
    assert not any(is_unneeded(kind, OtherFacts(S.DONE)) for kind in DependencyKind if kind != K.CONDITIONAL_BLOCKS)


def test_children_wait_for_what_holds_their_parent_up_and_not_for_the_parent() -> None:
    assert _open_in(K.PARENT_CHILD) == {S.DRAFT, S.CANCELLED}
    assert _open_in(K.PARENT_CHILD, is_held_up=True) == {S.DRAFT, S.CANCELLED, S.OPEN, S.FAILED}


def test_who_waits_for_all_children_waits_for_the_last_of_them_and_their_parent() -> None:
    assert _open_in(K.WAITS_FOR, "all") == set(STATES) - {S.DONE}
    assert _open_in(K.WAITS_FOR, "all", open_children=1, done_children=4) == set(STATES)


def test_who_waits_for_any_child_waits_for_the_first_that_is_done() -> None:
    assert _open_in(K.WAITS_FOR, "any", open_children=3) == set(STATES)
    assert _open_in(K.WAITS_FOR, "any", open_children=3, done_children=1) == set()
    assert _open_in(K.WAITS_FOR, "any") == set(STATES) - {S.DONE}


@pytest.mark.parametrize("kind", [*sorted(set(DependencyKind) - GATING_KINDS), "tracks", "something-new"])
def test_other_kinds_are_never_in_the_way(kind: str) -> None:
    assert _open_in(kind, is_held_up=True, open_children=1) == set()


def test_an_epic_is_over_when_no_child_is_left_and_one_is_done() -> None:
    assert is_epic_over(OtherFacts(S.OPEN, done_children=1))
    assert not is_epic_over(OtherFacts(S.OPEN, open_children=1, done_children=9))
    assert not is_epic_over(OtherFacts(S.OPEN)), "no child, or all of them cancelled: a person says what it comes to"


def test_every_kind_has_its_words() -> None:
    assert dependency_words("waits-for", "any", "rm-1") == "waits for any child of rm-1"
    assert dependency_words("tracks", "", "rm-1") == "tracks rm-1", "one that another system had"
    assert len({dependency_words(kind, "", "rm-1") for kind in K}) == len(K)
