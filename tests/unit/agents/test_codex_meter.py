"""Codex's use is counted as it goes: by the tools in its stream, and by the tokens in its session's log."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ringmaster.agents.base import Meter, Run
from ringmaster.agents.codex import CodexAgent
from ringmaster.model.errors import RingmasterError
from ringmaster.settings import CodexSettings
from tests.fakes.agent_values import make_context

MODEL = "gpt-5.1-codex"
THREAD = b'{"type":"thread.started","thread_id":"t-1"}'
TOOL = b'{"type":"item.completed","item":{"type":"command_execution"}}'
WORDS = b'{"type":"item.completed","item":{"type":"agent_message","text":"x"}}'
BEGUN_AT = 1_795_000_000.0


def make_meter(home: Path, settings: CodexSettings | None = None, model: str = MODEL, **fields: Any) -> Meter:
    run = Run(model=model, environ={"CODEX_HOME": str(home)}, since_at=BEGUN_AT, **fields)
    meter = CodexAgent("codex", settings).meter(run)
    assert meter is not None
    return meter


def used(timestamp: str, tokens_in: int, tokens_out: int) -> str:
    usage = {"input_tokens": tokens_in, "cached_input_tokens": 0, "output_tokens": tokens_out}
    return json.dumps({"timestamp": timestamp, "type": "token_usage_record", "payload": {"usage": usage}}) + "\n"


BEFORE, AFTER = "2026-11-17T12:00:00.000Z", "2026-11-22T12:00:00.000Z"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of the session, with an earlier run's use in it."""
    path = tmp_path / "sessions" / "2026" / "11" / "22" / "rollout-2026-11-22T12-00-00-t-1.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(used(BEFORE, 1_000_000, 0))
    return path


def test_the_last_turn_is_over_with_what_its_tool_did(tmp_path: Path) -> None:
    meter = make_meter(tmp_path, turns=2)
    assert [meter.take(line) for line in (THREAD, WORDS, TOOL)] == ["", "", ""]
    assert meter.take(TOOL) == "reached its maximum number of turns (2)"


def test_settings_bound_a_task_that_names_no_turns(tmp_path: Path) -> None:
    meter = make_meter(tmp_path, CodexSettings(max_turns=1))
    assert "(1)" in meter.take(TOOL)
    assert make_meter(tmp_path, CodexSettings(max_turns=1), turns=5).take(TOOL) == ""


def test_the_budget_is_held_by_what_the_log_has_since_the_run_began(tmp_path: Path, log: Path) -> None:
    meter = make_meter(tmp_path, budget_usd=0.5)
    meter.take(THREAD)
    assert meter.take(TOOL) == "", "the earlier run's dollar is not this one's"
    with log.open("a") as out:
        out.write(used(AFTER, 100_000, 10_000))
        out.flush()
        assert meter.take(TOOL) == ""
        assert meter.spent().cost_usd == pytest.approx(0.225)
        line = used(AFTER, 200_000, 10_000)
        out.write(line[:50])
        out.flush()
        assert meter.take(TOOL) == "", "half a line is not read"
        out.write(line[50:])
    assert meter.take(TOOL) == "reached its maximum budget ($0.5000)"
    assert meter.spent().tokens_in == 300_000


def test_the_smaller_of_two_budgets_holds(tmp_path: Path, log: Path) -> None:
    log.write_text(used(AFTER, 100_000, 0))
    for budget, of_settings in ((0.1, 9.0), (9.0, 0.1)):
        meter = make_meter(tmp_path, CodexSettings(max_budget_usd=of_settings), budget_usd=budget)
        meter.take(THREAD)
        assert "($0.1000)" in meter.take(TOOL)


def test_a_model_without_a_price_has_tokens_and_no_dollars(tmp_path: Path, log: Path) -> None:
    log.write_text(used(AFTER, 100, 10))
    meter = make_meter(tmp_path, model="another")
    meter.take(THREAD)
    assert (meter.spent().tokens_in, meter.spent().tokens_out, meter.spent().cost_usd) == (100, 10, 0.0)


def test_a_threads_name_leads_to_no_other_file(tmp_path: Path, log: Path) -> None:
    log.write_text(used(AFTER, 100, 10))
    for name in ("*", "../t-1", ""):
        meter = make_meter(tmp_path)
        meter.take(json.dumps({"type": "thread.started", "thread_id": name}).encode())
        assert meter.spent().tokens_in == 0


@pytest.mark.timeout(5)
def test_a_pipe_in_place_of_the_log_is_not_waited_at(tmp_path: Path, log: Path) -> None:
    log.unlink()
    os.mkfifo(log)
    meter = make_meter(tmp_path, budget_usd=0.5)
    meter.take(THREAD)
    assert (meter.take(TOOL), meter.spent().tokens_in) == ("", 0)


def test_a_budget_is_refused_where_no_price_is_known(tmp_path: Path) -> None:
    with pytest.raises(RingmasterError, match="so a budget cannot be held"):
        CodexAgent().command(make_context(tmp_path, model="another", budget_usd=1.0))
    with pytest.raises(RingmasterError, match="'default'"):
        CodexAgent("codex", CodexSettings(max_budget_usd=1.0)).command(make_context(tmp_path, model=""))
    priced = CodexAgent("codex", CodexSettings(prices={"another": (1.0, 0.1, 2.0)}))
    priced.command(make_context(tmp_path, model="another", budget_usd=1.0))
