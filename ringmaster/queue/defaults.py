"""Questions that answer themselves: the default that came with one is given once its time has come."""

from __future__ import annotations

import msgspec

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.states import DecisionState
from ringmaster.queue.decide import answer_decision
from ringmaster.store import cursors, decisions, events, pauses
from ringmaster.store.connection import Connection

ACTOR = "default"
"""Who gives a default, as events and answers name it."""
NOTICES = "on_decision"
"""The cursor of who tells of new questions, see `workers.notices`. There is none where nobody is told."""
QUESTIONS_AT_ONCE = 1000


class Waiting(msgspec.Struct, frozen=True):
    """An open question with a default. is_told: people have been told of it, where they are told of any."""

    id: str
    default_at: float
    is_told: bool


def waiting_for_default(conn: Connection) -> list[Waiting]:
    """The questions that will answer themselves, the first due first."""
    cursor = cursors.read_cursor(conn, NOTICES)
    asked = decisions.with_default(conn, QUESTIONS_AT_ONCE)
    if not asked or cursor is None:
        return [Waiting(id, at, is_told=True) for id, at in asked]
    untold = {id for _, id in events.asked_after(conn, cursor, QUESTIONS_AT_ONCE)}
    return [Waiting(id, at, is_told=id not in untold) for id, at in asked]


def give_default(conn: Connection, decision_id: str) -> str:
    """Answer a question with its default, as a person would; in words what that did, '' where it is not to be given.

    It is not when somebody was faster, its time has not come by the store's clock, its default is none of its options,
    or the queue is paused. How long it must have been open is the caller's to know.
    """
    decision = decisions.salvaged_by_id(conn, decision_id)
    is_due = decision.default_at is not None and decision.default_at <= conn.now
    if decision.state is not DecisionState.OPEN or decision.kind is not DecisionKind.QUESTION or not is_due:
        return ""
    if decision.default_answer not in decision.options or pauses.queue_pause(conn) is not None:
        return ""
    words = "nobody answered in time; this is the default that came with the question"
    return answer_decision(conn, decision_id, answer=decision.default_answer, message=words, actor=ACTOR)[1]
