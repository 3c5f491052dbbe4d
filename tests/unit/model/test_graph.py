"""Points of the graph and its measures, against values that are known and against slow ways to find them."""

from __future__ import annotations

import itertools
import random
from collections import deque

import pytest

from ringmaster.model import graph_measures
from ringmaster.model.graph import Edge, EdgeKind, GraphTask, Points, build_points
from ringmaster.model.graph_measures import DAMPING, betweenness, count_unblocked, draw, longest_chains, page_ranks

B, ALL, ANY, CHILD, HELD = EdgeKind


def tasks_of(count: int, *, epics: tuple[int, ...] = ()) -> list[GraphTask]:
    return [GraphTask(seq, 2, 1000.0 + seq, is_epic=seq in epics) for seq in range(1, count + 1)]


def points_of(count: int, *edges: tuple[int, int, EdgeKind], epics: tuple[int, ...] = ()) -> Points:
    return build_points(tasks_of(count, epics=epics), [Edge(*edge) for edge in edges], range(count))


def reached(points: Points, place: int) -> set[int]:
    """The places of the tasks that must come before one, found by walking."""
    found: set[int] = set()
    waiting = [place]
    while waiting:
        for other in points.needs[waiting.pop()]:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return {other for other in found if other < points.tasks}


def some_graph(seed: int, count: int = 40) -> Points:
    """Of blocks alone, with shortcuts and some who wait for nothing."""
    rng = random.Random(seed)
    edges = {(a, b) for a in range(2, count + 1) for b in rng.sample(range(1, a), min(a - 1, rng.randrange(4)))}
    return points_of(count, *((a, b, B) for a, b in sorted(edges)))


def test_each_point_comes_before_those_it_needs() -> None:
    points = some_graph(1)
    place = {point: number for number, point in enumerate(points.order)}
    assert sorted(points.order) == list(range(40))
    assert all(place[point] < place[other] for point in range(40) for other in points.needs[point])


def test_who_waits_for_a_parents_start_waits_for_what_the_parent_waits_for_and_not_for_its_end() -> None:
    # 2 is a child of 1, which waits for 3.
    points = points_of(3, (2, 1, HELD), (1, 3, B))
    assert reached(points, 1) == {2}
    assert reached(points, 0) == {2}


def test_a_childs_child_waits_with_them() -> None:
    points = points_of(4, (2, 1, HELD), (3, 2, HELD), (1, 4, B))
    assert reached(points, 2) == {3}


def test_a_child_whose_parent_may_start_waits_for_nothing_of_it() -> None:
    points = points_of(3, (2, 1, CHILD), (1, 3, B))
    assert reached(points, 1) == set()
    assert reached(points, 0) == {2}


def test_an_epic_is_over_when_its_children_are() -> None:
    points = points_of(4, (2, 1, CHILD), (3, 1, HELD), (1, 4, B), epics=(1,))
    assert reached(points, 0) == {1, 2, 3}
    assert reached(points, 1) == set()
    assert reached(points, 2) == {3}


def test_who_waits_for_all_children_waits_for_each_also_when_their_parent_has_ended() -> None:
    assert reached(points_of(4, (4, 1, ALL), (2, 1, CHILD), (3, 1, CHILD)), 3) == {0, 1, 2}
    assert reached(points_of(4, (4, 99, ALL), (2, 99, CHILD), (3, 99, CHILD)), 3) == {1, 2}
    assert reached(points_of(2, (2, 1, ALL)), 1) == {0}


def test_who_waits_for_any_child_waits_for_the_first_in_the_order_of_work() -> None:
    tasks = tasks_of(4)
    edges = [Edge(4, 1, ANY), Edge(2, 1, CHILD), Edge(3, 1, CHILD)]
    assert reached(build_points(tasks, edges, [0, 9, 5, 0]), 3) == {2}
    assert reached(build_points(tasks, edges, [0, 5, 5, 0]), 3) == {1}
    assert reached(points_of(2, (2, 1, ANY)), 1) == {0}


def test_an_edge_to_what_is_not_there_is_left_out_and_a_double_one_counts_once() -> None:
    points = points_of(2, (2, 77, B), (77, 1, B), (2, 1, B), (2, 1, B), (2, 1, ALL))
    assert points.needs == [[], [0]]


def test_the_longest_chain_counts_work_and_no_epics() -> None:
    # 1 <- 2 <- 3 <- 4 and 1 <- 4.
    assert longest_chains(points_of(4, (2, 1, B), (3, 2, B), (4, 3, B), (4, 1, B))) == [3, 2, 1, 0]
    # 2 is part of the epic 1, which 3 waits for.
    assert longest_chains(points_of(3, (2, 1, CHILD), (3, 1, B), epics=(1,)))[:3] == [1, 1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_what_a_task_unblocks_is_counted_once_however_many_ways_lead_to_it(seed: int) -> None:
    points = some_graph(seed)
    expected = [sum(place in reached(points, other) for other in range(40)) for place in range(40)]
    assert count_unblocked(points, tasks_of(40), 0) == expected


def test_in_a_graph_too_large_for_that_it_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    points = points_of(1000, *((seq, 1, B) for seq in range(2, 1001)))
    monkeypatch.setattr(graph_measures, "BITS_AT_ONCE", 100_000)
    counts = count_unblocked(points, tasks_of(1000), 0)
    assert 970 <= counts[0] <= 1000
    assert set(counts[1:]) == {0}


@pytest.mark.parametrize("seed", range(5))
def test_pagerank_is_what_iterating_comes_to(seed: int) -> None:
    points = some_graph(seed)
    count = points.tasks
    ranks = [1 / count] * count
    for _ in range(200):
        ends = sum(rank for rank, some in zip(ranks, points.needs, strict=True) if not some)
        new = [(1 - DAMPING) / count + DAMPING * ends / count] * count
        for point, some in enumerate(points.needs):
            for other in some:
                new[other] += DAMPING * ranks[point] / len(some)
        ranks = new
    assert page_ranks(points) == pytest.approx(ranks)


@pytest.mark.parametrize("seed", range(5))
def test_betweenness_from_every_task_is_exact(seed: int) -> None:
    points = some_graph(seed)
    expected = [0.0] * points.tasks
    for source, end in itertools.permutations(range(points.tasks), 2):
        ways = shortest_ways(points, source, end)
        for way in ways:
            for middle in way[1:-1]:
                expected[middle] += 1 / len(ways)
    assert betweenness(points, tasks_of(40), pivots=40, seed=0) == pytest.approx(expected)


def shortest_ways(points: Points, source: int, end: int) -> list[list[int]]:
    found: list[list[int]] = []
    waiting = deque([[source]])
    while waiting:
        way = waiting.popleft()
        if found and len(way) > len(found[0]):
            break
        if way[-1] == end:
            found.append(way)
            continue
        waiting.extend([*way, other] for other in points.needs[way[-1]])
    return found


def test_more_ways_than_a_float_holds_are_weighed_all_the_same() -> None:
    # Two by two, each layer waits for both of the one before: 2 ** 1200 ways from end to end.
    layers = 1200
    pairs = [(2 * k + a, 2 * k + b) for k in range(layers) for a in (3, 4) for b in (1, 2)]
    points = points_of(2 * layers + 2, *((a, b, B) for a, b in pairs))
    tasks = tasks_of(2 * layers + 2)
    found = betweenness(points, tasks, pivots=8, seed=1)
    assert max(found) < float("inf")
    # Of two that wait for the same and are waited for by the same, one lies on as many ways as the other.
    pivots = set(draw(tasks, 8, 1))
    assert all(found[k] == pytest.approx(found[k + 1]) for k in range(0, 2 * layers, 2) if not {k, k + 1} & pivots)
    assert sum(found) > 0


def test_pivots_are_the_same_for_a_seed_and_hardly_change_with_the_graph() -> None:
    drawn = draw(tasks_of(1000), 64, 5)
    assert drawn == draw(tasks_of(1000), 64, 5)
    assert drawn != draw(tasks_of(1000), 64, 6)
    assert len(set(drawn) & set(draw(tasks_of(1010), 64, 5))) > 60


def test_a_circle_which_there_is_none_of_hangs_nothing() -> None:
    points = points_of(5, (1, 2, B), (2, 3, B), (3, 1, B), (4, 1, B), (3, 5, B))
    assert sorted(points.order) == list(range(5))
    tasks = tasks_of(5)
    for values in (
        longest_chains(points),
        count_unblocked(points, tasks, 0),
        page_ranks(points),
        betweenness(points, tasks, pivots=5, seed=0),
    ):
        assert len(values) >= 5
