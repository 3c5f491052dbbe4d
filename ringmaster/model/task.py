"""A task: the unit of queued work."""

from __future__ import annotations

import msgspec

from ringmaster.model.states import TaskState


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of an attempt; None takes the daemon's setting.

    wall_s: wall clock; idle_s: time without output; output_bytes: stdout and stderr together;
    turns: model turns, for agents that count them. budget_usd: of the task in all, for agents that tell their cost;
    one call may go over it.
    """

    wall_s: float | None = None
    idle_s: float | None = None
    output_bytes: int | None = None
    turns: int | None = None
    budget_usd: float | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task's row.

    priority: 0 (most urgent) to 4.
    open_blockers: dependencies not done and decisions not answered; ready means zero.
    attempt_number: number of the newest attempt, 0 before the first.
    counted_attempts: attempts that count against `max_attempts`; streak: attempts in a row that were interrupted.
    done_by: landed, person or import. landed_commit: the commit that became the tip; is_parked: it
        waits in `ringmaster/landed/<target>`.
    """

    id: str
    project_id: str
    title: str
    description: str
    priority: int
    labels: tuple[str, ...]
    acceptance: tuple[str, ...]
    capabilities: tuple[str, ...]
    agent: str
    model: str
    limits: Limits
    max_attempts: int
    is_diff_needed: bool
    state: TaskState
    open_blockers: int
    not_before_at: float | None
    attempt_number: int
    counted_attempts: int
    streak: int
    done_by: str
    landed_commit: str
    version: int
    created_at: float
    updated_at: float
