"""A worker: a named seat that runs attempts with one agent kind."""

from __future__ import annotations

import msgspec

from ringmaster.model.states import WorkerState


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's row.

    agent: agent kind it runs; command: argv template when the kind is `command`.
    project_id: the only project it takes tasks of, or empty for any.
    attempt_id: the attempt in its seat, or empty.
    """

    id: str
    agent: str
    command: tuple[str, ...]
    project_id: str
    capabilities: tuple[str, ...]
    state: WorkerState
    attempt_id: str
    created_at: float
