"""rmctl as a program against a scripted daemon: budgets, and amounts that are none."""

from __future__ import annotations

import pytest

from ringmaster.protocol.budget import BudgetList, BudgetView

TOY = BudgetView(
    project_id="toy",
    day="2026-11-30",
    max_attempts=5,
    attempts=2,
    max_usd=3.0,
    usd=1.5,
    has_unknown=True,
    reserved_usd=0.5,
    unlimited_running=0,
)


def test_a_budget_is_a_line_with_what_was_spent_and_what_is_held(daemon, rmctl):
    daemon.answers["budget.show"] = BudgetList(day="2026-11-30", budgets=(TOY,))
    assert rmctl("budget", "show").out == "toy\t2026-11-30\t2/5\t$1.50+?/$3.00\t$0.50\t\n"
    daemon.answers["budget.show"] = BudgetList(day="2026-11-30", budgets=())
    assert rmctl("budget", "show", "toy") == (0, "", "")
    assert [call.project_id for call in daemon.called("budget.show")] == ["", "toy"]


def test_what_is_not_named_stays_and_none_takes_a_limit_away(daemon, rmctl):
    daemon.answers["budget.set"] = TOY
    assert rmctl("budget", "set", "toy", "--usd", "$3", "--attempts", "none").code == 0
    assert rmctl("budget", "set", "--all", "--usd", "-0.0").code == 0
    first, second = daemon.called("budget.set")
    assert (first.max_usd, first.is_attempts_removed) == (3, True)
    assert (first.max_attempts, first.is_usd_removed) == (None, False)
    assert (second.is_all, str(second.max_usd), second.is_attempts_removed) == (True, "0.0", False)
    assert rmctl("budget", "set", "toy").err.startswith("rmctl: say what the budget is")


@pytest.mark.parametrize(
    "args",
    [
        ("budget", "set", "toy", "--attempts", "9" * 20),
        ("budget", "set", "toy", "--attempts", "1.5"),
        ("budget", "set", "toy", "--usd", "1e300"),
        ("budget", "set", "toy", "--usd", "nan"),
        ("task", "add", "x", "--budget", "nan"),
        ("task", "add", "x", "--budget", "inf"),
        ("task", "add", "x", "--budget", "0"),
        ("decision", "answer", "d-1", ""),
        ("ask", " "),
    ],
)
def test_what_cannot_be_meant_is_refused_in_our_own_words(daemon, rmctl, args: tuple[str, ...]):
    ended = rmctl(*args)
    assert (ended.code, ended.err.count("\n"), daemon.calls) == (2, 1, [])
    assert "empty" in ended.err or "is not a " in ended.err or "is no number of dollars above 0" in ended.err
