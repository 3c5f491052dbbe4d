"""The rule of budgets, line by line: what fits, what does not, and that what is not known counts as spent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from ringmaster.model.budget import Budget, Spent, is_cost, next_day_at, used_up, utc_day


def refuses(
    budget: Budget,
    spent: Spent = Spent(),  # noqa: B008 - frozen
    reserved: Sequence[float | None] = (),
    *,
    is_metered: bool = True,
    limit_usd: float | None = 1.0,
) -> bool:
    return bool(used_up(budget, spent, reserved, is_metered=is_metered, limit_usd=limit_usd))


ATTEMPTS, DOLLARS = Budget("p", max_attempts=2), Budget("p", max_usd=10.0)


def test_attempts_count_whatever_they_cost() -> None:
    assert not refuses(ATTEMPTS, Spent(attempts=1), is_metered=False)
    assert refuses(ATTEMPTS, Spent(attempts=2), is_metered=False)
    assert refuses(Budget("p", max_attempts=0), is_metered=False)
    assert not refuses(Budget("p"), Spent(attempts=99, usd=99.0, has_unknown=True))


@pytest.mark.parametrize(
    ("spent", "reserved", "limit_usd", "expected"),
    [
        (9.0, (), 1.0, False),
        (9.1, (), 1.0, True),
        (5.0, (4.0,), 1.0, False),
        (5.0, (4.1,), 1.0, True),
        (0.0, (None,), 1.0, True),
        (9.99, (), None, False),
        (0.0, (0.5,), None, True),
        (10.0, (), None, True),
        (10.0, (), 0.0, True),
        (0.1 + 0.2, (), 9.7, False),
    ],
)
def test_dollars_fit_together_with_what_runs(
    spent: float, reserved: Sequence[float | None], limit_usd: float | None, expected: bool
) -> None:
    assert refuses(DOLLARS, Spent(usd=spent), reserved, limit_usd=limit_usd) == expected


def test_what_nobody_knows_uses_the_day_up_but_for_what_costs_nothing() -> None:
    assert refuses(DOLLARS, Spent(has_unknown=True))
    assert not refuses(DOLLARS, Spent(usd=99.0, has_unknown=True), is_metered=False)
    assert refuses(Budget("p", max_usd=0.0), limit_usd=0.0)


def test_a_day_is_one_of_utc() -> None:
    assert utc_day(0) == "1970-01-01"
    assert utc_day(86_399.9) == "1970-01-01"
    assert next_day_at("1970-01-01") == 86_400
    assert utc_day(next_day_at("2028-02-28")) == "2028-02-29"


def test_a_cost_is_a_number() -> None:
    assert is_cost(0.0)
    assert not any(map(is_cost, (-0.01, math.nan, math.inf, -math.inf)))
