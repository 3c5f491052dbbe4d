"""What happens to an attempt in its lane while people, the repository and other attempts move."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.states import ProjectState
from ringmaster.queue.control import accept_task, cancel_task
from ringmaster.queue.registry import edit_project
from ringmaster.store import projects
from ringmaster.workers.review import find_concerns
from tests.fakes.house import House, git, open_house, write_step


async def edit(house: House, **changes: Any) -> None:
    """Change settings of the project as a person does."""
    await house.store.write(
        functools.partial(edit_project, name="toy", changes=changes, target="", state="", actor="test")
    )


def meanwhile(patch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> None:
    """Have something happen once between the gate and the landing."""
    is_over = False

    async def find_after(*args: Any, **kwargs: Any) -> object:
        nonlocal is_over
        found = await find_concerns(*args, **kwargs)
        if not is_over:
            is_over = True
            await act()
        return found

    patch.setattr("ringmaster.workers.lane.find_concerns", find_after)


async def test_a_cancel_that_was_answered_before_the_landing_began_keeps_it_from_landing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        tip = git("rev-parse", "main", cwd=house.repository)
        ids: list[str] = []
        meanwhile(monkeypatch, lambda: house.store.write(cancel_task, ids[0], actor="test"))
        ids.append(await house.add_task("Add", write_step("new.txt", "1\n")))
        await house.wait_for_type("attempt.ended", ids[0])
        assert (await house.task(ids[0])).state == "cancelled"
        assert git("rev-parse", "main", cwd=house.repository) == tip


async def test_settings_changed_while_the_gate_ran_hold_for_this_landing_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        meanwhile(monkeypatch, lambda: edit(house, gate="test -f README # newer", update_checkout="never"))
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", task_id)
        assert not (house.repository / "new.txt").exists(), "the checkout is never updated from now on"
        landed = (await house.task(task_id)).landed_commit
        gates = await house.store.read(
            lambda conn: conn.rows('SELECT gate, result FROM receipts WHERE "commit" = ? ORDER BY id', (landed,))
        )
        assert gates[-1] == ("test -f README # newer", "green")


async def test_what_was_not_shown_when_a_person_accepted_is_asked_about_anew(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(approve="ask")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("decision.opened", task_id)
        await edit(house, protected=("new.txt",))
        await house.store.write(accept_task, task_id, message="", actor="test")
        await house.wait_for_type("decision.opened", task_id, 2)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.PROTECTED
        await house.store.write(accept_task, task_id, message="", actor="test")
        await house.wait_for_type("task.done", task_id)


async def test_cancelling_what_waits_in_the_lane_does_not_wait_for_the_gates_before_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with open_house(tmp_path) as house:
        await house.add_project(gate=f"cat {fifo}")
        await house.add_worker()
        first = await house.add_task("First", write_step("first.txt", "1\n"))
        gate = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        second = await house.add_task("Second", write_step("second.txt", "1\n"))
        await house.wait_for_type("task.validating", second)
        await house.store.write(cancel_task, second, actor="test")
        await house.wait_for_type("attempt.ended", second)
        assert (await house.task(first)).state == "validating"
        os.close(gate)
        await house.wait_for_type("task.done", first)


async def test_a_lane_that_cannot_work_pauses_its_project_alone(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        house.paths.gates.write_text("in the way")
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "interrupted"
        assert (await house.store.read(projects.project_by_id, "toy")).state is ProjectState.PAUSED
        (decision,) = await house.decisions()
        assert "toy cannot land" in decision.question


async def test_a_bug_in_the_lane_puts_that_task_aside_and_the_next_one_lands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:  # noqa: ASYNC124 (stands in for what is awaited)
        raise KeyError("nobody thought of this")

    meanwhile(monkeypatch, fail)
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        first = await house.add_task("First", write_step("first.txt", "1\n"))
        await house.wait_for_type("decision.opened", first)
        second = await house.add_task("Second", write_step("second.txt", "1\n"))
        await house.wait_for_type("task.done", second)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.POISONED


async def _park_one(house: House) -> None:
    await house.add_project()
    await house.add_worker()
    (house.repository / "README").write_text("my own words\n")
    task_id = await house.add_task("One", write_step("one.txt", "1\n"))
    await house.wait_for_type("task.done", task_id)
    git("checkout", "-q", "--", "README", cwd=house.repository)


async def test_parked_work_that_was_taken_by_another_way_does_not_stop_the_lane(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await _park_one(house)
        git("merge", "-q", "--squash", "ringmaster/landed/main", cwd=house.repository)
        git("commit", "-qm", "As I like it", cwd=house.repository)
        task_id = await house.add_task("Two", write_step("two.txt", "2\n"))
        await house.wait_for_type("task.done", task_id)
        assert (house.repository / "two.txt").exists()
        assert git("branch", "--list", "ringmaster/*", cwd=house.repository) == ""


async def test_a_parked_branch_goes_once_the_target_has_all_of_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await _park_one(house)
        task_id = await house.add_task("Two", write_step("two.txt", "2\n"))
        await house.wait_for_type("project.unparked")
        await house.wait_for_type("task.done", task_id)
        with trio.fail_after(10):
            async with house.sur.repository_lock("toy"):
                pass
        assert git("branch", "--list", "ringmaster/*", cwd=house.repository) == ""


async def test_a_stack_that_nobody_can_move_is_a_question(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await _park_one(house)
        git("commit", "-q", "--allow-empty", "-m", "My own commit", cwd=house.repository)
        (house.repository / "README").write_text("dirty again\n")
        other = tmp_path / "other"
        git("worktree", "add", "-q", str(other), "ringmaster/landed/main", cwd=house.repository)
        (other / "one.txt").write_text("dirty too\n")
        task_id = await house.add_task("Two", write_step("two.txt", "2\n"))
        await house.wait_for_type("decision.opened", task_id)
        (decision,) = await house.decisions()
        assert "could not land" in decision.question
        assert "check out another branch" in decision.detail
        subprocess.run(["git", "checkout", "-q", "--", "."], cwd=other, check=True)
        git("worktree", "remove", "--force", str(other), cwd=house.repository)
        await house.store.write(accept_task, task_id, message="", actor="test")
        await house.wait_for_type("task.done", task_id)
