"""Who stops a shim, or the program that was about to start one, outruns neither limits nor a person's word."""

from __future__ import annotations

import fcntl
import os
import random
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.queue import lease
from ringmaster.queue.control import cancel_task, spawn_worker
from ringmaster.settings import LimitSettings
from ringmaster.store.connection import Connection
from tests.fakes.house import House, open_house
from tests.fakes.seats import make_seat


@pytest.mark.parametrize("limit", ["wall_s", "idle_s"])
async def test_an_agent_whose_shim_is_stopped_is_ended_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr("ringmaster.workers.overseeing.SLACK_S", 0.1)
    bound: dict[str, Any] = {limit: 1}
    limits = LimitSettings(cancel_grace_s=0.2, **bound)
    async with open_house(tmp_path, limits=limits) as house:
        await house.add_project()
        script = "kill -STOP $PPID; sleep 1000 & wait"
        await house.add_worker(agent="command", command=("sh", "-c", script))
        task_id = await house.add_task("Outrun")
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "timed_out"


async def pull_for_a_runner(house: House) -> str:
    """The attempt that `worker run` is given; nothing of it has begun."""
    runner = make_seat(id="runner", is_pulled=True)

    def pull(conn: Connection) -> str:
        spawn_worker(conn, runner, actor="test")
        rng = random.Random(1)
        claim = lease.pull(conn, "runner", "secret", lease_s=1000.0, is_run=True, max_running=4, actor="test", rng=rng)
        assert claim is not None
        return claim.attempt.id

    return await house.store.write(pull)


async def test_a_task_whose_runner_was_stopped_before_it_began_can_be_cancelled(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        task_id = await house.add_task("Hold")
        attempt_id = await pull_for_a_runner(house)
        await house.wait_for_type("attempt.leased", task_id)
        job = house.paths.attempt(attempt_id) / "agent"
        lock = os.open(job / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            house.sur.leases.changed(attempt_id)
            await trio.testing.wait_all_tasks_blocked()
            await house.store.write(lambda conn: cancel_task(conn, task_id, actor="test"))
            await house.wait_for_type("attempt.ended", task_id)
        finally:
            os.close(lock)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "cancelled"
        assert not job.exists(), "it cannot begin any more"
