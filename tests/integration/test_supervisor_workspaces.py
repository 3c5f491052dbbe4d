"""A workspace that is no directory any more: nothing is lost, nothing is followed, and the task goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.model.decisions import DecisionKind
from ringmaster.settings import CodexSettings
from tests.fakes.house import House, git, open_house, write_step


async def _lose_workspace(house: House, then: str) -> str:
    """A task whose first agent does `then` to its workspace, named `$W`; its second one works."""
    await house.add_project()
    script = f'W="$PWD"; cd ..; case "$RM_ATTEMPT_NUMBER" in 1) rm -rf "$W"; {then};; *) echo 1 >"$W/new.txt";; esac'
    await house.add_worker(agent="command", command=("sh", "-c", script))
    return await house.add_task("Add", write_step("new.txt", "1\n"))


async def test_a_file_in_place_of_a_workspace_is_kept_aside_and_the_next_attempt_has_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringmaster.model.outcomes.INTERRUPTED_DELAY_S", 0.01)
    async with open_house(tmp_path) as house:
        task_id = await _lose_workspace(house, 'echo precious >"$W"')
        await house.wait_for_type("task.done", task_id)
        first, second = await house.attempts(task_id)
        assert (first.outcome, second.outcome) == ("interrupted", "succeeded")
        assert "is no directory any more" in first.reason
        aside = house.paths.workspace("toy", task_id).with_name(f"{task_id}.kept-2")
        assert aside.read_text() == "precious\n"
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.NOT_KEPT
        assert str(aside) in decision.question


async def test_a_link_in_place_of_a_workspace_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringmaster.model.outcomes.INTERRUPTED_DELAY_S", 0.01)
    async with open_house(tmp_path) as house:
        (house.repository / "mine.txt").write_text("not committed\n")
        task_id = await _lose_workspace(house, f'ln -s {house.repository} "$W"')
        await house.wait_for_type("task.done", task_id)
        assert (house.repository / "mine.txt").read_text() == "not committed\n"
        assert git("status", "--porcelain", cwd=house.repository) == "?? mine.txt"
        assert "is no directory any more" in (await house.attempts(task_id))[0].reason


USED = '{"input_tokens":1000000,"output_tokens":1000}'


def make_codex(root: Path, script: str) -> CodexSettings:
    """A Codex that puts a file in place of its workspace, and does as the script says."""
    program = root / "codex"
    program.write_text(f'#!/bin/sh\nW="$PWD"; cd ..; rm -rf "$W"; : >"$W"\n{script}\n')
    program.chmod(0o755)
    return CodexSettings(bin=str(program), config="isolated", key_env="KEY", model="gpt-5")


async def test_what_an_agent_spent_is_noted_although_its_end_was_never_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_codex(tmp_path, f"""echo '{{"type":"turn.completed","usage":{USED}}}'""")
    monkeypatch.setenv("KEY", "k")
    async with open_house(tmp_path, agents={"codex": settings}) as house:
        await house.add_project()
        await house.add_worker(agent="codex")
        task_id = await house.add_task("Add")
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "interrupted"
        assert (attempt.tokens_in, attempt.tokens_out, attempt.cost_usd) == (1_000_000, 1_000, 1.26)
        # A session that states the sum of its runs next is counted from there, and this run not twice.
        assert attempt.report["stated"]["tokens_in"] == 1_000_000


async def test_what_only_the_log_of_its_session_knows_is_noted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = '{"timestamp":"\'$(date -u +%Y-%m-%dT%H:%M:%S.999Z)\'","type":"token_usage_record","payload":{"usage":'
    log = """D="$CODEX_HOME/sessions/2026/11/22"; mkdir -p "$D"; echo '{"type":"thread.started","thread_id":"t-1"}'"""
    settings = make_codex(tmp_path, f"{log}\necho '{record}{USED}}}}}' >\"$D/rollout-now-t-1.jsonl\"; kill -9 $$")
    monkeypatch.setenv("KEY", "k")
    async with open_house(tmp_path, agents={"codex": settings}) as house:
        await house.add_project()
        await house.add_worker(agent="codex")
        task_id = await house.add_task("Add")
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "interrupted"
        assert (attempt.tokens_in, attempt.tokens_out, attempt.cost_usd) == (1_000_000, 1_000, 1.26)
