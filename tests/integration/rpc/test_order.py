"""`task.order` and `task.graph` over the socket."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind
from ringmaster.model.order import PATIENCE_S
from ringmaster.queue import order_view
from ringmaster.workers.ordering import rank_graph
from tests.integration.rpc.harness import Table, attempt_caller


async def add(table: Table, title: str, **fields: Any) -> str:
    answer = await table.call("task.add", title=title, **fields)
    return str(answer["view"]["task"]["id"])


def sum_of(task: dict[str, Any]) -> int:
    return int(task["arrived_at"]) + sum(value for name, value in task.items() if name.endswith("_s"))


async def test_each_ready_task_comes_with_the_terms_of_its_rank(table: Table):
    await table.add_project()
    alone = await add(table, "alone", priority=1)
    blocker = await add(table, "blocker", priority=4)
    urgent = await add(table, "urgent", priority=0, after=[blocker])
    before = await table.call("task.order")
    assert [task["id"] for task in before["tasks"]] == [alone, blocker]
    await rank_graph(table.sur)
    found = await table.call("task.order")
    assert [task["id"] for task in found["tasks"]] == [blocker, alone]
    assert all(sum_of(task) == task["rank"] and task["is_settled"] for task in found["tasks"])
    first, second = found["tasks"]
    assert (first["inherited_from"], first["chain"], first["unblocks"]) == (urgent, 1, 1)
    assert first["patience_s"] == PATIENCE_S[4]
    assert second["patience_s"] == second["inherited_s"] == second["chain"] == 0
    assert abs(found["at"] - second["arrived_at"]) < 60
    assert [view["task"]["id"] for view in (await table.call("task.ready"))["tasks"]] == [blocker, alone]


async def test_a_rank_that_waits_for_the_graph_after_an_edit_says_so(table: Table):
    await table.add_project()
    blocker = await add(table, "blocker", priority=4)
    await add(table, "urgent", priority=0, after=[blocker])
    await rank_graph(table.sur)
    await table.call("task.edit", id=blocker, priority=3)
    (task,) = (await table.call("task.order"))["tasks"]
    assert not task["is_settled"]
    assert sum_of(task) == task["rank"] == int(task["arrived_at"]) + PATIENCE_S[3]


async def test_the_whole_graph_in_layers_with_its_longest_chain(table: Table):
    await table.add_project()
    await add(table, "alone")
    first, side = await add(table, "first"), await add(table, "side", priority=0)
    middle = await add(table, "middle", after=[first])
    last = await add(table, "last", after=[middle, side])
    spare = await add(table, "spare", depends=[{"id": first, "kind": "conditional-blocks"}])
    graph = await table.call("task.graph")
    assert {task["id"]: task["layer"] for task in graph["tasks"]} == {first: 1, side: 1, middle: 2, spare: 2, last: 3}
    assert graph["critical_path"] == [first, middle, last]
    assert [task["id"] for task in graph["tasks"] if task["is_critical"]] == [first, middle, last]
    assert graph["tasks"][0]["id"] == side, "the more urgent first"
    assert graph["note"] == ""
    around = await table.call("task.graph", id=spare)
    assert {task["id"]: task["layer"] for task in around["tasks"]} == {first: 1, spare: 2}
    assert around["critical_path"] == []
    (edge,) = around["edges"]
    assert edge == {
        "task_id": spare,
        "other_id": first,
        "kind": "conditional-blocks",
        "mode": "",
        "is_open": True,
    }


async def test_what_has_ended_takes_no_place_from_what_has_not(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(order_view, "PAIRS_AT_ONCE", 3)
    await table.add_project()
    blocker, epic = await add(table, "blocker"), await add(table, "epic", type="epic")
    for number in range(3):
        for gone in (await add(table, f"{number}", after=[blocker]), await add(table, f"{number}", parent_id=epic)):
            await table.call("task.cancel", id=gone)
    waiter, child = await add(table, "waiter", after=[blocker]), await add(table, "child", parent_id=epic)
    graph = await table.call("task.graph")
    assert {task["id"] for task in graph["tasks"]} == {blocker, waiter, epic, child}
    assert graph["note"] == ""


async def test_the_graph_around_a_task_is_what_it_waits_for_and_what_waits_for_it(table: Table):
    await table.add_project()
    first, other = await add(table, "first"), await add(table, "other")
    middle = await add(table, "middle", after=[first])
    last = await add(table, "last", after=[middle, other])
    graph = await table.call("task.graph", id=middle)
    assert {task["id"] for task in graph["tasks"]} == {first, middle, last}
    assert {(edge["task_id"], edge["other_id"]) for edge in graph["edges"]} == {(middle, first), (last, middle)}


async def test_an_epic_comes_after_its_children_and_who_waits_for_a_failed_task_is_seen_to(table: Table):
    await table.add_project()
    epic = await add(table, "epic", type="epic")
    child = await add(table, "child", parent_id=epic)
    waiter = await add(table, "waiter", depends=[{"id": epic, "kind": "waits-for"}])
    graph = await table.call("task.graph", id=child)
    assert {task["id"]: task["layer"] for task in graph["tasks"]} == {child: 1, epic: 2, waiter: 3}
    assert graph["critical_path"] == [child, epic, waiter]
    await table.call("task.cancel", id=child)
    failed = await table.call("task.graph", id=waiter)
    assert {task["id"] for task in failed["tasks"]} == {epic, waiter}


async def test_more_tasks_than_the_limit_are_said_in_words(table: Table):
    await table.add_project()
    blocker = await add(table, "blocker")
    for number in range(4):
        await add(table, f"{number}", after=[blocker])
    graph = await table.call("task.graph", limit=3)
    assert len(graph["tasks"]) == 3
    assert graph["note"].startswith("more tasks have to do with others: these are 3 of them")
    around = await table.call("task.graph", id=blocker, limit=3)
    assert len(around["tasks"]) == 3
    assert around["tasks"][0]["id"] == blocker
    assert around["note"] == f"more hangs together with {blocker}: these are the 3 nearest tasks; more with -n"
    assert (await table.call("task.graph", limit=5))["note"] == ""


async def test_one_project_is_looked_at_alone(table: Table):
    await table.add_project()
    await table.add_project("second")
    first = await add(table, "first", project_id="toy")
    other = await add(table, "other", project_id="second", after=[first])
    graph = await table.call("task.graph", project_id="second")
    assert [task["id"] for task in graph["tasks"]] == [other]
    assert [task["id"] for task in (await table.call("task.order", project_id="second"))["tasks"]] == []


async def test_an_attempt_may_not_look_at_what_others_wait_for(table: Table):
    await table.add_project()
    await add(table, "mine")
    claim = await table.claim()
    for method in ("task.order", "task.graph"):
        error = await table.refusal(method, caller=attempt_caller(claim.attempt.id))
        assert error.kind is ErrorKind.PERMISSION
