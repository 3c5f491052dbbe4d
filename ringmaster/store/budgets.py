"""Rows of budgets: what a project may have in attempts and dollars on one day."""

from __future__ import annotations

import msgspec

from ringmaster.model.budget import DAY_S, Budget, utc_day
from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries

queries = load_queries("budgets")


class Gate(msgspec.Struct, frozen=True):
    """Whether there are budgets, limited labels, and spreads under way; whether the agent asked about is paused.

    last_day: as `spending.last_day`. next_due_at: when the next task that waits may run.
    """

    has_budgets: bool
    has_labels: bool
    is_spreading: bool
    is_agent_paused: bool
    last_day: str
    next_due_at: float | None


def all_budgets(conn: Connection) -> dict[str, Budget]:
    """Every budget by its project's id, '' for that of all of them."""
    return {row[0]: Budget(*row) for row in conn.rows(queries.all)}


def set_budget(conn: Connection, budget: Budget) -> None:
    """Store a budget; one that limits nothing is no budget."""
    if budget.max_attempts is None and budget.max_usd is None:
        conn.execute(queries.delete, (budget.project_id,))
        return
    values: dict[str, Value] = {
        "project_id": budget.project_id,
        "max_attempts": budget.max_attempts,
        "max_usd": budget.max_usd,
    }
    conn.execute(queries.set, values)


def look_at_gate(conn: Connection, agent: str) -> Gate:
    """What a claim for this agent must look at further."""
    row = conn.rows(queries.gate, (agent, utc_day(conn.now + DAY_S)))[0]
    return Gate(bool(row[0]), bool(row[1]), bool(row[2]), bool(row[3]), row[4] or "", row[5])
