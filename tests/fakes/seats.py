"""A worker's row as a plain seat has it."""

from __future__ import annotations

from typing import Any

import msgspec

from ringmaster.model.states import WorkerState
from ringmaster.model.worker import Worker

PLAIN = Worker(
    id="w1",
    agent="scripted",
    command=(),
    project_id="",
    capabilities=(),
    state=WorkerState.ACTIVE,
    attempt_id="",
    created_at=0.0,
)


def make_seat(**changes: Any) -> Worker:
    """A free seat of the scripted agent for every project, but for `changes`."""
    return msgspec.structs.replace(PLAIN, **changes)
