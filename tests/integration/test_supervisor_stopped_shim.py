"""An agent that stops its own shim does not outrun its limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.settings import LimitSettings
from tests.fakes.house import open_house


@pytest.mark.parametrize("limit", ["wall_s", "idle_s"])
async def test_an_agent_whose_shim_is_stopped_is_ended_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr("ringmaster.workers.overseeing.SLACK_S", 0.1)
    limits = LimitSettings(cancel_grace_s=0.2, **{limit: 1})
    async with open_house(tmp_path, limits=limits) as house:
        await house.add_project()
        script = "kill -STOP $PPID; sleep 1000 & wait"
        await house.add_worker(agent="command", command=("sh", "-c", script))
        task_id = await house.add_task("Outrun")
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "timed_out"
