"""Methods about what was spent."""

from __future__ import annotations

from typing import Annotated

import msgspec


class CostListParams(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts that began since a time cost. since_at: unix seconds, 0 for all; project_id: of one project.

    limit: at most so many tasks, the dearest, and so many days, the newest.
    """

    since_at: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    project_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class ModelCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one model on one account came to."""

    agent: str
    account: str
    model: str
    attempts: int
    cost_usd: float
    tokens_in: int
    tokens_out: int


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one task came to."""

    task_id: str
    project_id: str
    attempts: int
    cost_usd: float
    tokens_in: int
    tokens_out: int


class AgentCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent came to, whichever model and account it had."""

    agent: str
    attempts: int
    cost_usd: float
    tokens_in: int
    tokens_out: int


class DayCost(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempts that began on one day came to. day: `2026-11-22`, by the daemon's own time zone."""

    day: str
    attempts: int
    cost_usd: float
    tokens_in: int
    tokens_out: int


class CostList(msgspec.Struct, frozen=True, kw_only=True):
    """The dearest first, days by their date, the newest first.

    The totals are of every attempt in the time, whatever `limit` says.
    """

    cost_usd: float
    tokens_in: int
    tokens_out: int
    by_model: tuple[ModelCost, ...]
    by_task: tuple[TaskCost, ...]
    by_agent: tuple[AgentCost, ...] = ()
    by_day: tuple[DayCost, ...] = ()
