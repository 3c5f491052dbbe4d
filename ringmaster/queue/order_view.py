"""The order of work as a person sees it: the terms of each rank, and the graph around a task or all of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from ringmaster.model.dependency import ANY_CHILD, DependencyKind
from ringmaster.model.graph import Edge, EdgeKind, GraphTask
from ringmaster.model.graph_layers import lay_out
from ringmaster.model.graph_order import order_graph
from ringmaster.model.order import OrderRules
from ringmaster.model.states import ENDED_TASK_STATES, TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.order import GraphEdge, GraphNode, TaskGraph, TaskOrder, TaskRank
from ringmaster.queue.lookup import resolve_project, resolve_task
from ringmaster.queue.view import task_view
from ringmaster.store import order, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.order import OpenGate
from ringmaster.store.tasks import TaskRow

PAIRS_AT_ONCE = 5_000
"""Pairs of tasks that are looked at for the whole graph; in a larger one some of its tasks are shown."""

K = DependencyKind


def explain_ready(conn: Connection, project_text: str, limit: int, rules: OrderRules) -> TaskOrder:
    """What the next free seats would get, with the terms of each rank. Raises USAGE, NOT_FOUND."""
    project_id = resolve_project(conn, project_text) if project_text else ""
    found = [_explain(conn, row, rules) for row in order.ready_rows(conn, project_id, limit)]
    return TaskOrder(tasks=tuple(found), at=conn.now)


def _explain(conn: Connection, row: TaskRow, rules: OrderRules) -> TaskRank:
    task = row.task
    arrived_at = order.arrival_of(conn, task.id)
    alone = order_graph([GraphTask(row.seq, task.priority, arrived_at, task.deadline_at)], [], rules)[0]
    kept = order.terms_of(conn, row.seq)
    terms = kept if kept is not None and kept.rank == task.rank else alone
    source = tasks.row_by_seq(conn, terms.inherited_from).task.id if terms.inherited_from else ""
    return TaskRank(
        id=task.id,
        title=task.title,
        project_id=task.project_id,
        priority=task.priority,
        rank=task.rank,
        arrived_at=arrived_at,
        patience_s=terms.base - int(arrived_at),
        critical_path_s=terms.critical_path_s,
        unblocks_s=terms.unblocks_s,
        pagerank_s=terms.pagerank_s,
        betweenness_s=terms.betweenness_s,
        capped_s=terms.capped_s,
        deadline_s=terms.deadline_s,
        inherited_s=terms.inherited_s,
        floor_s=terms.floor_s,
        chain=terms.chain,
        unblocks=terms.unblocks,
        inherited_from=source,
        is_settled=terms.rank == task.rank and (kept is None or kept.rank == task.rank),
    )


def task_graph(conn: Connection, task_text: str, project_text: str, limit: int) -> TaskGraph:
    """The graph around a task, the nearest first, or all of it, the first in the order of work.

    Raises:
        RingmasterError: NOT_FOUND, USAGE.
    """
    project_id = resolve_project(conn, project_text) if project_text else ""
    if task_text:
        task_id = resolve_task(conn, task_text)
        near, is_all = _around(conn, tasks.row_by_id(conn, task_id).seq, limit)
        rows = [tasks.row_by_seq(conn, seq) for seq in near]
        note = f"more hangs together with {task_id}: these are the {len(rows)} nearest tasks; more with -n"
        return _draw(conn, rows, "" if is_all else note)
    seqs, is_all = _everything(conn)
    ranked = [task for task in order.ranked_tasks(conn, sorted(seqs)) if task.is_open]
    ranked.sort(key=lambda task: (task.rank, task.seq))
    rows = []
    for task in ranked:
        row = tasks.row_by_seq(conn, task.seq)
        if project_id in ("", row.task.project_id):
            if len(rows) == limit:
                is_all = False
                break
            rows.append(row)
    note = f"more tasks have to do with others: these are {len(rows)} of them; those around one: name it"
    return _draw(conn, rows, "" if is_all else note)


def _everything(conn: Connection) -> tuple[set[int], bool]:
    """The places of tasks that have to do with others, as far as the first so many pairs tell; whether that is all."""
    waits, kin = order.unended_pairs(conn, PAIRS_AT_ONCE)
    seqs = {seq for pair in (*waits, *kin) for seq in pair}
    return seqs, max(len(waits), len(kin)) < PAIRS_AT_ONCE


def _around(conn: Connection, start: int, limit: int) -> tuple[list[int], bool]:
    """The places of what a task waits for and of what waits for it, itself first; whether that is all."""
    found = {start: None}
    waiting = deque([(start, True), (start, False)])
    while waiting:
        seq, is_down = waiting.popleft()
        for other in _waiters(conn, seq, limit) if is_down else _needs(conn, seq, limit):
            if other in found:
                continue
            if len(found) == limit:
                return list(found), False
            found[other] = None
            waiting.append((other, is_down))
    return list(found), True


def _needs(conn: Connection, seq: int, limit: int) -> list[int]:
    task = tasks.row_by_seq(conn, seq).task
    found = order.unended_children(conn, task.id, limit) if task.type == TaskType.EPIC else []
    for gate in order.gates_of(conn, task.id):
        if gate.is_open:
            found.append(gate.other)
            if gate.kind == K.WAITS_FOR:
                found += order.unended_children(conn, gate.other_id, limit)
    return found


def _waiters(conn: Connection, seq: int, limit: int) -> list[int]:
    task = tasks.row_by_seq(conn, seq).task
    parents = [
        gate.other
        for gate in order.gates_of(conn, task.id)
        if gate.kind == K.PARENT_CHILD and TaskState(gate.state) not in ENDED_TASK_STATES
    ]
    return order.waiters_of(conn, task.id, limit) + parents


def _draw(conn: Connection, rows: Iterable[TaskRow], note: str) -> TaskGraph:
    by_seq = {row.seq: row for row in rows}
    gates = [
        (row, gate)
        for row in by_seq.values()
        for gate in order.gates_of(conn, row.task.id)
        if gate.other in by_seq and (gate.is_open or gate.kind == K.PARENT_CHILD)
    ]
    shown = list(by_seq.values())
    fallbacks = [Edge(row.seq, gate.other, EdgeKind.BLOCKS) for row, gate in gates if gate.kind == K.CONDITIONAL_BLOCKS]
    layout = lay_out(
        [_to_graph(row) for row in shown],
        [_to_edge(row, gate) for row, gate in gates if gate.kind != K.CONDITIONAL_BLOCKS],
        [row.task.rank for row in shown],
        fallbacks=fallbacks,
    )
    critical = {shown[place].seq for place in layout.path} if len(layout.path) > 1 else set()
    nodes = [
        GraphNode(
            id=row.task.id,
            title=row.task.title,
            project_id=row.task.project_id,
            priority=row.task.priority,
            type=row.task.type,
            shown=task_view(conn, row, {}).shown,
            rank=row.task.rank,
            layer=layer,
            is_critical=row.seq in critical,
        )
        for row, layer in zip(shown, layout.layers, strict=True)
    ]
    nodes.sort(key=lambda node: (node.layer, node.rank, node.id))
    edges = [
        GraphEdge(task_id=row.task.id, other_id=gate.other_id, kind=gate.kind, mode=gate.mode, is_open=gate.is_open)
        for row, gate in gates
    ]
    edges.sort(key=msgspec.structs.astuple)
    path = tuple(shown[place].task.id for place in layout.path if critical)
    return TaskGraph(tasks=tuple(nodes), edges=tuple(edges), critical_path=path, note=note)


def _to_graph(row: TaskRow) -> GraphTask:
    task = row.task
    return GraphTask(row.seq, task.priority, task.created_at, task.deadline_at, task.type == TaskType.EPIC)


def _to_edge(row: TaskRow, gate: OpenGate) -> Edge:
    if gate.kind == K.PARENT_CHILD:
        return Edge(row.seq, gate.other, EdgeKind.HELD_CHILD if gate.is_open else EdgeKind.CHILD)
    if gate.kind == K.WAITS_FOR:
        return Edge(row.seq, gate.other, EdgeKind.ANY_CHILD if gate.mode == ANY_CHILD else EdgeKind.ALL_CHILDREN)
    return Edge(row.seq, gate.other, EdgeKind.BLOCKS)
