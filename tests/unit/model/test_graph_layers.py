"""What can run side by side, and the longest chain."""

from __future__ import annotations

from ringmaster.model.graph import Edge, EdgeKind, GraphTask
from ringmaster.model.graph_layers import Layout, lay_out

B, ALL, ANY, CHILD, HELD = EdgeKind


def lay(count: int, *edges: tuple[int, int, EdgeKind], epics: tuple[int, ...] = (), **more: list[Edge]) -> Layout:
    tasks = [GraphTask(seq, 2, 0.0, is_epic=seq in epics) for seq in range(1, count + 1)]
    return lay_out(tasks, [Edge(*edge) for edge in edges], list(range(count)), fallbacks=more.get("fallbacks", ()))


def test_a_task_is_in_the_layer_after_the_last_that_it_waits_for() -> None:
    assert lay(5, (2, 1, B), (3, 2, B), (3, 1, B), (5, 4, B)) == Layout([1, 2, 3, 1, 2], [0, 1, 2])


def test_of_two_chains_of_one_length_the_earlier_in_the_order_of_work_is_the_path() -> None:
    assert lay(4, (3, 2, B), (4, 1, B)).path == [1, 2]
    assert lay(3, (3, 1, B), (3, 2, B)).path == [0, 2]


def test_an_epic_comes_after_its_children_and_its_children_after_what_it_waits_for() -> None:
    layout = lay(4, (2, 1, HELD), (3, 1, HELD), (1, 4, B), epics=(1,))
    assert layout.layers == [3, 2, 2, 1]
    assert layout.path == [3, 1, 0]


def test_who_waits_for_another_to_fail_is_after_it_and_on_no_chain() -> None:
    layout = lay(3, (2, 1, B), fallbacks=[Edge(3, 2, B)])
    assert layout == Layout([1, 2, 3], [0, 1])


def test_no_graph_and_a_circle_are_laid_out_too() -> None:
    assert lay(0) == Layout([], [])
    assert len(lay(3, (1, 2, B), (2, 3, B), (3, 1, B)).layers) == 3
