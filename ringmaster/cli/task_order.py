"""`rmctl task ready --explain`: why the next tasks come in their order, term by term."""

from __future__ import annotations

from collections.abc import Callable

from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session

HOUR_S = 3600
MOST = 2_000
"""Tasks that are explained at once."""
TERMS = (
    ("PATIENCE", "patience_s"),
    ("PATH", "critical_path_s"),
    ("UNBLOCKS", "unblocks_s"),
    ("PAGERANK", "pagerank_s"),
    ("BETWEEN", "betweenness_s"),
    ("CAP", "capped_s"),
    ("DEADLINE", "deadline_s"),
    ("INHERITED", "inherited_s"),
    ("FLOOR", "floor_s"),
)
"""In the order in which the rules are applied."""


def explain_ready(session: Session, project_id: str, limit: int) -> None:
    """List what is ready with the terms of each rank in hours, and their sum: when each should start, from now.

    On a terminal terms that are nothing for every task are left out, but with `-o wide`.
    """
    from ringmaster.protocol.order import TaskOrderParams

    found = session.call("task.order", TaskOrderParams(project_id=project_id, limit=limit))
    rows = [
        {**task, "arrived_s": int(task["arrived_at"]) - found["at"], "start_s": task["rank"] - found["at"]}
        for task in found["tasks"]
    ]

    def is_extra(name: str) -> bool:
        return session.output.is_for_people and not any(row[name] for row in rows)

    shape = (
        Column("ID", "id"),
        Column("PRI", "priority"),
        Column("ARRIVED", _hours("arrived_s")),
        *(Column(heading, _hours(name, is_shift=True), is_wide=is_extra(name)) for heading, name in TERMS),
        Column("START", _hours("start_s")),
        Column("CHAIN", "chain", is_wide=is_extra("chain")),
        Column("FREES", "unblocks", is_wide=is_extra("unblocks")),
        Column("FOR", "inherited_from", is_wide=is_extra("inherited_from")),
        Column("TITLE", "title", is_flexible=True),
    )
    session.output.rows(rows, shape, empty="nothing is ready (rmctl ls has all, rmctl why TASK says why)")
    if not all(row["is_settled"] for row in rows):
        session.output.words("some have just changed: the graph's part of their order is on its way")
    if rows and session.output.is_for_people:
        session.output.words("hours from now; START is the sum, the lowest goes first")


def _hours(name: str, *, is_shift: bool = False) -> Callable[[Row], str]:
    """A cell: hours, to a tenth; of what is added with its sign, and nothing where nothing is."""

    def cell(row: Row) -> str:
        # A tenth of an hour; adding 0.0 takes the sign of a nothing away.
        hours = round(row[name] / HOUR_S, 1) + 0.0
        if is_shift and not row[name]:
            return ""
        return f"{hours:+.1f}" if is_shift else f"{hours:.1f}"

    return cell
