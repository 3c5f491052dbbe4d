"""The order of work: when a task should start, in unix seconds. The lowest goes first, then arrival.

Standard library alone, as all that the program which ranks the graph loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HOUR_S = 3600
DAY_S = 24 * HOUR_S
PATIENCE_S = (-30 * DAY_S, 0, 2 * DAY_S, 5 * DAY_S, 10 * DAY_S)
"""By priority: how long after its arrival a task should start. One of P0 goes before all that arrived in a month."""

CAP_S = 12 * HOUR_S
"""The most that a task's place in the graph brings it forward."""

RANK_LIMIT = 2**32 - 1
"""The claim packs rank and place into one integer of 63 bits."""


class OrderRules(NamedTuple):
    """What ranks are made by; the table `[order]` of the settings.

    critical_path_s, unblocks_s, pagerank_s, betweenness_s: how far the task that has most of it is brought forward.
    cap_s: the most that they do together. patience_s: by priority. seed, pivots: whose betweenness is looked at.
    """

    critical_path_s: int = 6 * HOUR_S
    unblocks_s: int = 4 * HOUR_S
    pagerank_s: int = HOUR_S
    betweenness_s: int = HOUR_S
    cap_s: int = CAP_S
    patience_s: Sequence[int] = PATIENCE_S
    seed: int = 0
    pivots: int = 64


RULES = OrderRules()


def base_rank(priority: int, arrived_at: float, *, deadline_at: float | None = None, rules: OrderRules = RULES) -> int:
    """The rank of a task whose place in the graph is not known yet. arrived_at: when it came to this queue.

    It does not change as time goes by: what waits is overtaken by fewer and fewer, because who arrives later has a
    later rank. So waiting is bounded without a row being touched (earliest deadline first, Liu and Layland 1973,
    with the deadlines of aperiodic work set by its priority).
    """
    rank = arrived_at + rules.patience_s[priority]
    if deadline_at is not None:
        rank = min(rank, deadline_at - HOUR_S)
    return bounded_rank(rank, arrived_at, rules)


def bounded_rank(rank: float, arrived_at: float, rules: OrderRules = RULES) -> int:
    """A rank that no rule has made so early that a stream of such tasks could starve the others."""
    return max(1, min(int(max(rank, arrived_at + min(rules.patience_s) - rules.cap_s)), RANK_LIMIT))
