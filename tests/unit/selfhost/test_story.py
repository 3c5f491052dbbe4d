"""What a run's events tell: its parts add up, and it ends exactly when a person has to know."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.selfhost.story import Story
from tests.unit.selfhost.events import BEGUN, DONE, LANDED, PROJECT, QUESTION, TASK, event


def told(*events: dict[str, Any]) -> Story:
    story = Story(TASK, PROJECT)
    for one in events:
        story.take(one)
    return story


def test_the_parts_of_a_landing_come_from_event_times_and_add_up():
    story = told(*BEGUN, *LANDED, DONE)
    parts = {part.name: part.wall_s for part in story.parts()}
    assert parts == pytest.approx(
        {"queue": 1.0, "workspace": 2.0, "agent": 3.0, "merge": 4.0, "gate": 30.0, "landing": 1.0}
    )
    assert sum(parts.values()) == pytest.approx(41.0)
    assert (story.end, story.commit, story.ref) == ("landed", "e" * 40, "refs/heads/selfhost")


def test_a_reused_receipt_takes_no_time():
    reused = event(18.0, "gate.reused", commit="e" * 40, receipt_of="f" * 40, tree="t")
    story = told(*BEGUN[:-1], reused, *LANDED[1:], DONE)
    parts = {part.name: part.wall_s for part in story.parts()}
    assert (parts["gate"], parts["merge"]) == (0.0, 2.0)
    assert "same tree" in story.tests


def test_it_is_not_over_before_the_task_is():
    for count in range(len(BEGUN) + len(LANDED) + 1):
        assert told(*[*BEGUN, *LANDED][:count]).end is None


def test_the_parts_are_those_of_the_attempt_that_landed():
    first = [
        *BEGUN,
        event(30.0, "attempt.ended", outcome="conflict", reason="moved"),
        event(30.0, "task.opened", reason="moved"),
    ]
    again = [{**one, "at": one["at"] + 100} for one in [*BEGUN[1:], *LANDED, DONE]]
    parts = {part.name: part.wall_s for part in told(*first, *again).parts()}
    assert parts["queue"] == pytest.approx(81.0)
    assert parts["gate"] == pytest.approx(30.0)


def test_a_red_gate_ends_the_story_when_the_task_has_been_put_back():
    red = event(60.0, "attempt.ended", outcome="gate_failed", reason="the gate ended with exit status 2")
    assert told(*BEGUN, red).end is None
    story = told(*BEGUN, red, event(60.0, "task.opened", reason="red"))
    assert story.end == "red"
    assert "exit status 2" in story.failure
    story.forget_failure()
    assert story.end is None, "a later run follows the next attempt"
    story.take(event(90.0, "attempt.started", agent="scripted"))
    assert story.end is None


@pytest.mark.parametrize("outcome", ["interrupted", "conflict", "rate_limited"])
def test_what_is_tried_again_by_itself_goes_on(outcome: str):
    ended = event(60.0, "attempt.ended", outcome=outcome, reason="x")
    assert told(*BEGUN, ended, event(60.0, "task.opened", reason="x")).end is None


def test_an_open_decision_ends_it_until_it_is_answered():
    story = told(*BEGUN, event(20.0, "decision.opened", "d-1", **QUESTION))
    assert story.end == "decision"
    story.take(event(21.0, "decision.answered", "d-1", answer="this"))
    assert story.end is None
    assert (
        told(*BEGUN, event(20.0, "decision.opened", "d-1", **QUESTION), event(21.0, "decision.withdrawn", "d-1")).end
        is None
    )


def test_a_paused_project_ends_it_until_it_is_resumed():
    story = told(*BEGUN, event(20.0, "project.paused", task="", reason="base red"))
    assert (story.end, story.paused) == ("paused", "base red")
    story.take(event(21.0, "project.resumed", task=""))
    assert story.end is None


@pytest.mark.parametrize(("type", "end"), [("task.failed", "failed"), ("task.cancelled", "cancelled")])
def test_an_end_without_a_landing(type: str, end: str):
    assert told(*BEGUN, event(20.0, type, reason="spent")).end == end


def test_a_person_may_close_it():
    assert told(*BEGUN, event(20.0, "task.done", done_by="person", commit="")).end == "done"


def test_other_tasks_of_the_project_say_nothing():
    story = told(*BEGUN)
    assert story.take(event(20.0, "task.failed", task="rm-2", reason="x")) is None
    assert story.end is None


def test_an_event_of_a_later_version_is_passed_over():
    assert told(*BEGUN).take(event(20.0, "task.applauded")) is None


def test_generations_are_told_from_this_run_on_and_their_questions_stop_no_task():
    early, late = (event(at, "generation.good", task="", generation=2) for at in (5.0, 12.0))
    story = Story(TASK, PROJECT, since=early["seq"])
    lines = [story.take(one) for one in (early, *BEGUN[:1], late)]
    assert [line.what for line in lines if line is not None] == ["queued", "generation"]
    story.take(event(13.0, "decision.opened", "d-1", "", kind="release", question="Shall it be tried?"))
    assert story.end is None
