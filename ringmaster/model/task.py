"""A task: the unit of queued work."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringmaster.model.states import TaskState


class TaskType(StrEnum):
    """What kind of work a task is. An epic is its children: it is never given to an agent."""

    TASK = "task"
    BUG = "bug"
    FEATURE = "feature"
    EPIC = "epic"
    CHORE = "chore"
    SPIKE = "spike"
    DECISION = "decision"


NO_DIFF_TYPES = frozenset({TaskType.SPIKE, TaskType.DECISION})
"""Types that may end without a change unless they say otherwise."""


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
    type: of the types there are, or one that another system had.
    open_blockers: what is in its way, see docs/queue.md; ready means zero.
    rank: the order of work, lower first, unix seconds; 0 in a row that older code left.
    deadline_at: when it should be done. held_at: since when a person keeps it back.
    last_child: the last number given to a child's id. children, open_children, done_children: how many tasks have it as
        their parent, of those how many have not ended, and how many are done.
    failure: how the last attempt failed, without numbers and paths; same_failures: how often in a row.
    attempt_number: number of the newest attempt, 0 before the first.
    counted_attempts: attempts that count against `max_attempts`; streak: attempts in a row that were interrupted.
    done_by: landed, person, import, children or unneeded. landed_commit: the commit that became the tip; is_parked: it
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
    type: str = TaskType.TASK
    rank: int = 0
    deadline_at: float | None = None
    held_at: float | None = None
    last_child: int = 0
    children: int = 0
    open_children: int = 0
    done_children: int = 0
    failure: str = ""
    same_failures: int = 0
