"""`rmctl task ready --explain` and `rmctl task graph` as programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringmaster.model.order import DAY_S, HOUR_S
from ringmaster.protocol.order import GraphEdge, GraphNode, TaskGraph, TaskOrder, TaskRank
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_server import RpcServer

AT = 1_800_000_000.0


def make_rank(id: str, **fields: Any) -> TaskRank:
    known: dict[str, Any] = {
        "id": id,
        "title": f"Do {id}",
        "project_id": "toy",
        "priority": 2,
        "arrived_at": AT - 5 * HOUR_S,
        "patience_s": 2 * DAY_S,
        "critical_path_s": 0,
        "unblocks_s": 0,
        "pagerank_s": 0,
        "betweenness_s": 0,
        "capped_s": 0,
        "deadline_s": 0,
        "inherited_s": 0,
        "floor_s": 0,
        "chain": 0,
        "unblocks": 0,
        "inherited_from": "",
        "is_settled": True,
        **fields,
    }
    return TaskRank(
        rank=int(known["arrived_at"]) + sum(value for name, value in known.items() if name.endswith("_s")), **known
    )


def make_node(id: str, layer: int, **fields: Any) -> GraphNode:
    known: dict[str, Any] = {"title": f"Do {id}", "type": "task", "shown": "ready", "is_critical": False, **fields}
    return GraphNode(id=id, project_id="toy", priority=2, rank=int(AT), layer=layer, **known)


def make_edge(task_id: str, other_id: str, kind: str = "blocks", mode: str = "") -> GraphEdge:
    return GraphEdge(task_id=task_id, other_id=other_id, kind=kind, mode=mode, is_open=True)


GRAPH = TaskGraph(
    tasks=(
        make_node("rm-a", 1, is_critical=True, title='Say "a\\b"\nand c'),
        make_node("rm-b", 1),
        make_node("rm-e", 2, type="epic", shown="open"),
        make_node("rm-c", 2, is_critical=True, shown="blocked"),
    ),
    edges=(
        make_edge("rm-b", "rm-e", "parent-child"),
        make_edge("rm-c", "rm-a"),
        make_edge("rm-c", "rm-b", "waits-for", "all"),
    ),
    critical_path=("rm-a", "rm-c"),
    note="more tasks",
)


def test_explain_shows_each_term_in_hours_and_their_sum(daemon: RpcServer, rmctl: Rmctl):
    first = make_rank("rm-a", critical_path_s=-6 * HOUR_S, deadline_s=-HOUR_S // 2, chain=3, inherited_from="rm-z")
    daemon.answers["task.order"] = TaskOrder(tasks=(first, make_rank("rm-b")), at=AT)
    ended = rmctl("task", "ready", "--explain", "-P", "toy", "-n", "7")
    assert ended.out.splitlines() == [
        "rm-a\t2\t-5.0\t+48.0\t-6.0\t\t\t\t\t-0.5\t\t\t36.5\t3\t0\trm-z\tDo rm-a",
        "rm-b\t2\t-5.0\t+48.0\t\t\t\t\t\t\t\t\t43.0\t0\t0\t\tDo rm-b",
    ]
    assert ended.err == ""
    [params] = daemon.called("task.order")
    assert (params.project_id, params.limit) == ("toy", 7)
    # A person does not see what is nothing for every task.
    heading = rmctl.on_terminal("task", "ready", "--explain", "--no-color").out.splitlines()[0].split()
    assert heading == ["ID", "PRI", "ARRIVED", "PATIENCE", "PATH", "DEADLINE", "START", "CHAIN", "FOR", "TITLE"]
    found = json.loads(rmctl("task", "ready", "--explain", "-o", "json").out)
    assert found[0]["critical_path_s"] == -6 * HOUR_S


def test_explain_says_when_the_graphs_part_is_on_its_way(daemon: RpcServer, rmctl: Rmctl):
    daemon.answers["task.order"] = TaskOrder(tasks=(make_rank("rm-a", is_settled=False),), at=AT)
    assert "on its way" in rmctl("task", "ready", "--explain").err


def test_the_graph_as_text_names_steps_the_longest_chain_and_what_is_waited_for(daemon: RpcServer, rmctl: Rmctl):
    daemon.answers["task.graph"] = GRAPH
    ended = rmctl("task", "graph", "rm-c", "-n", "9", "-P", "toy")
    assert [line.rstrip() for line in ended.out.splitlines()] == [
        "4 tasks in 2 steps; * is the longest chain, of 2 tasks",
        "step 1, 2 side by side",
        '  *  rm-a  ready    P2  Say "a\\b" and c',
        "     rm-b  ready    P2  Do rm-b          part of rm-e",
        "step 2, 2 side by side",
        "     rm-e  open     P2  Do rm-e",
        "  *  rm-c  blocked  P2  Do rm-c          after rm-a, waits-for all rm-b",
    ]
    assert ended.err == "more tasks\n"
    [params] = daemon.called("task.graph")
    assert (params.id, params.project_id, params.limit) == ("rm-c", "toy", 9)


def test_the_graph_for_graphviz_quotes_what_people_write(daemon: RpcServer, rmctl: Rmctl):
    daemon.answers["task.graph"] = GRAPH
    lines = rmctl("task", "graph", "-o", "dot").out.splitlines()
    assert lines[0] == "digraph tasks {"
    assert lines[-1] == "}"
    assert '  "rm-a" [label="rm-a  P2  ready\\nSay \\"a\\\\b\\" and c", color=red, penwidth=2];' in lines
    assert '  "rm-a" -> "rm-c" [color=red];' in lines
    assert '  "rm-e" -> "rm-b" [style=dotted];' in lines
    assert '  "rm-b" -> "rm-c" [label="waits-for all"];' in lines
    assert '  { rank=same; "rm-a"; "rm-b" }' in lines


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_graph_for_programs(daemon: RpcServer, rmctl: Rmctl, place: str):
    daemon.answers["task.graph"] = GRAPH
    args = ("-o", "json", "task", "graph") if place == "before" else ("task", "graph", "-o", "json")
    found = json.loads(rmctl(*args).out)
    assert found["critical_path"] == ["rm-a", "rm-c"]
    assert [task["id"] for task in found["tasks"]] == rmctl("task", "graph", "-q").out.split()


def test_a_task_that_waits_for_none_is_said_to_do_so(daemon: RpcServer, rmctl: Rmctl):
    daemon.answers["task.graph"] = TaskGraph(tasks=GRAPH.tasks[:1], edges=(), critical_path=())
    ended = rmctl("task", "graph", GRAPH.tasks[0].id)
    assert GRAPH.tasks[0].id in ended.out
    assert ended.err == "none of these waits for another task, nor any task for it: rmctl why ID says what else\n"


def test_where_nothing_has_to_do_with_another_it_says_so(daemon: RpcServer, rmctl: Rmctl):
    daemon.answers["task.graph"] = TaskGraph(tasks=(), edges=(), critical_path=())
    ended = rmctl("task", "graph")
    assert ended.out == ""
    assert "no task has to do with another" in ended.err
