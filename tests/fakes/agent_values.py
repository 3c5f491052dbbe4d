"""Values that agents and prompts are made from, with defaults for what a test does not care about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ringmaster.agents.base import AgentContext
from ringmaster.model.states import TaskState
from ringmaster.model.task import Task
from ringmaster.settings import Settings
from tests.fakes import rpc_results


def make_task(**fields: Any) -> Task:
    """A task that an attempt works on."""
    plain = {"id": "rm-abcde", "title": "Add a greeting", "state": TaskState.RUNNING, "attempt_number": 1}
    return rpc_results.make_task(**{**plain, **fields})


def make_context(root: Path, **fields: object) -> AgentContext:
    """An attempt whose files lie under `root`; nothing is written there."""
    values: dict[str, object] = {
        "task": make_task(),
        "attempt_id": "rm-abcde/2",
        "number": 2,
        "workspace": root / "workspace",
        "prompt_file": root / "prompt.md",
        "socket": root / "ringmaster.sock",
        "token": "t0ken",
        "command": (),
        "model": "large",
        "settings": Settings(),
    }
    return AgentContext(**(values | fields))  # type: ignore[arg-type]
