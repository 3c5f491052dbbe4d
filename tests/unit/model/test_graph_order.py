"""Ranks by the graph: each rule on a small graph, and what holds of every graph."""

from __future__ import annotations

import random
import time

import pytest

from ringmaster.model.graph import Edge, EdgeKind, GraphTask
from ringmaster.model.graph_order import Terms, order_graph
from ringmaster.model.order import CAP_S, DAY_S, HOUR_S, PATIENCE_S, RULES, base_rank

B, ALL, ANY, CHILD, HELD = EdgeKind
NOW = 1_800_000_000
PLAIN = RULES._replace(critical_path_s=0, unblocks_s=0, pagerank_s=0, betweenness_s=0)


def task(
    seq: int, priority: int = 2, *, after_s: int = 0, deadline_at: float | None = None, is_epic: bool = False
) -> GraphTask:
    return GraphTask(seq, priority, float(NOW + after_s), deadline_at, is_epic)


def some_graph(seed: int, count: int = 60) -> tuple[list[GraphTask], list[Edge]]:
    rng = random.Random(seed)
    tasks = [
        GraphTask(
            seq,
            rng.randrange(5),
            NOW + rng.uniform(-60, 60) * DAY_S,
            rng.choice((None, None, NOW + rng.uniform(-90, 90) * DAY_S)),
            rng.random() < 0.1,
        )
        for seq in range(1, count + 1)
    ]
    edges = []
    parents: set[int] = set()
    for seq in range(2, count + 1):
        for other in rng.sample(range(1, seq), min(seq - 1, rng.randrange(4))):
            kind = rng.choice((B, B, B, ALL, ANY, CHILD, HELD))
            if kind >= CHILD and (seq in parents or tasks[other - 1].is_epic):
                continue
            parents |= {seq} if kind >= CHILD else set()
            edges.append(Edge(seq, other, kind))
    return tasks, edges


def test_a_task_alone_is_ranked_as_it_is_without_a_graph() -> None:
    rng = random.Random(3)
    tasks = [
        GraphTask(seq, rng.randrange(5), NOW + rng.random(), rng.choice((None, NOW + rng.uniform(-9, 9) * DAY_S)))
        for seq in range(1, 200)
    ]
    terms = order_graph(tasks, [], RULES)
    assert [one.rank for one in terms] == [
        base_rank(t.priority, t.arrived_at, deadline_at=t.deadline_at) for t in tasks
    ]
    assert all(one.is_plain for one in terms)


@pytest.mark.parametrize("seed", range(10))
def test_what_holds_of_every_graph(seed: int) -> None:
    tasks, edges = some_graph(seed)
    terms = order_graph(tasks, edges, RULES)
    by_seq = {t.seq: one for t, one in zip(tasks, terms, strict=True)}
    for t, one in zip(tasks, terms, strict=True):
        assert one.rank == one.base + sum(one[2:10]), "the terms are the rank"
        assert one.base == int(t.arrived_at) + PATIENCE_S[t.priority]
        assert one.rank >= int(t.arrived_at) + PATIENCE_S[0] - CAP_S, "the wait of others is bounded"
        assert one.rank <= base_rank(t.priority, t.arrived_at, deadline_at=t.deadline_at), (
            "the graph makes nothing late"
        )
        hints = -(one.critical_path_s + one.unblocks_s + one.pagerank_s + one.betweenness_s) - one.capped_s
        assert 0 <= hints <= CAP_S
        assert (one.inherited_from != 0) == (one.inherited_s < 0)
    for waiter, other, kind in edges:
        if kind == B and other in by_seq and not by_seq[other].floor_s:
            assert by_seq[other].rank < by_seq[waiter].rank, f"{other} blocks {waiter}"


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_the_same_in_whatever_order_the_graph_comes(seed: int) -> None:
    tasks, edges = some_graph(seed)
    expected = {t.seq: one for t, one in zip(tasks, order_graph(tasks, edges, RULES), strict=True)}
    random.Random(seed).shuffle(edges)
    again = {t.seq: one for t, one in zip(tasks, order_graph(tasks, edges, RULES), strict=True)}
    assert again == expected


def test_each_hint_brings_forward_who_has_most_of_it_and_nobody_who_has_none() -> None:
    # 1 <- 2 <- 3 <- 4, and 5 <- 6 7 8 9 10.
    tasks = [task(seq) for seq in range(1, 12)]
    edges = [Edge(2, 1, B), Edge(3, 2, B), Edge(4, 3, B), *(Edge(seq, 5, B) for seq in range(6, 11))]
    one = order_graph(tasks, edges, RULES)
    assert (one[0].chain, one[0].critical_path_s) == (3, -6 * HOUR_S)
    assert (one[1].chain, one[1].critical_path_s) == (2, -4 * HOUR_S)
    assert (one[4].unblocks, one[4].unblocks_s) == (5, -4 * HOUR_S)
    assert one[4].pagerank_s == -HOUR_S
    assert one[1].betweenness_s == one[2].betweenness_s == -HOUR_S
    assert one[10] == Terms(rank=NOW + PATIENCE_S[2], base=NOW + PATIENCE_S[2])
    assert one[3].critical_path_s == one[3].unblocks_s == one[3].betweenness_s == 0


def test_hints_together_stay_below_the_cap() -> None:
    rules = RULES._replace(cap_s=HOUR_S)
    first, second = order_graph([task(1), task(2)], [Edge(2, 1, B)], rules)
    assert first.base - first.rank == HOUR_S
    assert first.capped_s == -(first.critical_path_s + first.unblocks_s + first.pagerank_s) - HOUR_S
    assert second.rank == second.base


def test_a_blocker_of_a_p0_is_one_and_so_is_what_that_waits_for() -> None:
    tasks = [task(1, 4), task(2, 3), task(3, 0), task(4, 1)]
    one = order_graph(tasks, [Edge(2, 1, B), Edge(3, 2, B)], PLAIN)
    assert one[2].rank == NOW + PATIENCE_S[0]
    assert [t.rank for t in one[:2]] == [one[2].rank - 2, one[2].rank - 1]
    assert [t.inherited_from for t in one] == [2, 3, 0, 0]
    assert one[3].rank == NOW


def test_inheritance_follows_kinship_where_it_is_waited_for() -> None:
    # 1 is an epic of P0 with the child 2; 4 is a child of P0 of 3, which waits for 5.
    tasks = [task(1, 0, is_epic=True), task(2, 4), task(3, 4), task(4, 0), task(5, 4)]
    one = order_graph(tasks, [Edge(2, 1, CHILD), Edge(4, 3, HELD), Edge(3, 5, B)], PLAIN)
    urgent = NOW + PATIENCE_S[0]
    assert (one[1].rank, one[1].inherited_from) == (urgent - 1, 1)
    assert (one[4].rank, one[4].inherited_from) == (urgent - 1, 4)
    assert one[2].rank == NOW + PATIENCE_S[4], "its child waits for its start alone"
    held = order_graph([task(1, 4), task(2, 0)], [Edge(2, 1, CHILD)], PLAIN)
    assert held[0].rank == NOW + PATIENCE_S[4]


def test_a_deadline_gives_an_hour_to_each_task_of_the_longest_chain_before_it() -> None:
    deadline = NOW + DAY_S
    # 1 <- 2 <- 4 and 3 <- 4; the epic 5 takes no time of its own.
    tasks = [task(1, 4), task(2, 4), task(3, 4), task(4, 4, deadline_at=deadline), task(5, 4, is_epic=True)]
    edges = [Edge(2, 1, B), Edge(4, 2, B), Edge(4, 3, B)]
    assert [one.rank for one in order_graph(tasks, edges, PLAIN)[:4]] == [
        deadline - 3 * HOUR_S,
        deadline - 2 * HOUR_S,
        deadline - 2 * HOUR_S,
        deadline - HOUR_S,
    ]
    through_epic = [*edges[:1], Edge(5, 2, B), Edge(4, 5, B)]
    assert order_graph(tasks, through_epic, PLAIN)[0].rank == deadline - 3 * HOUR_S


def test_no_rule_makes_a_rank_earlier_than_the_bounded_wait_allows() -> None:
    late = 400 * DAY_S
    tasks = [task(1, 4, after_s=late), task(2, 0), task(3, 4), task(4, 1, deadline_at=1.0)]
    one = order_graph(tasks, [Edge(2, 1, B), Edge(3, 1, B)], RULES)
    assert one[0].rank == NOW + late + PATIENCE_S[0] - CAP_S
    assert one[0].floor_s > 0
    assert one[3].rank == NOW + PATIENCE_S[0] - CAP_S
    # Whatever comes once that time is over goes behind one that waits since then, as urgent as it may be.
    newest = task(5, 0, after_s=one[2].rank - NOW + 30 * DAY_S + CAP_S + 1, deadline_at=1.0)
    assert order_graph([*tasks, newest], [Edge(5, 1, B)], RULES)[4].rank > one[2].rank


def test_a_chain_of_ten_thousand_needs_no_recursion_and_no_time() -> None:
    tasks = [task(seq, 4) for seq in range(1, 10_000)] + [task(10_000, 0)]
    edges = [Edge(seq + 1, seq, B) for seq in range(1, 10_000)]
    began = time.process_time()
    one = order_graph(tasks, edges, PLAIN._replace(pivots=4))
    assert one[0].chain == one[0].unblocks == 9_999
    assert one[0].rank == NOW + PATIENCE_S[0] - 9_999
    assert time.process_time() - began < 5


def test_a_circle_which_there_is_none_of_hangs_nothing() -> None:
    tasks = [task(1), task(2), task(3)]
    assert len(order_graph(tasks, [Edge(1, 2, B), Edge(2, 3, B), Edge(3, 1, B)], RULES)) == 3
