"""How much of the graph hangs on each point, by four measures. Each is one pass or a bounded number of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ringmaster.model.graph import GraphTask, Points

DAMPING = 0.85
BITS_AT_ONCE = 2**29
"""Bits that are kept to count what each task unblocks: 64 MB, exact up to 23,170 tasks."""
STEPS_AT_MOST = 4_000_000
"""Edges and points that betweenness looks at; in larger graphs from fewer pivots."""
TOO_MANY, TOO_FEW = 1e100, 1e-300


def longest_chains(points: Points) -> list[int]:
    """By point, the work on the longest chain of tasks that wait for it, itself not among them."""
    chains = [0] * len(points.needs)
    weights = points.weights
    for point in points.order:
        length = chains[point] + weights[point]
        for other in points.needs[point]:
            if chains[other] < length:
                chains[other] = length
    return chains


def count_unblocked(points: Points, tasks: Sequence[GraphTask], seed: int) -> list[int]:
    """By task, how many tasks wait for it in the end, each counted once however many ways lead to it.

    Each point hands a set of bits on to what it needs. In graphs too large for that the bits stand for tasks drawn by
    the seed, and the count is scaled up.
    """
    width = BITS_AT_ONCE // max(1, points.tasks)
    counted = range(points.tasks) if points.tasks <= width else draw(tasks, width, seed)
    share = points.tasks / max(1, len(counted))
    bits = [0] * len(points.needs)
    own = dict(zip(counted, range(len(counted)), strict=True))
    counts = [0] * points.tasks
    for point in points.order:
        carried = bits[point]
        bits[point] = 0
        if point < points.tasks:
            counts[point] = round(carried.bit_count() * share)
            if point in own:
                carried |= 1 << own[point]
        if carried:
            for other in points.needs[point]:
                bits[other] |= carried
    return counts


def page_ranks(points: Points) -> list[float]:
    """By task, its PageRank (Brin and Page 1998), where a task gives its weight to what it waits for.

    Without circles it needs no iteration: what each point gets is known when those that wait for it are done, and
    what the ends of chains give back to all changes every rank by the same factor.
    """
    values = [1.0] * points.tasks + [0.0] * (len(points.needs) - points.tasks)
    for point in points.order:
        some = points.needs[point]
        if some:
            given = DAMPING * values[point] / len(some)
            for other in some:
                values[other] += given
    total = sum(values) or 1.0
    return [value / total for value in values[: points.tasks]]


def betweenness(points: Points, tasks: Sequence[GraphTask], *, pivots: int, seed: int) -> list[float]:
    """By task, on how many shortest ways between two others it lies, estimated from some of the tasks.

    Brandes 2001, from pivots alone (Brandes and Pich 2007), which the seed draws by the tasks' places: a task that is
    added changes few of them.
    """
    size = len(points.needs) + sum(map(len, points.needs))
    count = max(1, min(pivots, points.tasks, STEPS_AT_MOST // max(1, size)))
    sums = [0.0] * len(points.needs)
    for source in draw(tasks, count, seed):
        _add_dependencies(points, source, sums)
    scale = points.tasks / count
    return [value * scale for value in sums[: points.tasks]]


def draw(tasks: Sequence[GraphTask], count: int, seed: int) -> list[int]:
    """So many of the tasks' indexes, the same for the same tasks and seed."""
    key = seed.to_bytes(8, "big", signed=True)

    def lot(place: int) -> bytes:
        return hashlib.blake2b(tasks[place].seq.to_bytes(8, "big"), digest_size=8, key=key).digest()

    return sorted(range(len(tasks)), key=lot)[:count]


def _add_dependencies(points: Points, source: int, sums: list[float]) -> None:
    """Add to each point what part of the shortest ways from one source lead through it."""
    needs, ends = points.needs, points.tasks
    levels, ways, factors = _search(needs, source)
    # By point: what all ways through it are worth, a way. Only of the level below the one that is looked at, so that an
    # edge which is on no shortest way adds nothing.
    worth = [0.0] * len(needs)
    below: list[int] = []
    factor = 1.0
    for number in range(len(levels) - 1, 0, -1):
        level = levels[number]
        found = []
        for point in level:
            through = 0.0
            for other in needs[point]:
                through += worth[other]
            found.append(through)
        for point in below:
            worth[point] = 0.0
        for point, a_way in zip(level, found, strict=True):
            through = a_way * ways[point] * factor
            sums[point] += through
            worth[point] = (through + (point < ends)) / ways[point]
        below = level
        factor = factors[number]


def _search(needs: list[list[int]], source: int) -> tuple[list[list[int]], list[float], list[float]]:
    """Breadth first: points by distance, the number of shortest ways to each, and a factor by distance.

    In a deep graph there are more ways than a float holds. The numbers of one distance are then made smaller by the
    factor of that distance.
    """
    depth = [-1] * len(needs)
    ways = [0.0] * len(needs)
    depth[source], ways[source] = 0, 1.0
    levels, factors = [[source]], [1.0]
    while True:
        found: list[int] = []
        distance = len(levels)
        for point in levels[-1]:
            count = ways[point]
            for other in needs[point]:
                seen = depth[other]
                if seen < 0:
                    depth[other] = distance
                    ways[other] = count
                    found.append(other)
                elif seen == distance:
                    ways[other] += count
        if not found:
            return levels, ways, factors
        most = max([ways[point] for point in found])
        factors.append(1.0)
        if most > TOO_MANY:
            factors[-1] = 1 / most
            for point in found:
                ways[point] = max(ways[point] / most, TOO_FEW)
        levels.append(found)
