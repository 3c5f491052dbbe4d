"""How to look at a graph of tasks: what can run side by side, and the longest chain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ringmaster.model.graph import Edge, EdgeKind, GraphTask, Points, build_points


class Layout(NamedTuple):
    """layers: by task, 1 for what waits for no other, else one more than the last of those it waits for.

    path: the indexes of the tasks of the critical path, the first to do first.
    """

    layers: list[int]
    path: list[int]


def lay_out(
    tasks: Sequence[GraphTask], edges: Iterable[Edge], ranks: Sequence[int], *, fallbacks: Collection[Edge] = ()
) -> Layout:
    """Lay a graph out. ranks: of two chains of one length the path is that of the earlier.

    fallbacks: waiting for another to fail. It takes its place in the layers, but is no part of the work of a chain.
    """
    edges = list(edges)
    waiting = build_points(tasks, [*edges, *(edge._replace(kind=EdgeKind.BLOCKS) for edge in fallbacks)], ranks)
    layers = _depths(waiting, [1] * len(tasks) + [0] * (len(waiting.needs) - len(tasks)))
    return Layout(layers[: len(tasks)], _longest(build_points(tasks, edges, ranks), ranks))


def _depths(points: Points, weights: Sequence[int]) -> list[int]:
    depths = [0] * len(points.needs)
    for point in reversed(points.order):
        depths[point] = weights[point] + max((depths[other] for other in points.needs[point]), default=0)
    return depths


def _longest(points: Points, ranks: Sequence[int]) -> list[int]:
    lengths = _depths(points, points.weights)

    def place(point: int) -> tuple[int, int]:
        # The longest, and of those the one to be done first; further points have no rank.
        return -lengths[point], ranks[point] if point < points.tasks else 0

    if not points.tasks:
        return []
    way = [min(range(points.tasks), key=place)]
    while needed := points.needs[way[-1]]:
        way.append(min(needed, key=place))
        if len(way) > len(points.needs):
            # On a circle, which there should be none of.
            break
    return [point for point in reversed(way) if point < points.tasks]
