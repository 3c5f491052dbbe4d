"""Methods about figures over time."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MOST_POINTS = 1_000
LAST_AT = 32_503_680_000.0
"""The year 3000, by which other programs count too."""

Time = Annotated[float, msgspec.Meta(ge=0, le=LAST_AT)]


class StatsSeriesParams(msgspec.Struct, frozen=True, kw_only=True):
    """Figures by hour or by day, from the one that holds `since_at` to the one that holds `until_at`.

    until_at: unix seconds, 0 for now. since_at: 0 for 30 points. offset_s: how far ahead of UTC the clock is by which
    hours and days begin; one offset for all of them. project_id: of one project; '' for all that the caller may see.
    """

    by: Literal["hour", "day"] = "day"
    since_at: Time = 0.0
    until_at: Time = 0.0
    offset_s: Annotated[int, msgspec.Meta(ge=-50_400, le=50_400, multiple_of=900)] = 0
    project_id: str = ""


class StatsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What ended from `begin_at` to before `end_at` (unix seconds); what still runs is in none.

    attempts: by outcome, without those that none had. landed, failed, cancelled: tasks, each time that they did.
    success_rate: of the attempts whose outcome counts against `max_attempts` of their task, the share that succeeded;
    null when there were none. cost_usd, tokens_in, tokens_out: of those attempts, as far as their agents told.
    landed_after_s: the median time from a task's arrival to its landing, of the newest 2000 landings; null without one.
    gates: runs of gates, gate_s: their seconds in all. is_open: the time is not over, so it may still grow.
    """

    begin_at: float
    end_at: float
    attempts: dict[str, int] = {}
    landed: int = 0
    failed: int = 0
    cancelled: int = 0
    success_rate: float | None = None
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    landed_after_s: float | None = None
    gates: int = 0
    gate_s: float = 0.0
    is_open: bool = False


class StatsSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The points without a gap, the oldest first. project_id: whose they are, '' for all."""

    by: Literal["hour", "day"]
    offset_s: int
    project_id: str
    points: tuple[StatsPoint, ...]
