"""`rmctl why`: a page that begins with what matters, and all of it for programs."""

from __future__ import annotations

import json

import msgspec

from ringmaster.protocol.task import ReceiptView
from ringmaster.protocol.why import Doing, Ending, Link, Obstacle, TaskWhy

AT = 1_800_000_000.0
BLOCKED = TaskWhy(
    id="rm-abc12",
    title="Mend it",
    state="open",
    shown="blocked",
    first="it waits for rm-9 (open): rmctl why rm-9",
    obstacles=(
        Obstacle(
            kind="dependency",
            id="rm-9",
            words="it waits for rm-9 (open)",
            since_at=AT,
            seq=12,
            command="rmctl why rm-9",
            chain=(
                Link(
                    kind="dependency", id="rm-8", words="rm-9: it waits for rm-8 (failed)", command="rmctl retry rm-8"
                ),
                Link(kind="decision", id="d-1", words="rm-8: again?", command="rmctl decision answer d-1 retry|close"),
            ),
        ),
        Obstacle(kind="no_worker", words="no worker can take it", command="rmctl worker spawn --agent AGENT"),
    ),
)


def test_everything_in_the_way_is_shown_down_to_its_root(daemon, rmctl):
    daemon.answers["task.why"] = BLOCKED
    page = rmctl("why", "rm-abc12").out
    assert page == (
        "rm-abc12  blocked  Mend it\n"
        "\n"
        "in the way\n"
        "  1. it waits for rm-9 (open)\n"
        "     since 2027-01-15T08:00:00.000Z, event 12\n"
        "     <- rm-9: it waits for rm-8 (failed)\n"
        "     <- rm-8: again?\n"
        "     rmctl decision answer d-1 retry|close\n"
        "  2. no worker can take it\n"
        "     rmctl worker spawn --agent AGENT\n"
        "\n"
        "next          it waits for rm-9 (open): rmctl why rm-9\n"
    )
    assert [params.id for params in daemon.called("task.why")] == ["rm-abc12"]


def test_how_to_see_the_rest_of_very_many_is_said(daemon, rmctl):
    daemon.answers["task.why"] = msgspec.structs.replace(BLOCKED, left_out=4900)
    assert "\n  and 4,900 more dependencies: rmctl why rm-abc12 -n 10000\n" in rmctl("why", "rm-abc12").out
    rmctl("why", "rm-abc12", "-n", "10000")
    assert daemon.called("task.why")[-1].limit == 10_000


def test_programs_get_all_of_it(daemon, rmctl):
    daemon.answers["task.why"] = BLOCKED
    found = json.loads(rmctl("why", "rm-abc12", "-o", "json").out)
    assert found["obstacles"][0]["chain"][1]["id"] == "d-1"
    assert found["obstacles"][0]["since_at"] == "2027-01-15T08:00:00.000Z"


def test_what_is_under_way_is_shown(daemon, rmctl):
    doing = Doing(
        words="attempt rm-1/2 is in the lane for gate and landing, 1 before it",
        attempt_id="rm-1/2",
        since_at=AT,
        seq=40,
        agent="claude",
        worker_id="w1",
        place=2,
    )
    daemon.answers["task.why"] = TaskWhy(
        id="rm-1", title="T", state="validating", shown="validating", first=f"{doing.words}: rmctl logs", doing=doing
    )
    page = rmctl("why", "rm-1").out
    for line in (
        "now           attempt rm-1/2 is in the lane for gate and landing, 1 before it\n",
        "since         2027-01-15T08:00:00.000Z, event 40\n",
        "agent         claude\n",
        "in the lane   place 2\n",
    ):
        assert line in page, page


def test_what_has_ended_is_shown_with_its_gates(daemon, rmctl):
    gate = ReceiptView(
        commit="1" * 40, result="red", gate="make test", tests="3 tests, 1 failed", is_flaky=False, wall_s=2.0, job="g"
    )
    ending = Ending(
        words="its attempts are used up",
        ended_at=AT,
        seq=50,
        attempt_id="rm-1/3",
        outcome="gate_failed",
        reason="the gate was red",
        receipts=(gate,),
    )
    daemon.answers["task.why"] = TaskWhy(
        id="rm-1", title="T", state="failed", shown="failed", first="its attempts are used up", ending=ending
    )
    page = rmctl("why", "rm-1").out
    for words in ("attempt       rm-1/3 gate_failed\n", "reason        the gate was red\n", "3 tests, 1 failed"):
        assert words in page, page


def test_what_goes_before_a_ready_task_is_counted(daemon, rmctl):
    daemon.answers["task.why"] = TaskWhy(
        id="rm-1", title="T", state="open", shown="ready", first="a worker takes it now", ahead=1
    )
    assert "before it     1 task is ready and goes first\n" in rmctl("why", "rm-1").out
