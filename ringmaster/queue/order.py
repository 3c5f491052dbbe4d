"""The graph's part in the order of work: reading the graph, writing the ranks that come of it, mending what is no rank.

The graph is read in several looks and may change between two of them. That does no harm: a rank is written only while
all that the task's own rank is made of is as it was read, and every change makes the ranks due anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ringmaster.model.dependency import ANY_CHILD, DependencyKind
from ringmaster.model.graph import EdgeKind
from ringmaster.model.graph_order import Terms
from ringmaster.model.order import RULES, OrderRules, base_rank
from ringmaster.store import order
from ringmaster.store.connection import Connection
from ringmaster.store.order import BEFORE_CHILDREN, BEFORE_WAITS, Child, NewRank, Wait

EDGES_AT_ONCE = 1_000
TASKS_AT_ONCE = 500
RANKS_AT_ONCE = 500
CLOCK_SLACK_S = 60
"""How much later than by the clock a rank may be before it is taken for one of a time when the clock was ahead."""

_encode = msgspec.json.Encoder().encode
_decode_ranks = msgspec.json.Decoder(tuple[NewRank, ...]).decode


class Reading:
    """The graph while it is read: what was seen of it, and where the next look begins. For one reader.

    edges: how many there were so far.
    """

    def __init__(self) -> None:
        self.edges = 0
        self._wait: Wait | None = BEFORE_WAITS
        self._child: Child | None = BEFORE_CHILDREN
        self._termed: int | None = 0
        self._seqs: set[int] = set()
        self._left: list[int] | None = None

    def look(self, conn: Connection) -> bytes | None:
        """The next part of what the program is told, a line of JSON; None when that was all."""
        if self._wait is not None:
            waits = order.waits_after(conn, self._wait, EDGES_AT_ONCE)
            self._wait = waits[-1] if len(waits) == EDGES_AT_ONCE else None
            return self._tell([to_edge(wait) for wait in waits])
        if self._child is not None:
            children = order.children_after(conn, self._child, EDGES_AT_ONCE)
            self._child = children[-1] if len(children) == EDGES_AT_ONCE else None
            return self._tell([child_edge(child) for child in children])
        if self._termed is not None:
            seqs = order.termed_after(conn, self._termed, EDGES_AT_ONCE)
            self._termed = seqs[-1] if len(seqs) == EDGES_AT_ONCE else None
            self._seqs.update(seqs)
            return b"\n"
        if self._left is None:
            self._left = sorted(self._seqs, reverse=True)
        if not self._left:
            return None
        seqs = self._left[: -TASKS_AT_ONCE - 1 : -1]
        del self._left[-TASKS_AT_ONCE:]
        return _encode({"tasks": order.ranked_tasks(conn, seqs)}) + b"\n"

    def _tell(self, edges: Sequence[tuple[int, int, int]]) -> bytes:
        self.edges += len(edges)
        for waiter, other, _ in edges:
            self._seqs.add(waiter)
            self._seqs.add(other)
        return _encode({"edges": edges}) + b"\n"


def to_edge(wait: Wait) -> tuple[int, int, int]:
    """A dependency as the graph has it."""
    if wait.kind == DependencyKind.BLOCKS:
        return wait.task, wait.other, EdgeKind.BLOCKS
    return wait.task, wait.other, EdgeKind.ANY_CHILD if wait.mode == ANY_CHILD else EdgeKind.ALL_CHILDREN


def child_edge(child: Child) -> tuple[int, int, int]:
    """A kinship as the graph has it."""
    return child.task, child.parent, EdgeKind.HELD_CHILD if child.is_held else EdgeKind.CHILD


def rules_line(rules: OrderRules) -> bytes:
    """What the program is told first."""
    return _encode({"rules": rules._asdict()}) + b"\n"


def has_graph(conn: Connection) -> bool:
    """Whether there is anything to rank."""
    return order.has_graph(conn)


def is_in_graph(conn: Connection, task_ids: Iterable[str]) -> bool:
    """Whether ranks may be due anew because of one of these."""
    return order.is_in_graph(conn, task_ids)


def write_ranks(conn: Connection, line: bytes) -> int:
    """Write what the program has found, and why it is so; how many ranks are others now.

    A task whose priority, deadline, rank or end has changed since it was read keeps what it has.

    Raises:
        msgspec.MsgspecError: when the line is none of the program's; nothing is written then.
    """
    changed = 0
    for found in _decode_ranks(line):
        if not order.set_rank(conn, found):
            continue
        changed += found.old_rank != found.rank
        if found.terms is not None:
            order.put_terms(conn, found.seq, found.terms)
        else:
            order.delete_terms(conn, found.seq)
    if changed:
        conn.emit("order.changed", data={"tasks": changed})
    return changed


def mend_ranks(conn: Connection, rules: OrderRules) -> int:
    """Rank anew some tasks that older code left without a rank, or that came when the clock was ahead; how many.

    To be called until it says 0, before anything is given out.
    """
    latest = int(conn.now) + max(rules.patience_s) + CLOCK_SLACK_S
    found = order.misranked(conn, latest, RANKS_AT_ONCE)
    for task in found:
        arrived_at = min(task.arrived_at, conn.now)
        rank = base_rank(task.priority, arrived_at, deadline_at=task.deadline_at, rules=rules)
        order.rank_anew(conn, task.seq, rank=rank, arrived_at=arrived_at)
    return len(found)


def is_ranked_by(conn: Connection, rules: OrderRules) -> bool:
    """Whether these are the rules that tasks alone were last ranked by."""
    return (order.ranked_by(conn) or _base_rules(RULES)) == _base_rules(rules)


def rank_lone(conn: Connection, rules: OrderRules, place: tuple[int, int]) -> tuple[int, int] | None:
    """Rank some of what the graph says nothing about by other rules; where to go on, None when that was all.

    place: (rank, place in order of arrival) of the last one seen. One that moves on is seen once more, and stays.
    """
    page = order.ranked_from(conn, place, RANKS_AT_ONCE)
    changed = 0
    for task in page:
        rank = base_rank(task.priority, task.arrived_at, deadline_at=task.deadline_at, rules=rules)
        if rank != task.rank and not task.is_termed:
            order.rank_anew(conn, task.seq, rank=rank, arrived_at=task.arrived_at)
            changed += 1
    if changed:
        conn.emit("order.changed", data={"tasks": changed})
    if len(page) == RANKS_AT_ONCE:
        return page[-1].rank, page[-1].seq
    order.put_ranked_by(conn, _base_rules(rules))
    return None


def _base_rules(rules: OrderRules) -> str:
    return _encode([*rules.patience_s, rules.cap_s]).decode()


def explain(conn: Connection, seq: int) -> Terms | None:
    """What the graph did to the rank of the task at a place, as far as it was computed since its last edit."""
    return order.terms_of(conn, seq)
