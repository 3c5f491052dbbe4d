"""The open part of the graph of tasks, and the ranks that come of it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from ringmaster.model.graph_order import Terms
from ringmaster.store.connection import Connection, Row, Value
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import encode_json
from ringmaster.store.tasks import TaskRow, row_by_seq

queries = load_queries("order")


class Wait(NamedTuple):
    """A dependency that is in the way now, both ends by place in order of arrival too."""

    task_id: str
    other_id: str
    kind: str
    mode: str
    task: int
    other: int


class Child(NamedTuple):
    """A task and its parent. is_held: it may not start before its parent may."""

    parent: int
    task_id: str
    task: int
    is_held: bool


class RankedTask(NamedTuple):
    """What a rank is made of. is_open: it has not ended. terms: what the graph did to its rank, if anything."""

    seq: int
    priority: int
    arrived_at: float
    deadline_at: float | None
    is_epic: bool
    rank: int
    is_open: bool
    terms: Terms | None


class NewRank(msgspec.Struct, frozen=True, array_like=True):
    """A rank to be written, and what it was reckoned from. terms: None when the graph says nothing about it."""

    seq: int
    priority: int
    deadline_at: float | None
    is_open: bool
    old_rank: int
    rank: int
    terms: Terms | None


class Misranked(NamedTuple):
    """A task whose rank is none."""

    seq: int
    priority: int
    arrived_at: float
    deadline_at: float | None


class Lone(NamedTuple):
    """A task on its way through all of them. is_termed: the graph has ranked it."""

    seq: int
    priority: int
    arrived_at: float
    deadline_at: float | None
    rank: int
    is_termed: bool


READY_AT_FIRST = 4
SEQ_BITS = 31
BEFORE_WAITS = Wait("", "", "", "", 0, 0)
BEFORE_CHILDREN = Child(-1, "", 0, False)


def waits_after(conn: Connection, last: Wait, limit: int) -> list[Wait]:
    """A page of what is waited for, after a row of it."""
    values: dict[str, Value] = {
        "task_id": last.task_id,
        "blocker_id": last.other_id,
        "kind": last.kind,
        "limit": limit,
    }
    return [Wait(*row) for row in conn.rows(queries.waits_after, values)]


def children_after(conn: Connection, last: Child, limit: int) -> list[Child]:
    """A page of children, ended ones too, whose parent has some that are neither done nor cancelled."""
    values: dict[str, Value] = {"seq": last.parent, "task_id": last.task_id, "limit": limit}
    return [Child(*row) for row in conn.rows(queries.children_after, values)]


def unended_pairs(conn: Connection, limit: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The places of tasks that have not ended with those they wait for, and of parents with children that are left.

    At most `limit` of each. Everything that is a dependency is looked through: for a person's question.
    """
    return conn.rows(queries.unended_waits, (limit,)), conn.rows(queries.kin_left, (limit,))


def termed_after(conn: Connection, seq: int, limit: int) -> list[int]:
    """A page of the places of tasks that the graph has ranked, ended ones too."""
    return [row[0] for row in conn.rows(queries.termed_after, (seq, limit))]


def ranked_tasks(conn: Connection, seqs: Sequence[int]) -> list[RankedTask]:
    """The tasks at these places, those that are there."""
    return [_to_ranked(row) for row in conn.rows(queries.nodes, {"seqs": encode_json(seqs)})]


def _to_ranked(row: Row) -> RankedTask:
    terms = None if row[7] is None else Terms(*row[7:])
    return RankedTask(row[0], row[1], row[2], row[3], bool(row[4]), row[5], bool(row[6]), terms)


def has_graph(conn: Connection) -> bool:
    """Whether any task has to do with another now, or the graph has ranked one."""
    return bool(conn.value(queries.has_graph))


def is_in_graph(conn: Connection, task_ids: Iterable[str]) -> bool:
    """Whether the order of work may depend on one of these."""
    return any(conn.value(queries.is_in_graph, {"id": task_id}) is not None for task_id in task_ids)


def set_rank(conn: Connection, found: NewRank) -> bool:
    """Give a task another rank; False when what it was reckoned from has changed."""
    values: dict[str, Value] = {
        "seq": found.seq,
        "rank": found.rank,
        "old_rank": found.old_rank,
        "priority": found.priority,
        "deadline_at": found.deadline_at,
        "is_open": int(found.is_open),
    }
    return conn.execute(queries.set_rank, values) > 0


def put_terms(conn: Connection, seq: int, terms: Terms) -> None:
    """Keep what the graph did to a rank, for who asks why."""
    conn.execute(queries.put_terms, (seq, *terms))


def delete_terms(conn: Connection, seq: int) -> None:
    """The graph has nothing to do with its rank any more."""
    conn.execute(queries.delete_terms, (seq,))


def terms_of(conn: Connection, seq: int) -> Terms | None:
    """What the graph did to the rank of the task at a place, when that was last computed."""
    row = conn.row(queries.terms, (seq,))
    return None if row is None else Terms(*row)


def arrival_of(conn: Connection, task_id: str) -> float:
    """When a task that is there came to this queue."""
    return float(conn.value(queries.arrival, (task_id,)))


def ready_rows(conn: Connection, project_id: str, limit: int) -> list[TaskRow]:
    """The tasks that free seats would get, first come first: the merged heads of all demands of active projects."""
    heads = conn.rows(queries.ready_heads, {"project_id": project_id})
    # Of many demands those whose first task is not among the first show nothing.
    first = heapq.nsmallest(limit, ((place, demand_id) for demand_id, place in heads if place is not None))
    demands = [_ready_of(conn, demand_id, place, limit) for place, demand_id in first]
    return [row_by_seq(conn, seq) for _, seq in itertools.islice(heapq.merge(*demands), limit)]


def _ready_of(conn: Connection, demand_id: int, place: int, limit: int) -> Iterator[tuple[int, int]]:
    """(rank, place) of what is ready of one demand, in order, from its first on, read a few at a time."""
    last, count = (place >> SEQ_BITS, place & ((1 << SEQ_BITS) - 1)), READY_AT_FIRST
    yield last
    while True:
        at_once = min(count, limit)
        values = {"demand_id": demand_id, "rank": last[0], "seq": last[1], "limit": at_once}
        rows = conn.rows(queries.ready_after, values)
        yield from rows
        if len(rows) < at_once:
            return
        last = rows[-1]
        count *= 2


class OpenGate(NamedTuple):
    """What a task has to do with another, seen from it. is_open: it is in its way."""

    other_id: str
    kind: str
    mode: str
    is_open: bool
    other: int
    state: str


def gates_of(conn: Connection, task_id: str) -> list[OpenGate]:
    """What decides when a task starts."""
    return [OpenGate(r[0], r[1], r[2], bool(r[3]), r[4], r[5]) for r in conn.rows(queries.gates, (task_id,))]


def waiters_of(conn: Connection, task_id: str, limit: int) -> list[int]:
    """The places of tasks that have not ended and wait for this one."""
    return [row[0] for row in conn.rows(queries.waiters, (task_id, limit))]


def unended_children(conn: Connection, task_id: str, limit: int) -> list[int]:
    """The places of a task's children that have not ended."""
    return [row[0] for row in conn.rows(queries.unended_children, (task_id, limit))]


def misranked(conn: Connection, latest: int, limit: int) -> list[Misranked]:
    """Tasks that have no rank, or one after `latest`."""
    rows = conn.rows(queries.unranked, {"limit": limit})
    rows = rows or conn.rows(queries.ranked_after, {"rank": latest, "limit": limit})
    return [Misranked(*row) for row in rows]


def ranked_from(conn: Connection, place: tuple[int, int], limit: int) -> list[Lone]:
    """A page of what has not ended, after a rank and a place in order of arrival."""
    rows = conn.rows(queries.ranked_from, {"rank": place[0], "seq": place[1], "limit": limit})
    return [Lone(row[0], row[1], row[2], row[3], row[4], bool(row[5])) for row in rows]


def ranked_by(conn: Connection) -> str:
    """By which rules all tasks were ranked last; '' for those there were at first."""
    return str(conn.value(queries.ranked_by, (), ""))


def put_ranked_by(conn: Connection, rules: str) -> None:
    """Keep by which rules all tasks are ranked now."""
    conn.execute(queries.put_ranked_by, (rules,))


def rank_anew(conn: Connection, seq: int, *, rank: int, arrived_at: float) -> None:
    """Give a task a rank, and the arrival it is reckoned from."""
    conn.execute(queries.rank_anew, {"seq": seq, "rank": rank, "arrived_at": arrived_at})
