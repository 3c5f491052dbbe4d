from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import ImportedDependency, ImportedTask, circle_words
from ringmaster.model.importing_graph import Edge, Graph, drop_circles, kin_waits
from ringmaster.model.states import TaskState


def make_task(id: str, *depends: tuple[str, str], type: str = "task") -> ImportedTask:
    return ImportedTask(
        id=id,
        old_project="",
        title=id,
        description="",
        priority=2,
        labels=(),
        acceptance=(),
        capabilities=(),
        max_attempts=0,
        state=TaskState.OPEN,
        not_before_at=None,
        depends=tuple(ImportedDependency(other, kind) for other, kind in depends),
        type=type,
    )


def make_tasks(edges: list[tuple[str, str]], kind: str = "blocks") -> list[ImportedTask]:
    ids = dict.fromkeys(id for edge in edges for id in edge)
    return [make_task(id, *((other, kind) for one, other in dict.fromkeys(edges) if one == id)) for id in ids]


def circles(edges: list[tuple[str, str]]) -> list[list[str]]:
    return [circle.ids for circle in Graph(make_tasks(edges)).iter_circles()]


def test_a_circle_is_found_wherever_it_lies_and_named_from_its_begin_to_its_begin():
    assert circles([("a", "b"), ("b", "c"), ("a", "c"), ("d", "a")]) == []
    assert circles([("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")]) == [["a", "b", "c", "a"]]


def test_a_long_chain_and_a_long_circle_are_looked_through_without_recursion():
    count = 5_000
    chain = [make_task(f"t{n}", (f"t{n + 1}", "blocks")) for n in range(count)]
    assert list(Graph([*chain, make_task(f"t{count}")]).iter_circles()) == []
    [circle] = Graph([*chain, make_task(f"t{count}", ("t0", "blocks"))]).iter_circles()
    assert (len(circle.ids), circle_words(circle.ids).count(" -> ")) == (count + 2, 10)


KINDS = st.sampled_from(["blocks", "conditional-blocks", "waits-for", "related"])
EDGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"), KINDS), max_size=14)
PARENTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef"), max_size=4)


@given(EDGES, PARENTS, st.sets(st.sampled_from("abcdef")))
def test_without_what_each_circle_names_there_is_none_and_every_dependency_is_kept(edges, parents, epics):
    tasks = []
    for id in "abcdef":
        depends = {(other, kind) for one, other, kind in edges if one == id and other != id}
        if parents.get(id, id) != id:
            depends.add((parents[id], "parent-child"))
        tasks.append(make_task(id, *sorted(depends), type="epic" if id in epics else "task"))
    kept, notes = drop_circles(tasks)
    assert list(Graph(kept).iter_circles()) == []
    changed = 0
    for before, after in zip(tasks, kept, strict=True):
        assert {depend.other for depend in before.depends} == {depend.other for depend in after.depends}
        changed += len(set(before.depends) - set(after.depends))
    assert changed == len(notes)


def test_a_circle_is_refused_and_named_unless_it_is_to_be_dropped():
    tasks = make_tasks([("bd-1", "bd-2"), ("bd-2", "bd-3"), ("bd-3", "bd-1"), ("bd-3", "bd-4")])
    with pytest.raises(RingmasterError, match="bd-1 -> bd-2 -> bd-3 -> bd-1") as caught:
        drop_circles(tasks, is_dropping=False)
    assert (caught.value.kind, "--drop-circles" in caught.value.hint) == (ErrorKind.CONFLICT, True)
    kept, notes = drop_circles(tasks)
    assert {task.id: task.after for task in kept} == {
        "bd-1": ("bd-2",),
        "bd-2": ("bd-3",),
        "bd-3": ("bd-4",),
        "bd-4": (),
    }
    assert notes == ["left out: bd-3 waits for bd-1, which closes bd-1 -> bd-2 -> bd-3 -> bd-1"]


def test_who_waits_for_whom_is_given_up_before_who_is_whose_child():
    epic = make_task("e", ("x", "blocks"), type="epic")
    child = make_task("c", ("e", "parent-child"))
    kept, _ = drop_circles([epic, child, make_task("x", ("c", "blocks"))])
    assert [depend.kind for task in kept for depend in task.depends] == ["blocks", "parent-child", "related"]


def test_nobody_waits_for_its_own_part_and_no_part_for_its_epic():
    tasks = {
        task.id: task
        for task in (
            make_task("e", ("g", "blocks"), ("o", "blocks"), type="epic"),
            make_task("c", ("e", "parent-child"), ("e", "blocks")),
            make_task("g", ("c", "parent-child"), ("c", "blocks")),
            make_task("o"),
        )
    }
    assert kin_waits(tasks) == {Edge("e", "g", "blocks"), Edge("c", "e", "blocks")}
