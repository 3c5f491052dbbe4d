"""Codex's streams, as the real program wrote them to a scripted model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ringmaster.agents.base import NOTHING_SPENT, AgentEnd, AgentReport, spent_since
from ringmaster.agents.codex import CodexAgent, price_of
from ringmaster.model.errors import RingmasterError
from ringmaster.settings import CodexSettings
from tests.fakes.agent_values import make_context

STREAMS = Path(__file__).with_name("streams")
ONE = AgentEnd(reason="exited", code=1)


def report_of(name: str) -> AgentReport:
    return CodexAgent().read_report(ONE, STREAMS / f"codex_{name}.jsonl", STREAMS / "none", "gpt-5.1-codex")


@pytest.mark.parametrize(
    ("name", "status", "is_counted", "api_status"),
    [
        ("success", "succeeded", True, None),
        ("api_500", "failed", False, None),
        ("api_401", "failed", False, 401),
        ("no_key", "failed", False, 401),
        ("usage_limit", "rate_limited", False, 429),
    ],
)
def test_each_way_to_end_has_its_status(name: str, status: str, is_counted: bool, api_status: int | None):
    report = report_of(name)
    assert (report.status, report.is_counted, report.api_status) == (status, is_counted, api_status)
    assert report.is_final
    assert report.session_id
    assert not report.unknown_lines


def test_tokens_are_priced_by_the_table():
    spent = report_of("success").spent
    assert (spent.tokens_in, spent.tokens_out) == (300, 30)
    assert spent.cost_usd == pytest.approx((300 * 1.25 + 30 * 10) / 1e6)


def test_what_it_states_of_a_resumed_thread_is_the_sum_of_its_runs():
    before = report_of("success").spent
    second = msgspec.structs.replace(before, tokens_in=800, tokens_out=70, cost_usd=before.cost_usd + 0.001)
    spent = spent_since(second, before)
    assert (spent.tokens_in, spent.tokens_out) == (500, 40)
    assert spent.cost_usd == pytest.approx(0.001)
    assert spent_since(before, NOTHING_SPENT) == before


def test_the_longest_name_has_the_price_and_settings_come_first():
    assert price_of("gpt-5-mini-2026", {}) == (0.25, 0.025, 2.0)
    assert price_of("gpt-5-mini", {"gpt-5-mini": (1.0, 1.0, 1.0)}) == (1.0, 1.0, 1.0)
    assert price_of("another", {}) is None


def test_an_unknown_model_has_tokens_and_no_invented_price():
    report = CodexAgent().read_report(ONE, STREAMS / "codex_success.jsonl", STREAMS / "none", "another")
    assert (report.spent.tokens_in, report.spent.cost_usd) == (300, 0.0)


def test_the_prompt_comes_on_stdin_and_a_thread_is_gone_on_with(tmp_path: Path):
    first = CodexAgent().command(make_context(tmp_path, model="m"))
    again = CodexAgent().command(make_context(tmp_path, session_id="t-1", is_resumed=True))
    assert first.argv[-1] == "-"
    assert first.argv[first.argv.index("-s") + 1] == "workspace-write"
    assert again.argv[-3:] == ("resume", "t-1", "-")


def test_full_permissions_take_a_sandbox(tmp_path: Path):
    with pytest.raises(RingmasterError, match="no sandbox"):
        CodexAgent().command(make_context(tmp_path, permissions="full"))


def test_what_it_does_is_shown():
    steps = [
        (step.kind, step.is_start, step.exit_code)
        for line in (STREAMS / "codex_success.jsonl").read_bytes().splitlines()
        for step in CodexAgent().steps(line)
    ]
    assert steps == [
        ("other", False, None),
        ("command", True, None),
        ("command", False, 1),
        ("text", False, None),
        ("usage", False, None),
    ]


def test_an_account_is_the_key_or_the_login(tmp_path: Path):
    keyed = CodexAgent("codex", CodexSettings(key_env="K")).account({"K": "k"})
    assert keyed is not None
    assert keyed.id.startswith("codex:")
    assert CodexAgent().account({"HOME": str(tmp_path)}) is None
