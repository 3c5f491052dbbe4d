"""Take back questions that nobody has to answer any more, below what hangs on them."""

from __future__ import annotations

from ringmaster.store import decisions, standings
from ringmaster.store.connection import Connection
from ringmaster.store.standings import Standing


def withdraw_open(conn: Connection, standing: Standing) -> None:
    """Take back every open question about a task that is over; see `withdraw_row`."""
    for decision in decisions.open_of_task(conn, standing.id):
        withdraw_row(conn, decision.id, standing, attempt_id=decision.attempt_id)


def withdraw_row(conn: Connection, decision_id: str, standing: Standing, *, attempt_id: str) -> bool:
    """Take back a question about a task and count it out; what hangs on that is the caller's. False if not open."""
    if not decisions.withdraw_decision(conn, decision_id):
        return False
    standings.shift_blockers(conn, standing.id, -1)
    conn.emit(
        "decision.withdrawn",
        project_id=standing.project_id,
        task_id=standing.id,
        attempt_id=attempt_id,
        decision_id=decision_id,
    )
    return True
