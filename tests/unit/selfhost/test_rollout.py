"""What the events of a reload tell about one commit: which generation has it, and every way that can end."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.selfhost.rollout import Rollout
from tests.unit.selfhost.events import event

OURS, BEFORE, AFTER = "c" * 40, "b" * 40, "d" * 40
"""Commits in their order: each contains those before it."""


def of(at: float, verb: str, number: int = 2, decision: str = "", **data: Any) -> dict[str, Any]:
    return event(at, f"generation.{verb}", decision, "", generation=number, **data)


MADE = of(10, "made", commit=OURS, release="r", parent=1, source="target")
GATED = of(12, "gated", stage="import", result="passed", words="9 modules\nand more", wall_s=1.25)
TRIED, GOOD = of(15, "tried", release="r"), of(20, "good", release="r")


def state(rollout: Rollout) -> tuple[Any, ...]:
    return rollout.end, rollout.generation, rollout.reason


def told(*events: dict[str, Any]) -> tuple[Rollout, list[str]]:
    rollout = Rollout(lambda made: made >= OURS)
    lines = [rollout.take(one) for one in events]
    return rollout, [f"{line.what} {line.text}" for line in lines if line is not None]


def test_it_is_live_when_the_generation_that_has_it_is_good():
    rollout, lines = told(MADE, GATED, TRIED)
    assert rollout.end is None
    assert rollout.under_way() == ("generation 2: on probation", 15.0)
    rollout.take(GOOD)
    assert state(rollout) == ("live", 2, "")
    assert rollout.good_at == 20.0
    assert [(part.name, part.wall_s) for part in rollout.parts()] == [("gate", 5.0), ("probation", 5.0)]
    assert lines == [
        f"generation 2 is made of {OURS[:12]}: its gate begins",
        "check import passed, 1.2 s: 9 modules",
        "generation 2 is executed in the daemon's own process and is on probation",
    ]


def test_generations_without_it_are_told_and_end_nothing():
    older = [of(1, "made", commit=BEFORE), of(2, "tried"), of(3, "good"), of(4, "made", 3, commit=BEFORE)]
    rollout, lines = told(*older, of(5, "superseded", 3, reason="a newer change took its place"))
    assert (rollout.generation, rollout.end, len(lines)) == (0, None, 5)
    rollout.take(of(6, "made", 4, commit=AFTER))
    rollout.take(of(7, "good", 4))
    assert (rollout.generation, rollout.end) == (4, "live")


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([of(13, "bad", reason="gate: red\nmore")], "refused"),
        ([TRIED, of(16, "bad", reason="its loop stood still")], "failed"),
        ([of(13, "put_off", reason="no index in reach")], "put_off"),
        ([of(13, "put_off", decision="d-1", reason="waits for decision d-1")], "asks"),
        ([of(13, "superseded", reason="a newer change took its place")], "superseded"),
    ],
)
def test_every_other_end_has_its_name_and_its_reason(events: list[dict[str, Any]], end: str):
    rollout, lines = told(MADE, GATED, *events)
    assert (rollout.end, rollout.reason) == (end, events[-1]["data"]["reason"])
    assert lines[-1].endswith(events[-1]["data"]["reason"].partition("\n")[0])


def test_what_was_put_off_goes_on_when_it_is_judged_again():
    rollout, _ = told(MADE, of(13, "put_off", decision="d-1", reason="waits"), GATED)
    assert rollout.end is None
    rollout, _ = told(MADE, of(13, "put_off", reason="no index"), of(70, "made", 3, commit=OURS))
    assert (rollout.end, rollout.generation) == (None, 3)


def test_what_keeps_a_release_from_being_made_is_an_end_only_when_it_happens_now():
    trouble = event(9, "reload.found_nothing", task="", words="the disk is full", is_paused=True)
    nothing = event(9, "reload.found_nothing", task="", words="generation 1 is what there is", is_paused=False)
    rollout, lines = told(nothing, trouble)
    assert lines == ["reload nothing can be taken now: the disk is full"]
    rollout.forget_failure()
    assert state(rollout) == (None, 0, "")
    rollout.take(trouble)
    assert state(rollout) == ("put_off", 0, "the disk is full")
