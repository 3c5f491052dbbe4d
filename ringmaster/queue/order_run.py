"""What `order_program.py` does. Standard library alone, and the model's parts that need no more."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ringmaster.model.graph import Edge, GraphTask
from ringmaster.model.graph_order import Terms, order_graph
from ringmaster.model.order import OrderRules, base_rank

PROCESSOR_S = 60
NICENESS = 5
LINE_RANKS = 500

Found = tuple[int, int, float | None, bool, int, int, Terms | None]


def main() -> int:
    """Read the graph, rank it, write what has changed."""
    # A person's Ctrl-C is the daemon's affair, which ends this too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    os.nice(NICENESS)
    # Hundreds of thousands of tuples and no circle among them: looking for one took a third of the time.
    gc.disable()
    rules, tasks, edges = read_graph(sys.stdin.buffer)
    found = list(iter_changed(rules, tasks, edges))
    for first in range(0, len(found), LINE_RANKS):
        sys.stdout.write(json.dumps(found[first : first + LINE_RANKS], separators=(",", ":")) + "\n")
    sys.stdout.flush()
    return 0


def read_graph(lines: Iterable[bytes]) -> tuple[OrderRules, list[Any], list[Edge]]:
    """Rules, rows of tasks, edges."""
    rules = OrderRules()
    tasks: list[Any] = []
    edges: list[Edge] = []
    for line in lines:
        told = json.loads(line) if line.strip() else {}
        if "rules" in told:
            rules = OrderRules(**told["rules"])
        tasks += told.get("tasks", ())
        edges += map(Edge._make, told.get("edges", ()))
    return rules, tasks, edges


def iter_changed(rules: OrderRules, rows: Iterable[Any], edges: Iterable[Edge]) -> Iterator[Found]:
    """Those tasks whose rank or terms are others than they were read. What has ended is ranked as if it were alone."""
    # A row may have been read twice; and the outcome must not depend on the order in which rows came.
    unique = {row[0]: row for row in rows}
    rows = [unique[seq] for seq in sorted(unique)]
    going = [row for row in rows if row[6]]
    tasks = [GraphTask(row[0], row[1], row[2], row[3], bool(row[4])) for row in going]
    for row, terms in zip(going, order_graph(tasks, edges, rules), strict=True):
        kept = None if terms.is_plain else terms
        before = None if row[7] is None else tuple(row[7])
        if terms.rank != row[5] or kept != before:
            yield row[0], row[1], row[3], True, row[5], terms.rank, kept
    for row in rows:
        if not row[6] and row[7] is not None:
            rank = base_rank(row[1], row[2], deadline_at=row[3], rules=rules)
            yield row[0], row[1], row[3], False, row[5], rank, None
