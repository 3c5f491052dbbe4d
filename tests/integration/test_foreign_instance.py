"""What belongs to another instance is neither adopted nor ended, landed nor pruned."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import trio

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import RingmasterError
from ringmaster.proc.job import Job, adopt_job
from ringmaster.proc.job_files import read_spec, write_spec
from ringmaster.store.connection import Connection
from ringmaster.workers.cleanup import clean_up
from ringmaster.workers.jobs import running_jobs, stop_jobs
from ringmaster.workers.landing import unpark
from ringmaster.workspace.ownership import Owner, claim_ownership, foreign_owner
from tests.fakes.house import git, open_house, write_step


def take_over(repository: Path, tmp_path: Path, id: str = "other") -> None:
    """Another instance, whose state is there, marks the repository as its own."""
    state = tmp_path / "other-state"
    state.mkdir(exist_ok=True)
    claim_ownership(repository / ".git", Owner(id, "other", str(state)))


async def test_work_is_not_landed_on_a_repository_of_another_instance(tmp_path: Path):
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        take_over(house.repository, tmp_path)
        before = git("for-each-ref", cwd=house.repository)
        await house.add_task("Write", write_step("a.txt", "a"))
        await house.wait_for_type("decision.opened")
        (asked,) = await house.decisions()
        assert asked.kind is DecisionKind.ACCEPT
        assert "belongs to the ringmaster instance 'other'" in asked.question
        assert git("for-each-ref", cwd=house.repository) == before
        with pytest.raises(RingmasterError, match="belongs to the ringmaster instance 'other'"):
            await unpark(house.sur, "toy")


def test_a_mark_of_this_very_state_or_of_one_that_is_gone_is_no_hindrance(tmp_path: Path):
    repository = tmp_path / "repo"
    (repository / ".git").mkdir(parents=True)
    take_over(repository, tmp_path)
    other = Owner("other", "other", str(tmp_path / "other-state"))
    assert foreign_owner(repository / ".git", Owner("me", "me", "/elsewhere")) == other
    assert foreign_owner(repository / ".git", other) is None
    assert foreign_owner(repository / ".git", Owner("new", "x", other.state_dir)) is None
    (tmp_path / "other-state").rmdir()
    assert foreign_owner(repository / ".git", Owner("me", "me", "/elsewhere")) is None


async def test_a_job_of_another_instance_is_neither_adopted_nor_ended_nor_pruned(tmp_path: Path):
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    async with open_house(tmp_path) as house:
        await house.add_project(keep_days=0.0)
        await house.add_worker(agent="command", command=("sh", "-c", f"echo > {sign}; exec sleep 600"))
        task_id = await house.add_task("Wait")
        await trio.to_thread.run_sync(sign.read_bytes)
        (attempt,) = await house.attempts(task_id)
        directory = house.paths.attempt(attempt.id) / "agent"
        spec = read_spec(directory)
        assert spec is not None
        write_spec(directory, msgspec.structs.replace(spec, instance="other"))
        with pytest.raises(RingmasterError, match="belongs to instance other"):
            await adopt_job(directory, instance=house.sur.instance_id)
        assert await running_jobs(house.sur, attempt.id) == []
        await stop_jobs(house.sur, attempt.id)
        alive = await adopt_job(directory, instance="other")
        assert isinstance(alive, Job)
        alive.cancel(0.1)
        await house.wait_for_type("attempt.ended")
        await house.store.write(_end_long_ago)
        swept = await clean_up(house.sur)
        assert f"{directory.parent}: it belongs to another instance" in swept.kept
        assert (directory / "spec.json").exists()


def _end_long_ago(conn: Connection) -> None:
    conn.execute("UPDATE attempts SET ended_at = 1.0 WHERE state = 'ended'")
