from __future__ import annotations

from typing import Any

import pytest

from ringmaster.agents.base import AgentEnd, AgentReport, ExplicitReport
from ringmaster.agents.verdict import outcome_of
from ringmaster.model.outcomes import Outcome

EXITED = AgentEnd(reason="exited", code=0)
CRASHED = AgentEnd(reason="exited", code=3)
KILLED = AgentEnd(reason="exited", signal=11)
WALL = AgentEnd(reason="wall_clock", signal=15)
IDLE = AgentEnd(reason="idle", signal=15)

LIMIT = AgentEnd(reason="limit", error="reached its maximum number of turns (2)", signal=15)

SILENT = AgentReport()
SUCCEEDED = AgentReport(status="succeeded")
FAILED = AgentReport(status="failed")
ASKS = AgentReport(status="needs_decision", question="Which?")
DENIED = AgentReport(denials=2)
DENIED_WELL = AgentReport(status="succeeded", denials=2)
LIMITED = AgentReport(status="rate_limited", reset_at=99.0)
SAID = AgentReport(is_complete_said=True)

SAYS_SUCCEEDED = ExplicitReport(status="succeeded")
SAYS_FAILED = ExplicitReport(status="failed")
ASKED = ExplicitReport(status="needs_decision", summary="Which?", decision_id="d-1")

DIFF = {"has_diff": True, "is_diff_needed": True}
NO_DIFF = {"has_diff": False, "is_diff_needed": True}
NONE_NEEDED = {"has_diff": False, "is_diff_needed": False}
O = Outcome  # noqa: E741

TABLE: list[tuple[str, AgentEnd, AgentReport, ExplicitReport | None, dict[str, bool], str, Outcome | None]] = [
    # Ended from outside: no word of the agent betters it.
    ("no start", AgentEnd(reason="spawn_failed"), SILENT, None, NO_DIFF, "end", O.SPAWN_FAILED),
    ("cancelled though it succeeded", AgentEnd(reason="cancelled"), SUCCEEDED, None, DIFF, "end", O.CANCELLED),
    ("estop", AgentEnd(reason="estop"), SUCCEEDED, None, DIFF, "end", O.INTERRUPTED),
    ("lost", AgentEnd(reason="lost"), SUCCEEDED, SAYS_SUCCEEDED, DIFF, "end", O.INTERRUPTED),
    ("flood", AgentEnd(reason="output_flood"), SUCCEEDED, None, DIFF, "end", O.OUTPUT_FLOOD),
    # A limit ends only what had not finished by its own account.
    ("wall clock", WALL, SILENT, None, DIFF, "end", O.TIMED_OUT),
    ("idle", IDLE, SILENT, None, NO_DIFF, "end", O.TIMED_OUT),
    ("at a limit", AgentEnd(reason="limit", error="reached it"), SILENT, None, DIFF, "end", O.FAILED),
    (
        "at a limit after its report",
        AgentEnd(reason="limit", error="x"),
        SILENT,
        SAYS_SUCCEEDED,
        DIFF,
        "validate",
        None,
    ),
    ("hung after its result", IDLE, SUCCEEDED, None, DIFF, "validate", None),
    ("hung after its failure", WALL, FAILED, None, DIFF, "end", O.FAILED),
    ("asked and waited for the answer", IDLE, SILENT, ASKED, DIFF, "end", O.NEEDS_DECISION),
    # The structured result.
    ("succeeded", EXITED, SUCCEEDED, None, DIFF, "validate", None),
    ("succeeded, bad exit", CRASHED, SUCCEEDED, None, DIFF, "validate", None),
    ("failed with a diff and exit 0", EXITED, FAILED, None, DIFF, "end", O.FAILED),
    ("failed against its own report", EXITED, FAILED, SAYS_SUCCEEDED, DIFF, "end", O.FAILED),
    ("asks with a diff", EXITED, ASKS, None, DIFF, "end", O.NEEDS_DECISION),
    ("rate limited", CRASHED, LIMITED, None, DIFF, "end", O.RATE_LIMITED),
    # The report over the socket.
    ("asked, ended in order", EXITED, SUCCEEDED, ASKED, DIFF, "end", O.NEEDS_DECISION),
    ("reported failure, ended in order", EXITED, SUCCEEDED, SAYS_FAILED, DIFF, "end", O.FAILED),
    ("reported success, died", KILLED, SILENT, SAYS_SUCCEEDED, DIFF, "validate", None),
    # Denials.
    ("denied, nothing done", EXITED, DENIED, None, NO_DIFF, "end", O.NEEDS_DECISION),
    ("denied every write and says success", EXITED, DENIED_WELL, None, NO_DIFF, "end", O.NEEDS_DECISION),
    ("denied something, did the work", EXITED, DENIED, None, DIFF, "validate", None),
    ("denied, no diff needed", EXITED, DENIED, None, NONE_NEEDED, "end", O.NEEDS_DECISION),
    # Diff and exit status.
    ("exit 0 with a diff", EXITED, SILENT, None, DIFF, "validate", None),
    ("exit 0 without one", EXITED, SILENT, None, NO_DIFF, "end", O.NO_CHANGES),
    ("success without a diff", EXITED, SUCCEEDED, SAYS_SUCCEEDED, NO_DIFF, "end", O.NO_CHANGES),
    ("no diff needed", EXITED, SILENT, None, NONE_NEEDED, "done", O.SUCCEEDED),
    ("no diff needed, one made", EXITED, SILENT, None, {"has_diff": True, "is_diff_needed": False}, "validate", None),
    ("exit 3 with a diff", CRASHED, SILENT, None, DIFF, "end", O.FAILED),
    ("exit 3, no diff needed", CRASHED, SILENT, None, NONE_NEEDED, "end", O.FAILED),
    ("died with a diff", KILLED, SILENT, None, DIFF, "end", O.FAILED),
    ("no exit status", AgentEnd(reason="exited"), SILENT, None, DIFF, "end", O.FAILED),
    # Words, last of all.
    ("words do not better an exit status", CRASHED, SAID, None, DIFF, "end", O.FAILED),
    ("words do not stand for a diff", EXITED, SAID, None, NO_DIFF, "end", O.NO_CHANGES),
]


@pytest.mark.parametrize(
    ("end", "report", "explicit", "facts", "kind", "outcome"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_evidence_is_weighed_in_its_order(
    end: AgentEnd,
    report: AgentReport,
    explicit: ExplicitReport | None,
    facts: dict[str, Any],
    kind: str,
    outcome: Outcome | None,
):
    verdict = outcome_of(end, report, explicit, **facts)
    assert (verdict.kind, verdict.outcome) == (kind, outcome)
    assert verdict.reason
    assert "\n" not in verdict.reason


def test_a_failure_that_is_not_the_tasks_fault_does_not_count():
    report = AgentReport(status="failed", summary="the API answered 529", is_counted=False)
    verdict = outcome_of(CRASHED, report, None, has_diff=False, is_diff_needed=True)
    assert not verdict.is_counted
    assert verdict.reason == "the agent says that it failed: the API answered 529"


def test_a_rate_limit_says_when_it_ends():
    verdict = outcome_of(EXITED, LIMITED, None, has_diff=False, is_diff_needed=True)
    assert verdict.reset_at == 99.0
    assert not verdict.is_counted


@pytest.mark.parametrize(("denials", "words"), [(1, "once"), (3, "3 times")])
def test_refusals_are_counted_in_words(denials: int, words: str):
    verdict = outcome_of(EXITED, AgentReport(denials=denials), None, has_diff=False, is_diff_needed=True)
    assert verdict.reason == f"was refused a permission {words} and changed nothing"


def test_a_reason_is_one_bounded_line_whatever_the_agent_says():
    report = AgentReport(status="failed", summary="line\n" * 10_000)
    reason = outcome_of(EXITED, report, None, has_diff=False, is_diff_needed=True).reason
    assert "\n" not in reason
    assert len(reason) < 400


def test_how_it_died_is_said_by_name():
    reason = outcome_of(KILLED, SILENT, None, has_diff=True, is_diff_needed=True).reason
    assert reason == "died of SIGSEGV"


@pytest.mark.parametrize(
    ("code", "number", "is_memory_short", "words"),
    [
        (None, 9, True, "killed by signal 9 (out of memory?)"),
        (None, 9, False, "died of SIGKILL"),
        (None, 11, True, "died of SIGSEGV"),
        (137, None, True, "exited with 137: what it ran was killed by signal 9 (out of memory?)"),
        (137, None, False, "exited with 137"),
    ],
)
def test_memory_is_named_only_where_the_kernel_ran_short_of_it(
    code: int | None, number: int | None, is_memory_short: bool, words: str
):
    end = AgentEnd(reason="exited", code=code, signal=number, is_memory_short=is_memory_short)
    verdict = outcome_of(end, SILENT, None, has_diff=True, is_diff_needed=True)
    assert (verdict.outcome, verdict.is_counted, verdict.reason) == (Outcome.FAILED, True, words)
