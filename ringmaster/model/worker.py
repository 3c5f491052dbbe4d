"""A worker: a named seat that runs attempts with one agent kind."""

from __future__ import annotations

import msgspec

from ringmaster.model.states import WorkerState

HAND = "hand"
"""The agent of a seat whose work somebody does by hand: pulled, and reported by `rmctl report`."""


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's row.

    agent: agent kind it runs; command: argv template when the kind is `command`.
    project_id: the only project it takes tasks of, or empty for any.
    attempt_id: the attempt in its seat, or empty.
    is_pulled: the dispatcher leaves it alone; somebody pulls tasks for it.
    """

    id: str
    agent: str
    command: tuple[str, ...]
    project_id: str
    capabilities: tuple[str, ...]
    state: WorkerState
    attempt_id: str
    created_at: float
    is_pulled: bool = False
