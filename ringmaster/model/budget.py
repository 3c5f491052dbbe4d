"""Budgets of attempts and dollars by project and day of UTC: one pure rule for the claim and for who asks why."""

from __future__ import annotations

import calendar
import math
import time
from collections.abc import Sequence

import msgspec

DAY_S = 86_400
CENTS_TOLERANCE = 1e-9
"""Sums of dollars are sums of binary fractions."""


class Budget(msgspec.Struct, frozen=True):
    """What a project may have in a day; project_id '' is all of them together. None: no limit."""

    project_id: str
    max_attempts: int | None = None
    max_usd: float | None = None


class Spent(msgspec.Struct, frozen=True):
    """What a day has come to. has_unknown: something was spent and nobody knows how much."""

    attempts: int = 0
    usd: float = 0.0
    has_unknown: bool = False

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.attempts + other.attempts, self.usd + other.usd, self.has_unknown or other.has_unknown)


def is_cost(usd: float) -> bool:
    """Whether it is a number of dollars: not NaN, not infinite, not less than nothing."""
    return math.isfinite(usd) and usd >= 0


def utc_day(at: float) -> str:
    """The date of a time, by UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def next_day_at(day: str) -> float:
    """When the day after begins, unix seconds."""
    return float(calendar.timegm(time.strptime(day, "%Y-%m-%d")) + DAY_S)


def used_up(
    budget: Budget,
    spent: Spent,
    reserved: Sequence[float | None],
    *,
    is_metered: bool,
    limit_usd: float | None,
) -> str:
    """Why a budget lets no further attempt begin, in words; '' while it does.

    reserved: the dollar limits of the metered attempts that run. is_metered, limit_usd: of the one that would begin.
    What cannot be told counts as if it were spent: a budget is there so that nobody has to look.
    """
    if budget.max_attempts is not None and spent.attempts >= budget.max_attempts:
        return f"{spent.attempts} of {budget.max_attempts} attempts are used"
    if budget.max_usd is None or not is_metered:
        return ""
    if spent.has_unknown:
        return f"an attempt did not tell what it cost, so what is left of ${budget.max_usd:.2f} is not known"
    if spent.usd >= budget.max_usd - CENTS_TOLERANCE:
        return f"${spent.usd:.2f} of ${budget.max_usd:.2f} are spent"
    running = sum(limit for limit in reserved if limit is not None)
    if None in reserved:
        return f"${spent.usd:.2f} of ${budget.max_usd:.2f} are spent, and what runs has no limit of its own"
    if limit_usd is None:
        words = f"${spent.usd:.2f} of ${budget.max_usd:.2f} are spent, and without a limit it has to run alone"
        return words if reserved else ""
    if spent.usd + running + limit_usd > budget.max_usd + CENTS_TOLERANCE:
        held = f" and ${running:.2f} held for what runs" if running else ""
        return f"${spent.usd:.2f} of ${budget.max_usd:.2f} are spent{held}: another ${limit_usd:.2f} does not fit"
    return ""
