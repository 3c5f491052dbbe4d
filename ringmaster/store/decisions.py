"""Rows of decisions."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import Connection, Row
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("decisions")
decode_decision = decoder(Decision, "options")


def insert_decision(conn: Connection, decision: Decision) -> None:
    """Store a new decision in state `open`. The caller counts it as a blocker of its task."""
    conn.execute(
        queries.insert,
        {
            "id": decision.id,
            "kind": str(decision.kind),
            "project_id": decision.project_id,
            "task_id": decision.task_id,
            "attempt_id": decision.attempt_id,
            "question": decision.question,
            "detail": decision.detail,
            "options": encode_json(decision.options),
            "now": conn.now,
            "recommendation": decision.recommendation,
            "urgency": decision.urgency,
            "default_answer": decision.default_answer,
            "default_at": decision.default_at,
        },
    )


def is_known(conn: Connection, decision_id: str) -> bool:
    """Whether a decision of this id is there."""
    return conn.row(queries.by_id, (decision_id,)) is not None


def decision_by_id(conn: Connection, decision_id: str) -> Decision:
    """The decision of this id.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.by_id, (decision_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no decision {decision_id}", "rmctl decision list --all")
    return decode_decision(row)


def salvaged_decisions(rows: Iterable[Row]) -> list[Decision]:
    """Decisions for looking at; a damaged row says so in its detail."""
    found = []
    for row in rows:
        decision, unread = decode_decision.salvage(row)
        if unread:
            words = f"its row cannot be read ({', '.join(unread)})\n{decision.detail}"
            decision = msgspec.structs.replace(decision, detail=words)
        found.append(decision)
    return found


def salvaged_of_task(conn: Connection, task_id: str) -> list[Decision]:
    """A task's decisions in order, for looking at."""
    return salvaged_decisions(conn.rows(queries.of_task, (task_id,)))


def salvaged_by_id(conn: Connection, decision_id: str) -> Decision:
    """One decision for looking at. Raises NOT_FOUND."""
    row = conn.row(queries.by_id, (decision_id,))
    return decision_by_id(conn, decision_id) if row is None else salvaged_decisions([row])[0]


def order_of_urgency(decision: Decision) -> tuple[int, float]:
    """The key by which open questions are listed."""
    return {"high": 0, "low": 2}.get(decision.urgency, 1), decision.created_at


def salvaged_open(conn: Connection, limit: int) -> list[Decision]:
    """What waits for a person, the most urgent first, then the oldest, for looking at."""
    return salvaged_decisions(conn.rows(queries.open, (limit,)))


def salvaged_newest(conn: Connection, limit: int) -> list[Decision]:
    """The newest decisions, whether answered or not, oldest first, for looking at."""
    return salvaged_decisions(reversed(conn.rows(queries.all, (limit,))))


def open_decisions(conn: Connection, limit: int) -> list[Decision]:
    """What waits for a person, the most urgent first, then the oldest."""
    return decode_decision.all(conn.rows(queries.open, (limit,)))


def count_open(conn: Connection) -> int:
    """How many questions wait for a person."""
    return int(conn.value(queries.count_open))


def decisions_of_task(conn: Connection, task_id: str) -> list[Decision]:
    """A task's decisions in order."""
    return decode_decision.all(conn.rows(queries.of_task, (task_id,)))


def open_of_task(conn: Connection, task_id: str) -> list[Decision]:
    """What a person is asked about a task, oldest first."""
    found = decode_decision.all(conn.rows(queries.open_of_task, (task_id,)))
    return sorted(found, key=lambda decision: decision.created_at)


def with_default(conn: Connection, limit: int) -> list[tuple[str, float]]:
    """(id, when) of open questions that answer themselves, the first due first."""
    return [(row[0], row[1]) for row in conn.rows(queries.with_default, (limit,))]


def newest_bad_release(conn: Connection, project_id: str) -> Decision | None:
    """The newest question about a bad release of a project, open or not."""
    return decode_decision.optional(conn.row(queries.newest_bad_release, (project_id,)))


def open_decision_of_project(conn: Connection, project_id: str, kind: str) -> str | None:
    """The id of an open decision about the project as a whole, if there is one of this kind."""
    found: str | None = conn.value(queries.open_of_project, (project_id, kind))
    return found


def open_of_kind(conn: Connection, kind: str) -> list[tuple[str, str]]:
    """(id, attempt's id) of every open decision of a kind that belongs to no project."""
    return [(row[0], row[1]) for row in conn.rows(queries.open_of_kind, (kind,))]


def decision_that_holds(conn: Connection, project_id: str) -> str:
    """The id of the oldest open decision that a paused project waits for; '' when it is not paused, or by a person."""
    return str(conn.value(queries.holding_project, (project_id,), ""))


def answer_decision(conn: Connection, decision_id: str, *, answer: str, message: str, answered_by: str) -> bool:
    """open -> answered; False when it was not open."""
    return (
        conn.execute(
            queries.answer,
            {
                "id": decision_id,
                "answer": answer,
                "message": message,
                "answered_by": answered_by,
                "now": conn.now,
            },
        )
        > 0
    )


def withdraw_decision(conn: Connection, decision_id: str) -> bool:
    """open -> withdrawn; False when it was not open."""
    return conn.execute(queries.withdraw, {"id": decision_id, "now": conn.now}) > 0
