"""Methods about the order of work: why the next tasks come in their order, and what waits for what."""

from __future__ import annotations

from typing import Annotated

import msgspec

Limit = Annotated[int, msgspec.Meta(ge=1, le=2_000)]


class TaskOrderParams(msgspec.Struct, frozen=True, kw_only=True):
    """What `task.ready` answers, with what makes each rank. project_id: '' for all."""

    project_id: str = ""
    limit: Limit = 50


class TaskRank(msgspec.Struct, frozen=True, kw_only=True):
    """A ready task and what makes its rank: `arrived_at`, in whole seconds, and what is added to it.

    rank: when it should start, unix seconds; the lowest goes first. It is the sum of `arrived_at` and all that ends in
        `_s`, where what is negative brings it forward; `patience_s` is that of its priority.
    critical_path_s, unblocks_s, pagerank_s, betweenness_s: for its place in the graph; capped_s: what the cap takes
        back of them. chain: tasks on the longest chain that waits for it; unblocks: all that wait for it in the end.
    deadline_s: for a deadline of its own or of what waits for it. inherited_s: for what waits for it and is more
        urgent, which is `inherited_from`. floor_s: what keeps the wait of others bounded.
    is_settled: False when the rank does not have the graph's part yet, since the task or the settings have just
        changed; the terms are those without it.
    """

    id: str
    title: str
    project_id: str
    priority: int
    rank: int
    arrived_at: float
    patience_s: int
    critical_path_s: int
    unblocks_s: int
    pagerank_s: int
    betweenness_s: int
    capped_s: int
    deadline_s: int
    inherited_s: int
    floor_s: int
    chain: int
    unblocks: int
    inherited_from: str
    is_settled: bool


class TaskOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the next free seats would get, in that order, and why. at: when this was so."""

    tasks: tuple[TaskRank, ...]
    at: float


class TaskGraphParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: the part of the graph around a task, what it waits for and what waits for it; '' for all of it.

    project_id: of one project; '' for all. limit: the most tasks.
    """

    id: str = ""
    project_id: str = ""
    limit: Limit = 200


class GraphNode(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has to do with another. layer: those of one layer can run side by side once the one before is done.

    is_critical: it is on the longest chain.
    """

    id: str
    title: str
    project_id: str
    priority: int
    type: str
    shown: str
    rank: int
    layer: int
    is_critical: bool


class GraphEdge(msgspec.Struct, frozen=True, kw_only=True):
    """What one task has to do with another. is_open: it is in the task's way now."""

    task_id: str
    other_id: str
    kind: str
    mode: str
    is_open: bool


class TaskGraph(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks by layer and rank. critical_path: ids, the first to do first.

    note: in words what is left out, because it is more than the limit; '' when this is all.
    """

    tasks: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    critical_path: tuple[str, ...]
    note: str = ""
