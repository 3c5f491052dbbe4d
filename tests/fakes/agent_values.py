"""Values that agents and prompts are made from, with defaults for what a test does not care about."""

from __future__ import annotations

from pathlib import Path

from ringmaster.agents.base import AgentContext
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, Task
from ringmaster.settings import Settings


def make_task(**fields: object) -> Task:
    values: dict[str, object] = {
        "id": "rm-abcde",
        "project_id": "toy",
        "title": "Add a greeting",
        "description": "",
        "priority": 2,
        "labels": (),
        "acceptance": (),
        "capabilities": (),
        "agent": "",
        "model": "",
        "limits": Limits(),
        "max_attempts": 3,
        "is_diff_needed": True,
        "state": TaskState.RUNNING,
        "open_blockers": 0,
        "not_before_at": None,
        "attempt_number": 1,
        "counted_attempts": 0,
        "streak": 0,
        "done_by": "",
        "landed_commit": "",
        "version": 1,
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    return Task(**(values | fields))  # type: ignore[arg-type]


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
