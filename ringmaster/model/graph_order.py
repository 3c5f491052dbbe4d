"""The order of work by the graph: pure, and the same for the same graph, rules and seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ringmaster.model.graph import Edge, GraphTask, Points, build_points
from ringmaster.model.graph_measures import betweenness, count_unblocked, longest_chains, page_ranks
from ringmaster.model.order import HOUR_S, OrderRules, bounded_rank


class Terms(NamedTuple):
    """What makes a task's rank: `base`, and seconds that each rule adds to it, negative ones for earlier.

    rank is their sum. capped_s: what the cap takes back of the four before it. chain, unblocks: the counts behind
    those two. inherited_from: the place of the task from which the rank comes, 0 for none.
    """

    rank: int
    base: int
    critical_path_s: int = 0
    unblocks_s: int = 0
    pagerank_s: int = 0
    betweenness_s: int = 0
    capped_s: int = 0
    deadline_s: int = 0
    inherited_s: int = 0
    floor_s: int = 0
    chain: int = 0
    unblocks: int = 0
    inherited_from: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the graph says nothing about it: its rank is what it would be without."""
        return not (any(self[2:7]) or self.inherited_s or self.chain or self.unblocks)


def order_graph(tasks: Sequence[GraphTask], edges: Iterable[Edge], rules: OrderRules) -> list[Terms]:
    """The terms of each task, in the order given. See docs/queue.md."""
    base = [int(task.arrived_at) + rules.patience_s[task.priority] for task in tasks]
    points = build_points(tasks, edges, base)
    chains = longest_chains(points)
    unblocks = count_unblocked(points, tasks, rules.seed)
    parts = (
        _shares(chains[: points.tasks], rules.critical_path_s),
        _shares(unblocks, rules.unblocks_s),
        _shares(page_ranks(points), rules.pagerank_s),
        _shares(betweenness(points, tasks, pivots=rules.pivots, seed=rules.seed), rules.betweenness_s),
    )
    urgency = [sum(some) for some in zip(*parts, strict=True)]
    hinted = [rank - min(some, rules.cap_s) for rank, some in zip(base, urgency, strict=True)]
    due = _starts_due(points, tasks)
    wanted = [min(rank, when) for rank, when in zip(hinted, due, strict=True)]
    inherited, sources = _inherit(points, wanted)
    found = []
    for place, task in enumerate(tasks):
        own, rank = wanted[place], inherited[place]
        bounded = bounded_rank(rank, task.arrived_at, rules)
        path, freed, page, between = (-part[place] for part in parts)
        found.append(
            Terms(
                rank=bounded,
                base=base[place],
                critical_path_s=path,
                unblocks_s=freed,
                pagerank_s=page,
                betweenness_s=between,
                capped_s=max(0, urgency[place] - rules.cap_s),
                deadline_s=own - hinted[place],
                inherited_s=rank - own,
                floor_s=bounded - rank,
                chain=chains[place],
                unblocks=unblocks[place],
                inherited_from=tasks[sources[place]].seq if rank < own else 0,
            )
        )
    return found


def _shares(values: Sequence[float], most_s: int) -> list[int]:
    """By task its part of `most_s`: all of it for the greatest value, none for the least."""
    low = min(values, default=0)
    # Sums of floats: what differs by less than this is the same.
    span = max(values, default=0) - low
    if span <= 1e-12 * abs(low):
        return [0] * len(values)
    return [round(most_s * (value - low) / span) for value in values]


def _starts_due(points: Points, tasks: Sequence[GraphTask]) -> list[int]:
    """By task, when it must start for all that wait for it to keep their deadlines: an hour for each task on the way.

    The backward pass of the critical path method (Kelley and Walker 1959).
    """
    due = [math.inf] * len(points.needs)
    for place, task in enumerate(tasks):
        if task.deadline_at is not None:
            due[place] = task.deadline_at
    for point in points.order:
        start = due[point] - HOUR_S * points.weights[point]
        if start < math.inf:
            for other in points.needs[point]:
                due[other] = min(due[other], start)
    # An epic is never started; alone it is ranked as any task.
    return [_NEVER if end == math.inf else int(end - HOUR_S) for end in due[: points.tasks]]


_NEVER = 2**62
"""Later than any rank."""


def _inherit(points: Points, wanted: Sequence[int]) -> tuple[list[int], list[int]]:
    """By task the rank that it has for itself or, less a second, for what waits for it; and the task it comes from."""
    ranks = [*wanted, *[_NEVER] * (len(points.needs) - points.tasks)]
    sources = list(range(len(points.needs)))
    for point in points.order:
        is_task = point < points.tasks
        offered = ranks[point] - is_task
        source = point if is_task else sources[point]
        for other in points.needs[point]:
            if offered < ranks[other]:
                ranks[other], sources[other] = offered, source
    return ranks[: points.tasks], sources[: points.tasks]
