"""Claude Code's streams, as the real program wrote them to a scripted model: a test for each way to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ringmaster.agents.base import AgentEnd, AgentReport, Spent, spent_since
from ringmaster.agents.claude import ClaudeAgent
from ringmaster.agents.verdict import outcome_of
from ringmaster.model.errors import RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.settings import ClaudeSettings
from tests.fakes.agent_values import make_context

STREAMS = Path(__file__).with_name("streams")
OK = AgentEnd(reason="exited", code=0)
ONE = AgentEnd(reason="exited", code=1)
DIFF = {"has_diff": True, "is_diff_needed": True}
NO_DIFF = {"has_diff": False, "is_diff_needed": True}


def report_of(name: str) -> AgentReport:
    return ClaudeAgent().read_report(OK, STREAMS / f"claude_{name}.jsonl", STREAMS / f"claude_{name}.stderr")


def read_lines(tmp_path: Path, *lines: bytes) -> AgentReport:
    (tmp_path / "out").write_bytes(b"".join(line + b"\n" for line in lines))
    return ClaudeAgent().read_report(OK, tmp_path / "out", tmp_path / "none")


ENDS: list[tuple[str, AgentEnd, dict[str, bool], Outcome | None, bool]] = [
    ("success", OK, DIFF, None, True),
    ("success", OK, NO_DIFF, Outcome.NO_CHANGES, True),
    ("denied", OK, NO_DIFF, Outcome.NEEDS_DECISION, True),
    ("api_500", ONE, DIFF, Outcome.FAILED, False),
    ("api_529", ONE, DIFF, Outcome.FAILED, False),
    ("api_429", ONE, DIFF, Outcome.RATE_LIMITED, False),
    ("rate_limited", ONE, NO_DIFF, Outcome.RATE_LIMITED, False),
    ("api_401", ONE, DIFF, Outcome.FAILED, False),
    ("api_403", ONE, DIFF, Outcome.FAILED, False),
    ("api_400", ONE, DIFF, Outcome.FAILED, True),
    ("no_login", ONE, NO_DIFF, Outcome.FAILED, False),
    ("refused", ONE, NO_DIFF, Outcome.FAILED, False),
    ("cut", ONE, NO_DIFF, Outcome.FAILED, False),
    ("max_turns", ONE, DIFF, Outcome.FAILED, True),
    ("max_budget", ONE, DIFF, Outcome.FAILED, True),
    ("sigint", OK, DIFF, Outcome.FAILED, True),
    ("sigterm", AgentEnd(reason="exited", code=143), DIFF, Outcome.FAILED, True),
    ("sigterm", AgentEnd(reason="idle", code=143), DIFF, Outcome.TIMED_OUT, True),
    ("sighup", AgentEnd(reason="exited", code=129), DIFF, Outcome.FAILED, True),
    ("sigkill", AgentEnd(reason="exited", signal=9), DIFF, Outcome.FAILED, True),
    ("unknown_session", ONE, NO_DIFF, Outcome.FAILED, False),
    ("other_directory", ONE, NO_DIFF, Outcome.FAILED, False),
    ("reused_session", ONE, NO_DIFF, Outcome.FAILED, True),
    ("bad_flag", ONE, NO_DIFF, Outcome.FAILED, True),
    ("bad_mcp", ONE, NO_DIFF, Outcome.FAILED, True),
    ("retried", OK, DIFF, None, True),
    ("asks", OK, NO_DIFF, Outcome.NEEDS_DECISION, True),
]


@pytest.mark.parametrize(("name", "end", "facts", "outcome", "is_counted"), ENDS)
def test_each_way_to_end_has_its_outcome(
    name: str, end: AgentEnd, facts: dict[str, bool], outcome: Outcome | None, is_counted: bool
):
    verdict = outcome_of(end, report_of(name), None, **facts)
    assert (verdict.outcome, verdict.is_counted or outcome is Outcome.RATE_LIMITED) == (
        outcome,
        is_counted or outcome is Outcome.RATE_LIMITED,
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [("api_500", 500), ("api_529", 529), ("api_429", 429), ("api_401", 401), ("no_login", 401), ("api_403", 403)],
)
def test_what_the_api_answered_is_told(name: str, status: int):
    assert report_of(name).api_status == status


def test_an_errors_words_are_the_programs_own():
    assert report_of("max_turns").summary == "Reached maximum number of turns (2)"
    assert report_of("max_budget").summary == "Reached maximum budget ($0.3)"
    assert "is already in use" in report_of("reused_session").summary
    assert report_of("bad_flag").summary == "error: unknown option '--nonsense'"
    assert "MCP config file not found" in report_of("bad_mcp").summary


def test_a_rate_limit_says_when_it_ends_and_a_warning_is_none():
    assert report_of("rate_limited").reset_at == 1795356977.0
    assert report_of("warned").status == "succeeded"
    assert report_of("warned").reset_at is None


def test_a_session_that_is_not_there_is_told_from_a_failure_of_the_work():
    assert report_of("unknown_session").is_session_lost
    assert report_of("other_directory").is_session_lost
    assert not report_of("max_turns").is_session_lost


def test_a_question_comes_from_the_last_line_that_the_prompt_asks_for():
    report = report_of("asks")
    assert (report.question, report.options) == ("Which colour?", ("red", "blue"))


def test_the_completion_word_is_noted_and_no_more():
    assert report_of("success").is_complete_said
    assert not report_of("denied").is_complete_said


def test_tokens_and_dollars_are_those_that_were_served():
    # Five answers: 1000+50+500 cached twice, 200+20 twice, 100+10 once; sonnet at 3, 15 and 0.30 dollars a million.
    spent = report_of("success").spent
    assert (spent.tokens_in, spent.tokens_out) == (3500, 150)
    assert spent.cost_usd == pytest.approx((2500 * 3 + 150 * 15 + 1000 * 0.30) / 1e6)
    assert report_of("success").model == "claude-sonnet-5"


def test_a_killed_run_says_at_least_what_its_lines_add_up_to():
    assert report_of("sigkill").spent.tokens_in == 200


@pytest.mark.parametrize(
    ("stated", "before", "tokens", "cost"),
    [
        (Spent(tokens_in=900, tokens_out=90, cost_usd=0.9, seen_in=300), Spent(tokens_in=600, cost_usd=0.6), 300, 0.3),
        (Spent(tokens_in=300, tokens_out=90, cost_usd=0.3, seen_in=300), Spent(tokens_in=600, cost_usd=0.6), 300, 0.3),
        (Spent(tokens_in=600, tokens_out=90, cost_usd=0.6, seen_in=600), Spent(tokens_in=600, cost_usd=0.6), 600, 0.6),
        (Spent(tokens_in=500, tokens_out=90, cost_usd=0.5, seen_in=500), Spent(), 500, 0.5),
    ],
    ids=["sum", "alone", "alone though equal", "first"],
)
def test_a_resumed_run_is_charged_for_itself(stated: Spent, before: Spent, tokens: int, cost: float):
    spent = spent_since(stated, before)
    assert spent.tokens_in == tokens
    assert spent.cost_usd == pytest.approx(cost)


def test_lines_of_a_megabyte_and_of_unknown_types_are_read_over(tmp_path: Path):
    text = "x" * 1_200_000
    long = msgspec.json.encode({"message": {"content": [{"type": "text", "text": text}]}, "type": "assistant"})
    result = (STREAMS / "claude_success.jsonl").read_bytes().splitlines()[-1]
    report = read_lines(tmp_path, b'{"type":"hologram","x":1}', b"not json", long, result)
    assert (report.status, report.unknown_lines, report.steps) == ("succeeded", 2, 1)


def test_of_several_results_the_last_one_counts(tmp_path: Path):
    first = (STREAMS / "claude_success.jsonl").read_bytes().splitlines()[-1]
    last = (STREAMS / "claude_max_turns.jsonl").read_bytes().splitlines()[-1]
    report = read_lines(tmp_path, first, last)
    assert report.status == "failed"
    assert report.is_final
    assert not read_lines(tmp_path, first, b'{"type":"system","subtype":"init"}').is_final


@pytest.mark.parametrize("path", sorted(STREAMS.glob("claude_*.jsonl")), ids=lambda path: path.stem)
def test_every_line_can_be_shown(path: Path):
    agent = ClaudeAgent()
    lines = path.read_bytes().splitlines()
    steps = [step for line in lines for step in agent.steps(line)]
    assert all(step.text or step.command for step in steps if not step.call_id or step.is_start)
    assert all(step.call_id for step in steps if step.is_start)
    assert [agent.is_final(line) for line in lines] == [b'"type":"result"' in line for line in lines]


def test_what_it_does_is_shown_as_commands_and_files():
    steps = [
        (step.kind, step.command or step.text, step.is_shown)
        for line in (STREAMS / "claude_success.jsonl").read_bytes().splitlines()
        for step in ClaudeAgent().steps(line)
        if step.is_start
    ]
    assert ("command", "cat a.txt; echo hi", True) in steps
    assert ("file", "Read /home/dev/toy/a.txt", True) in steps
    assert ("file", "Edit /home/dev/toy/a.txt", False) in steps


def argv_of(tmp_path: Path, settings: ClaudeSettings | None = None, **fields: Any) -> tuple[str, ...]:
    return ClaudeAgent("claude", settings).command(make_context(tmp_path, **fields)).argv


def test_permissions_are_flags(tmp_path: Path):
    edit = argv_of(tmp_path, permissions="edit")
    run = argv_of(tmp_path, permissions="run")
    full = argv_of(tmp_path, permissions="full", is_sandboxed=True)
    assert "--allowedTools" not in edit
    assert run[run.index("--allowedTools") + 1] == "Bash"
    assert full[full.index("--permission-mode") + 1] == "bypassPermissions"


def test_full_permissions_take_a_sandbox(tmp_path: Path):
    with pytest.raises(RingmasterError, match="no sandbox around it") as caught:
        argv_of(tmp_path, permissions="full")
    assert "--sandbox bwrap" in caught.value.hint


def test_a_session_is_begun_once_and_then_gone_on_with(tmp_path: Path):
    first = argv_of(tmp_path, session_id="u-1")
    again = argv_of(tmp_path, session_id="u-1", is_resumed=True)
    assert first[-2:] == ("--session-id", "u-1")
    assert again[-2:] == ("--resume", "u-1")


def test_hooks_servers_and_the_repositorys_settings_are_off(tmp_path: Path):
    argv = argv_of(tmp_path)
    assert '"disableAllHooks":true' in argv[argv.index("--settings") + 1]
    assert argv[argv.index("--setting-sources") + 1] == "user"
    assert "--strict-mcp-config" in argv


def test_limits_become_flags(tmp_path: Path):
    argv = argv_of(tmp_path, ClaudeSettings(max_turns=7, max_budget_usd=1.5, model="sonnet"), model="")
    assert argv[argv.index("--max-turns") + 1] == "7"
    assert argv[argv.index("--max-budget-usd") + 1] == "1.5000"
    assert argv[argv.index("--model") + 1] == "sonnet"


def test_the_persons_login_is_used_in_its_place_and_never_copied(tmp_path: Path):
    ctx = make_context(tmp_path, environ={"HOME": "/home/dev"})
    assert ClaudeAgent().command(ctx).env["CLAUDE_CONFIG_DIR"] == "/home/dev/.claude"
    assert ClaudeAgent().command(ctx).env_names == ()


def test_an_isolated_configuration_needs_the_key_that_settings_name(tmp_path: Path):
    isolated = ClaudeAgent("claude", ClaudeSettings(config="isolated"))
    with pytest.raises(RingmasterError, match="isolated configuration and no key"):
        isolated.command(make_context(tmp_path))
    keyed = ClaudeAgent("claude", ClaudeSettings(config="isolated", key_env="MY_KEY"))
    with pytest.raises(RingmasterError, match="MY_KEY"):
        keyed.command(make_context(tmp_path))
    command = keyed.command(make_context(tmp_path, environ={"MY_KEY": "k"}, agent_home=tmp_path))
    assert command.env_names == ("MY_KEY",)
    assert command.env["CLAUDE_CONFIG_DIR"] == str(tmp_path / ".claude")


def test_an_account_is_told_by_its_credential_which_it_does_not_show(tmp_path: Path):
    keyed = ClaudeAgent("claude", ClaudeSettings(key_env="K"))
    one, other = keyed.account({"K": "secret-1"}), keyed.account({"K": "secret-2"})
    assert one is not None
    assert other is not None
    assert one.id != other.id
    assert one.id.startswith("claude:")
    assert "secret" not in one.id + one.label
    assert keyed.account({}) is None
    assert ClaudeAgent().account({"HOME": str(tmp_path)}) is None
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_text("{}")
    (tmp_path / ".claude.json").write_text('{"oauthAccount": {"accountUuid": "u", "emailAddress": "dev@example.org"}}')
    login = ClaudeAgent().account({"HOME": str(tmp_path)})
    assert login is not None
    assert login.label == "dev@example.org"
