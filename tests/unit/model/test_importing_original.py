from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.importing import OldQuestion
from ringmaster.model.importing_original import translate
from ringmaster.model.states import TaskState
from tests.fakes.original import make_row

NOW = 1_800_000_000.0


def translated(*rows: dict[str, Any], after: tuple[tuple[str, str], ...] = ()):
    return translate(rows, after, NOW)


def only(*rows: dict[str, Any], after: tuple[tuple[str, str], ...] = ()):
    return translated(*rows, after=after).tasks[0]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("draft", TaskState.DRAFT),
        ("ready", TaskState.OPEN),
        ("assigned", TaskState.OPEN),
        ("in_progress", TaskState.OPEN),
        ("blocked", TaskState.OPEN),
        ("review", TaskState.OPEN),
        ("needs_decomposition", TaskState.DRAFT),
        ("done", TaskState.DONE),
        ("failed", TaskState.FAILED),
    ],
)
def test_each_state_of_the_original_has_one_here(status, state):
    assert only(make_row("bd-1", status=status)).state is state


def test_a_row_as_the_original_makes_it_loses_nothing_and_tells_nothing_twice():
    row = make_row(
        "bd-a6ff1909",
        title="Sum  the\nledger",
        description="In cents.",
        priority="P0",
        acceptance_criteria=["it adds up", "it is fast"],
        required_capabilities=["rust", "python", "rust"],
    )
    task = only(row)
    assert (task.id, task.title, task.priority, task.max_attempts) == ("bd-a6ff1909", "Sum the ledger", 0, 5)
    assert task.acceptance == ("it adds up", "it is fast")
    assert task.capabilities == ("python", "rust")
    assert task.description == "In cents.\n\nFrom the original system:\n- Filed on 2026-01-03"
    assert translated(row).notes == ()


def test_what_was_tried_is_told_to_who_tries_next():
    row = make_row("bd-1", attempts=3, last_failure_reason="no tests", status="review", parent_id="bd-9")
    words = only(row, make_row("bd-9", type="epic", title="The shop")).description
    assert "- Part of bd-9: The shop" in words
    assert "- Attempts made there: 3\n- The last one failed: no tests\n- Its state there was review" in words


def test_an_unknown_column_is_kept_in_the_description():
    task = only(make_row("bd-1", estimate="3 days", nothing=None))
    assert "- estimate: 3 days" in task.description
    assert "nothing" not in task.description


def test_a_back_off_that_is_not_over_goes_on():
    assert only(make_row("bd-1", retry_after="2027-01-15T08:00:01+00:00")).not_before_at == NOW + 1
    assert only(make_row("bd-1", retry_after="2027-01-15T07:59:59")).not_before_at is None
    assert only(make_row("bd-1", retry_after="soon")).not_before_at is None


def test_a_draft_that_waits_is_open_because_the_original_would_have_opened_it():
    waiting, blocker = make_row("bd-1", status="draft"), make_row("bd-2", status="draft")
    found = translated(waiting, blocker, after=(("bd-1", "bd-2"),)).tasks
    assert [(task.id, task.state, task.after) for task in found] == [
        ("bd-1", TaskState.OPEN, ("bd-2",)),
        ("bd-2", TaskState.DRAFT, ()),
    ]


def test_an_epic_is_a_draft_that_nobody_is_given():
    assert (only(make_row("bd-1", type="epic")).state, only(make_row("bd-1", type="epic")).labels) == (
        TaskState.DRAFT,
        ("epic",),
    )
    assert only(make_row("bd-1", type="epic", status="done")).state is TaskState.DONE


def test_a_decision_is_a_question_to_a_person_and_no_task():
    asked = make_row(
        "bd-1-d1",
        type="decision",
        blocks_id="bd-1",
        question="Which currency?",
        options=["EUR", "USD"],
        recommendation="EUR",
        context="two are in use",
    )
    found = translated(make_row("bd-1", status="blocked"), asked)
    assert [task.id for task in found.tasks] == ["bd-1"]
    assert found.tasks[0].questions == (
        OldQuestion("Which currency?", "two are in use\nProposed: EUR", ("EUR", "USD")),
    )
    assert found.notes == ()


def test_an_answered_decision_is_told_and_blocks_nothing():
    asked = make_row("bd-1-d1", type="decision", blocks_id="bd-1", question="Which?", resolution="EUR", status="done")
    task = only(make_row("bd-1"), asked)
    assert task.questions == ()
    assert "- Asked: Which?\n  Answered: EUR" in task.description


def test_a_question_blocked_nothing_there_and_blocks_nothing_here():
    asked = make_row("bd-1-q1", type="question", related_id="bd-1", question="Tabs?", default_answer="no")
    task = only(make_row("bd-1"), asked)
    assert task.questions == ()
    assert "- Asked, and not answered: Tabs?\n  Assumed: no" in task.description


def test_who_depends_on_a_decision_is_asked_it():
    asked = make_row("bd-2", type="decision", title="Which?")
    task = only(make_row("bd-1"), asked, after=(("bd-1", "bd-2"),))
    assert (task.after, task.questions) == ((), (OldQuestion("Which?"),))


def test_a_blocked_task_without_a_decision_asks_why():
    assert only(make_row("bd-1", status="blocked", blocked_reason="needs a key")).questions == (
        OldQuestion("needs a key"),
    )
    assert "nothing says why" in only(make_row("bd-1", status="blocked")).questions[0].question
    waits = translated(make_row("bd-1", status="blocked"), make_row("bd-2"), after=(("bd-1", "bd-2"),))
    assert waits.tasks[0].questions == ()


def test_what_cannot_be_taken_as_it_was_is_named():
    found = translated(
        make_row("No id!"),
        make_row("bd-1", status="odd", priority="soonest"),
        make_row("bd-1", title="again"),
        make_row("bd-q", type="question", question="Who?"),
        after=(("bd-1", "bd-gone"), ("bd-1", "bd-1"), ("gone", "bd-1")),
    )
    assert [task.id for task in found.tasks] == ["bd-1"]
    assert (found.tasks[0].state, found.tasks[0].priority, found.tasks[0].after) == (TaskState.DRAFT, 2, ())
    assert found.notes == (
        "left out: 'No id!' cannot be the id of a task",
        "left out: a second task bd-1",
        "left out: bd-1 waits for bd-gone, and there is no bd-gone",
        "left out: gone waits for bd-1, and there is no gone",
        "left out: question bd-q is about no task: Who?",
        "bd-1 is a draft now: nobody knows the state 'odd'",
        "bd-1 has priority 2 now: 'soonest' is none",
    )


@pytest.mark.parametrize("value", [b"\xff\x00raw", "[" * 100_000, "x" * 2_000_000, -1e308, '{"a": 1}', None])
@pytest.mark.parametrize(
    "column",
    ["title", "description", "acceptance_criteria", "max_attempts", "attempts", "created_at", "priority", "status"],
)
def test_any_value_in_any_column_makes_a_task_of_bounded_size(column, value):
    task = only({**make_row("bd-1"), column: value})
    assert len(task.title) <= 500
    assert len(task.description) <= 1_000_000
    assert "\0" not in task.title + task.description
    assert 0 <= task.max_attempts <= 1000
