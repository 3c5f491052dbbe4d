"""What another try may mend is tried again before a project is paused and a person asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ringmaster.model.states import ProjectState
from ringmaster.store import projects
from ringmaster.workers.trouble import SETBACKS
from ringmaster.workspace.git import GitError
from ringmaster.workspace.landing import _receive_pack
from tests.fakes.house import House, git, open_house, write_step


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringmaster.workers.trouble.SETBACK_S", 0.0)
    monkeypatch.setattr("ringmaster.workers.trouble.DISK_RETRY_S", 0.01)


def kill_git_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> Path:
    """A `git` first in PATH that is killed the first time it is asked for `verb`; the file that says it was."""
    real = shutil.which("git")
    programs, mark = tmp_path / "programs", tmp_path / "killed"
    programs.mkdir()
    (programs / "git").write_text(
        f'#!/bin/sh\nfor word do\n  if [ "$word" = {verb} ] && [ ! -e {mark} ]; then : >{mark}; kill -9 $$; fi\ndone\n'
        f'exec {real} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return mark


async def _is_paused(house: House) -> bool:
    return (await house.store.read(projects.project_by_id, "toy")).state is ProjectState.PAUSED


@pytest.mark.parametrize("end", ["sending", "receiving"])
async def test_a_push_that_is_killed_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async with open_house(tmp_path) as house:
        if end == "sending":
            mark = kill_git_once(tmp_path, monkeypatch, "push")
        else:
            mark = tmp_path / "killed"
            real = _receive_pack()
            kill = f"test -e {mark} || {{ touch {mark}; kill -9 $$; }}; {real}"
            monkeypatch.setattr("ringmaster.workspace.landing._receive_pack", lambda: kill)
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", task_id)
        assert mark.exists()
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]
        assert git("show", "main:new.txt", cwd=house.repository) == "1"
        assert (await house.decisions(), await _is_paused(house)) == ([], False)


async def test_a_look_at_the_repository_that_is_killed_once_pauses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        mark = kill_git_once(tmp_path, monkeypatch, "rev-parse")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", task_id)
        assert mark.exists()
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]


async def test_a_push_that_fails_each_time_pauses_the_project_after_so_many_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[None] = []

    async def land(*args: object) -> None:  # noqa: ASYNC124 (stands in for what is awaited)
        tries.append(None)
        raise GitError("git push: was killed by signal 9", status=-9)

    monkeypatch.setattr("ringmaster.workers.landing.land", land)
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("project.paused")
        assert len(tries) == 1 + SETBACKS
        assert (await house.task(task_id)).state == "landing"


async def test_a_checkout_that_is_removed_under_its_gate_is_made_again(tmp_path: Path) -> None:
    mark = tmp_path / "began"
    async with open_house(tmp_path) as house:
        await house.add_project(
            gate=f'if ! test -e {mark}; then touch {mark}; rm -rf "$PWD"; exit 1; fi; test -f README'
        )
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "succeeded"
        # The run without a checkout shows nothing: its rerun was none of a flaky gate.
        event = await house.wait_for_type("gate.ended", task_id)
        assert (b'"green"' in bytes(event.data), b'"is_flaky":false' in bytes(event.data)) == (True, True)
        assert (await house.decisions(), await _is_paused(house)) == ([], False)


async def test_a_gate_that_removes_its_checkout_each_time_pauses_the_project_in_words(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(gate='rm -rf "$PWD"')
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "interrupted"
        (decision,) = await house.decisions()
        assert "was removed while its gate ran" in decision.question
        assert len(list(house.paths.attempt(attempt.id).glob("gate-*/exit.json"))) == 1 + SETBACKS
