"""From what rmctl sees of a daemon from outside to findings, and to an exit code."""

from __future__ import annotations

import pytest

from ringmaster.doctor import reach_rules as rules
from ringmaster.doctor.facts import Holder
from ringmaster.protocol.doctor import Finding
from tests.unit.doctor.making import make_reach, make_unit

KEEPER = (Holder(role="keeper", pid=1),)


@pytest.mark.parametrize(
    ("changes", "word", "mend"),
    [
        ({"answer": "none", "holders": ()}, "not running", "rmctl daemon start"),
        ({"answer": "none"}, "keeper 1 and daemon 2, but its socket", "rmctl daemon restart"),
        ({"answer": "dead", "holders": ()}, "has died", "rmctl daemon start"),
        ({"answer": "dead", "holders": KEEPER}, "keeper 1 starts it again", "tail /s/daemon.log"),
        ({"answer": "silent", "holders": KEEPER}, "dies at its start", "tail /s/daemon.log"),
        ({"answer": "silent"}, "keeper 1 and daemon 2, but no answer comes", "rmctl daemon restart"),
        ({"answer": "silent", "holders": ()}, "somebody who listens, but no answer comes", "rmctl daemon restart"),
        ({"answer": "may not open the socket", "holders": ()}, "may not open", "rmctl daemon status"),
    ],
)
def test_a_daemon_that_does_not_answer_has_a_cause_and_its_cure(changes, word, mend):
    found = rules.judge_reach(make_reach(**changes))
    assert (found.level, found.mend, word in found.words) == ("error", mend, True), found


def test_a_daemon_that_answers():
    assert rules.judge_reach(make_reach()).level == "ok"


def test_the_lock():
    assert rules.judge_holder(make_reach()).words == "held by keeper 1 and daemon 2"
    stale = rules.judge_holder(make_reach(holders=(), named_pid=77, is_named_gone=True))
    assert (stale.level, "77, which has ended" in stale.words) == ("ok", True)
    assert rules.judge_holder(make_reach(holders=(), named_pid=None)).words == "free"


@pytest.mark.parametrize(
    ("changes", "level"), [({}, "ok"), ({"version": "2"}, "warning"), ({"protocol": 2, "version": "2"}, "error")]
)
def test_versions(changes, level):
    found = rules.judge_versions(make_reach(**changes))
    assert (found.level, found.mend) == (level, "" if level == "ok" else "rmctl daemon restart")


@pytest.mark.parametrize(
    ("changes", "mends"),
    [
        ({}, []),
        ({"is_installed": False, "has_manager": False, "is_other": True, "linger": "no"}, []),
        ({"is_other": True}, ["rmctl service install"]),
        ({"environment_mode": 0o644}, ["rmctl doctor --fix"]),
        ({"environment_mode": None}, []),
        ({"has_manager": False}, ["systemctl --user status"]),
        ({"enabled": "disabled"}, ["systemctl --user enable ringmaster.socket ringmaster.service"]),
        ({"linger": "no"}, ["loginctl enable-linger"]),
        ({"linger": "unknown"}, []),
    ],
)
def test_units(changes, mends):
    found = rules.judge_unit(make_unit(**changes))
    assert [finding.mend for finding in found if finding.level != "ok"] == mends
    assert found, "there is a word about it in every case"
    # What a person chose, such as not to have it start by itself, is theirs to change.
    assert {finding.mend for finding in found if finding.is_safe} <= {"rmctl service install", "rmctl doctor --fix"}


@pytest.mark.parametrize(
    ("is_reached", "levels", "code"),
    [
        (True, ("ok", "warning"), 0),
        (True, ("ok", "error"), 1),
        (False, ("error",), 3),
    ],
)
def test_exit_code(is_reached, levels, code):
    findings = tuple(Finding(check="x", level=level, words="w") for level in levels)
    assert rules.exit_code(is_reached, findings) == code
