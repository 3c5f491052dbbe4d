"""The open part of the graph of tasks, as points that must come before one another.

Standard library alone: a program of its own loads this. Lists of small integers instead of objects, because it is
asked about tens of thousands of tasks at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple


class EdgeKind(IntEnum):
    """What one open task has to do with another, as far as it decides when either should start.

    `conditional-blocks` is not among them: what is only done if another fails does not hang on its success.
    """

    BLOCKS = 0
    """The waiter waits for the other to be done."""
    ALL_CHILDREN = 1
    """The waiter waits for the other and for all of its children."""
    ANY_CHILD = 2
    """The waiter waits for some child of the other."""
    CHILD = 3
    """The waiter is a child of the other, and may start."""
    HELD_CHILD = 4
    """The waiter is a child of the other, and may not start before it."""


class Edge(NamedTuple):
    """Two tasks by their place in order of arrival."""

    waiter: int
    other: int
    kind: int


class GraphTask(NamedTuple):
    """What the order of work looks at in a task that has not ended. seq: its place in order of arrival."""

    seq: int
    priority: int
    arrived_at: float
    deadline_at: float | None = None
    is_epic: bool = False


class Points(NamedTuple):
    """The graph as points: the first `tasks` of them are the tasks, in the order given.

    A task is one point, which stands for its start and its end. Where children wait for a parent's start alone there
    is a further point for that, and one for the children of a task whose children somebody waits for.

    needs: by point, those that must come before it. weights: 1 for work to do, 0 for an epic and for further points.
    order: every point, each before those it needs; on a circle, which there should be none of, in some order.
    """

    tasks: int
    needs: list[list[int]]
    weights: list[int]
    order: list[int]


def build_points(tasks: Sequence[GraphTask], edges: Iterable[Edge], base: Sequence[int]) -> Points:
    """The points of a graph. base: of each task its rank without the graph. An edge to what is not there is left out.

    Who waits for any child waits for the one that comes first: all the others may come late.
    """
    index = {task.seq: place for place, task in enumerate(tasks)}
    needs: list[list[int]] = [[] for _ in tasks]
    weights = [0 if task.is_epic else 1 for task in tasks]
    children: dict[int, list[int]] = {}
    starts: dict[int, int] = {}
    held: list[tuple[int, int]] = []
    edges = list(edges)
    # Further points are numbered in one order, whatever the edges come in. Nearly all edges are `blocks`.
    blocks = EdgeKind.BLOCKS
    unique = sorted({edge for edge in edges if edge[2] != blocks})
    for edge in unique:
        child, parent = index.get(edge[0]), index.get(edge[1])
        if edge[2] < EdgeKind.CHILD or child is None:
            continue
        children.setdefault(edge[1], []).append(child)
        if parent is None:
            continue
        if tasks[parent].is_epic:
            needs[parent].append(child)
        if edge[2] == EdgeKind.HELD_CHILD:
            held.append((child, parent))
            if parent not in starts:
                starts[parent] = _add_point(needs, weights)
                needs[parent].append(starts[parent])
    for child, parent in held:
        needs[starts.get(child, child)].append(starts[parent])
    for waiter_seq, other_seq, kind in edges:
        if kind == blocks and waiter_seq in index and other_seq in index:
            blocked = index[waiter_seq]
            needs[starts.get(blocked, blocked)].append(index[other_seq])
    families: dict[int, int] = {}
    for waiter_seq, other_seq, kind in unique:
        waiter, other = index.get(waiter_seq), index.get(other_seq)
        if kind >= EdgeKind.CHILD or waiter is None:
            continue
        some = needs[starts.get(waiter, waiter)]
        family = children.get(other_seq)
        if kind == EdgeKind.ANY_CHILD and family:
            some.append(min(family, key=lambda place: (base[place], tasks[place].seq)))
            continue
        if other is not None:
            some.append(other)
        # An epic needs its children itself.
        if kind == EdgeKind.ALL_CHILDREN and family and (other is None or not tasks[other].is_epic):
            if other_seq not in families:
                families[other_seq] = _add_point(needs, weights)
                needs[families[other_seq]] += family
            some.append(families[other_seq])
    # In one order too, so that sums of floats and ties come out the same.
    needs = [sorted(set(some)) if len(some) > 1 else some for some in needs]
    return Points(len(tasks), needs, weights, _dependents_first(needs))


def _add_point(needs: list[list[int]], weights: list[int]) -> int:
    needs.append([])
    weights.append(0)
    return len(needs) - 1


def _dependents_first(needs: list[list[int]]) -> list[int]:
    """Kahn's order (1962). What lies on a circle never becomes free, and comes last."""
    waiting = [0] * len(needs)
    for some in needs:
        for other in some:
            waiting[other] += 1
    order = [point for point, count in enumerate(waiting) if not count]
    for point in order:
        for other in needs[point]:
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    if len(order) < len(needs):
        order += [point for point, count in enumerate(waiting) if count]
    return order
