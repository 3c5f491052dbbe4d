"""Which conversation an attempt goes on with, what it is charged, and whose seats rest."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.agents.base import Account, AgentReport, Spent
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.task import Limits
from ringmaster.queue.claim import new_attempt
from ringmaster.workers.conversation import LOGIN_PAUSE_S, budget_left, costs_of, earlier_session, least
from tests.fakes.agent_values import make_task

PAYER = Account(id="claude:1", agent="claude", label="the key")


def make_attempt(**fields: Any) -> Attempt:
    made = new_attempt(make_task(), worker_id="w", agent="claude", token="t", now=0.0)
    values = {name: getattr(made, name) for name in Attempt.__struct_fields__}
    return Attempt(**(values | {"account": PAYER.id, "session_id": "s", "outcome": Outcome.GATE_FAILED} | fields))


def test_a_retry_goes_on_with_the_last_conversation():
    assert earlier_session([make_attempt(session_id="s0"), make_attempt()], "claude", PAYER.id) == "s"


def test_an_attempt_that_came_to_no_conversation_is_passed_over():
    assert earlier_session([make_attempt(), make_attempt(session_id="")], "claude", PAYER.id) == "s"


def test_another_agent_account_or_a_lost_conversation_begins_anew():
    assert earlier_session([make_attempt()], "codex", PAYER.id) == ""
    assert earlier_session([make_attempt()], "claude", "claude:2") == ""
    assert earlier_session([make_attempt(report={"is_session_lost": True})], "claude", PAYER.id) == ""
    assert earlier_session([], "claude", PAYER.id) == ""
    # A pulled attempt had another path, to which its conversation belongs.
    assert earlier_session([make_attempt(), make_attempt(lease_s=1.0)], "claude", PAYER.id) == ""


def test_a_resumed_conversation_charges_each_attempt_for_itself():
    said = Spent(cost_usd=0.5, tokens_in=500, tokens_out=50, seen_in=500)
    before = make_attempt(report={"stated": {"cost_usd": 0.5, "tokens_in": 500, "tokens_out": 50, "seen_in": 500}})
    summed = AgentReport(session_id="s", spent=Spent(cost_usd=0.75, tokens_in=800, tokens_out=80, seen_in=300))
    assert costs_of(AgentReport(session_id="s", spent=said), [], 0.0).cost_usd == 0.5
    assert costs_of(summed, [before], 0.0).cost_usd == 0.25
    assert costs_of(summed, [before], 0.0).tokens_in == 300


def test_limits_and_refusals_let_the_account_rest():
    limited = AgentReport(status="rate_limited", reset_at=900.0, summary="the limit")
    assert costs_of(limited, [], 100.0).pause_until_at == 900.0
    assert costs_of(limited, [], 100.0).pause_reason == "the limit"
    refused = AgentReport(status="failed", api_status=401)
    assert costs_of(refused, [], 100.0).pause_until_at == 100.0 + LOGIN_PAUSE_S
    assert costs_of(AgentReport(status="failed", api_status=500), [], 100.0).pause_until_at is None


def test_a_budget_is_the_tasks_and_what_is_spent_is_gone():
    task = make_task(limits=Limits(budget_usd=1.0))
    assert budget_left(task, []) == 1.0
    assert budget_left(task, [make_attempt(cost_usd=0.25)]) == 0.75
    assert budget_left(make_task(), [make_attempt(cost_usd=9.0)]) is None
    with pytest.raises(RingmasterError, match="has spent"):
        budget_left(task, [make_attempt(cost_usd=0.5), make_attempt(cost_usd=0.5)])


@pytest.mark.parametrize(
    ("spent", "is_final", "is_told"),
    [
        (Spent(cost_usd=0.5, tokens_in=10), True, True),
        (Spent(cost_usd=0.5, tokens_in=10), False, False),
        (Spent(), True, True),
        (Spent(), False, False),
        (Spent(tokens_in=10, tokens_out=1), True, False),
        (Spent(cost_usd=float("nan")), True, False),
        (Spent(cost_usd=float("inf"), tokens_in=10), True, False),
        (Spent(cost_usd=-1.0, tokens_in=10), True, False),
    ],
)
def test_what_was_not_told_or_is_no_number_is_not_known(spent: Spent, is_final: bool, is_told: bool):
    found = costs_of(AgentReport(session_id="s", spent=spent, is_final=is_final), [], 0.0)
    assert found.is_told == is_told
    assert found.cost_usd == (0.5 if spent.cost_usd == 0.5 else 0.0)


def test_the_lesser_of_two_limits_holds():
    assert [least(None, None), least(1.0, None), least(None, 2.0), least(1.0, 2.0)] == [None, 1.0, 2.0, 1.0]
