"""Which figures are worth a task, what the task says, and that no finding is filed twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringmaster.model.proposal import (
    Facts,
    Failure,
    Filed,
    Proposal,
    Timed,
    Uncovered,
    choose,
    count_failures,
    find_unnamed,
    key_of,
    normal_words,
    propose,
    read_coverage,
    spans,
)

SLOW = Timed("task.list", 500, 0.01, 0.12, 9.0)
CLAIM = Timed("tasks.claim", 5000, 0.0004, 0.02, 12.0)
BROKEN = Timed("logs.read", 50, 0.001, 0.002, 0.1, internal_errors=2)
ENDED = Failure("attempt.ended interrupted", "set-up failed", 7, "rm-a/1")
BARE = Uncovered("ringmaster/bus.py", tuple(range(10, 30)), 80)
ALL = Facts(
    measured="600 calls since noon",
    methods=(SLOW, BROKEN),
    statements=(CLAIM,),
    timed_share=0.0625,
    failures=(ENDED,),
    events=40,
    uncovered=(BARE,),
    uncovered_from="coverage.json of noon",
)


def test_each_kind_of_finding_becomes_a_proposal_what_failed_first():
    assert [proposal.key for proposal in propose(ALL)] == [
        "errors/logs.read",
        "failure/attempt.ended interrupted/set-up failed",
        "method/task.list",
        "statement/tasks.claim",
        "coverage/ringmaster/bus.py",
    ]


@pytest.mark.parametrize("proposal", propose(ALL), ids=lambda proposal: proposal.key)
def test_a_proposal_has_evidence_criteria_and_a_measure_with_its_figure(proposal: Proposal):
    assert proposal.evidence.endswith(".")
    assert len(proposal.acceptance) >= 2
    assert any(letter.isdigit() for letter in proposal.measure), proposal.measure
    assert proposal.command.startswith("rmctl ")
    assert proposal.measure in proposal.description
    assert proposal.command in proposal.description
    assert proposal.labels[:2] == ("selfhost", "proposed")
    assert key_of(proposal.labels) == proposal.key
    assert len(proposal.title) <= 500


def test_figures_are_told_with_where_they_come_from():
    of = {proposal.key: proposal for proposal in propose(ALL)}
    assert (
        of["method/task.list"].evidence
    ) == "The 99th percentile of `task.list` is 120 ms, its median 10 ms, over 500 calls (600 calls since noon)."
    assert of["method/task.list"].measure == "99th percentile of task.list: at most 60 ms (now: 120 ms)"
    assert "6% of the work was timed" in of["statement/tasks.claim"].evidence
    assert "7 of the newest 40 ends and failures" in of["failure/attempt.ended interrupted/set-up failed"].evidence
    assert (
        of["coverage/ringmaster/bus.py"].evidence
    ) == "No test runs 20 of 80 statements of ringmaster/bus.py: lines 10-29 (coverage.json of noon)."
    assert of["errors/logs.read"].priority < of["method/task.list"].priority


@pytest.mark.parametrize(
    "facts",
    [
        Facts(),
        Facts(methods=(Timed("task.list", 500, 0.01, 0.05, 9.0),)),
        Facts(methods=(Timed("task.list", 19, 0.01, 5.0, 9.0),)),
        Facts(statements=(Timed("tasks.claim", 500, 0.001, 0.004, 900.0),)),
        Facts(failures=(ENDED._replace(times=2),)),
        Facts(uncovered=(Uncovered("a.py", tuple(range(9)), 20),)),
    ],
)
def test_what_is_good_enough_or_too_rare_is_left_alone(facts: Facts):
    assert propose(facts) == ()


def test_the_worst_of_each_kind_come_by_turns():
    facts = ALL._replace(
        methods=(SLOW, SLOW._replace(name="cost.list", p99_s=3.0)), failures=(), uncovered=(), statements=(CLAIM,)
    )
    assert [proposal.key for proposal in propose(facts)] == [
        "method/cost.list",
        "statement/tasks.claim",
        "method/task.list",
    ]


def filed(key: str, number: int = 1, *, state: str = "open") -> Filed:
    return Filed(f"rm-{number}", key, state == "open", state == "cancelled")


def test_a_finding_is_not_filed_again_while_it_is_open():
    chosen = choose(propose(ALL), [filed("method/task.list")])
    assert "method/task.list" not in [proposal.key for proposal in chosen.proposals]
    assert "method/task.list is open already: rm-1" in chosen.left_out


def test_what_was_done_and_is_still_so_is_filed_again_under_the_next_number():
    proposals = [proposal for proposal in propose(ALL) if proposal.key == "method/task.list"]
    chosen = choose(proposals, [filed("method/task.list", state="done")])
    assert (len(chosen.proposals), chosen.numbers) == (1, (1,))


def test_what_a_person_cancelled_is_filed_again_only_on_demand():
    proposals = [proposal for proposal in propose(ALL) if proposal.key == "method/task.list"]
    before = [filed("method/task.list", state="cancelled")]
    assert choose(proposals, before).left_out == ("method/task.list was cancelled: rm-1",)
    assert len(choose(proposals, before, is_again=True).proposals) == 1


@pytest.mark.parametrize(
    ("already", "most", "count"), [(0, 5, 5), (3, 5, 2), (5, 5, 0), (7, 5, 0), (0, 0, 0), (0, 9, 5)]
)
def test_never_more_than_so_many_are_open(already: int, most: int, count: int):
    before = [filed(f"method/other.{number}", number) for number in range(already)]
    chosen = choose(propose(ALL), [*before, filed("method/ended", 9, state="done")], most)
    assert len(chosen.proposals) == count
    assert (len(chosen.waiting), chosen.left_out) == (5 - count, ())


def event(seq: int, type: str = "attempt.ended", actor: str = "", **data: Any) -> dict[str, Any]:
    ids = {"attempt_id": f"rm-a/{seq}", "task_id": "rm-a", "project_id": "p"}
    return {"seq": seq, "type": type, "actor": actor, "data": data, **ids}


def test_failures_of_the_same_kind_are_counted_together_whatever_ids_are_in_their_words():
    events = [
        event(1, outcome="interrupted", reason="pid 123 of rm-abc12/4 died in /var/lib/x/y at 0123456789abcdef"),
        event(2, outcome="interrupted", reason="pid 77 of rm-qq9/1 died in /srv/z at fedcba9876543210"),
        event(3, outcome="succeeded", reason="landed"),
        event(4, outcome="rate_limited", reason="come back at 5"),
        event(5, "task.created", reason="x"),
        event(7, "project.paused", actor="operator", reason="I am away"),
        event(6, "settings.refused", words="line 3: no table"),
    ]
    assert count_failures(events) == (
        Failure("attempt.ended interrupted", "pid … of … died in … at …", 2, "rm-a/2"),
        Failure("settings.refused", "line …: no table", 1, "rm-a/6"),
    )


def test_words_are_one_line_and_bounded():
    assert normal_words("a\n  b 12 c") == "a b … c"
    assert len(normal_words("word " * 100)) <= 120


def test_a_coverage_report_is_read():
    report = {
        "meta": {"version": "7"},
        "files": {"a.py": {"missing_lines": [3, 4], "executed_lines": [1], "summary": {}}},
    }
    assert read_coverage(json.dumps(report).encode()) == (Uncovered("a.py", (3, 4), 3),)


@pytest.mark.parametrize("report", [b"", b"[]", b"{}", b'{"files": {"a.py": {}}}', b"\xff"])
def test_what_is_no_report_is_refused_in_words(report: bytes):
    with pytest.raises(ValueError, match="not a report of `coverage json`"):
        read_coverage(report)


def test_without_a_report_functions_that_no_test_names_are_found():
    functions = {"a.py": ["one", "two", "three", "run_it"], "b.py": ["one", "gone"]}
    found = find_unnamed(functions, ["from a import run_it", "assert b.one() == 1"])
    assert found == ()
    found = find_unnamed(functions, ["from a import run_it"])
    assert found == (Uncovered("a.py", names=("one", "three", "two")),)
    (proposal,) = propose(Facts(uncovered=found, uncovered_from="by name"))
    assert proposal.evidence == "No test names one, three, two of a.py (by name)."


def test_lines_are_told_as_spans():
    assert spans((1, 2, 3, 7, 9, 8, 20)) == "1-3, 7-9, 20"
    assert spans(tuple(range(0, 100, 2)), most=2) == "0, 2 and 48 more"
