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


async def test_what_an_agent_spent_is_noted_although_its_end_was_never_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "codex"
    program.write_text(
        '#!/bin/sh\nW="$PWD"; cd ..; rm -rf "$W"; : >"$W"\n'
        """echo '{"type":"turn.completed","usage":{"input_tokens":1000000,"output_tokens":1000}}'\n"""
    )
    program.chmod(0o755)
    settings = CodexSettings(bin=str(program), config="isolated", key_env="KEY", model="gpt-5")
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
