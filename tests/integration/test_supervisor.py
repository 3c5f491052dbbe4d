"""A task goes in, an agent works on it in a workspace, evidence decides, the work lands."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.house import git, open_house, write_step


async def test_a_task_lands_on_the_target_with_its_trailers(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add a greeting", write_step("hello.txt", "hello\n"))
        await house.wait_for_type("task.done", task_id)
        task = await house.task(task_id)
        assert task.done_by == "landed"
        assert task.landed_commit == git("rev-parse", "main", cwd=house.repository)
        assert (house.repository / "hello.txt").read_text() == "hello\n"
        message = git("log", "-1", "--format=%B", "main", cwd=house.repository)
        assert f"Ringmaster-Task: {task_id}" in message
        assert "Agent: scripted (recorded steps, no model)" in message
        assert git("status", "--porcelain", cwd=house.repository) == ""
