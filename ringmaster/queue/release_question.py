"""The question whether a candidate shall be tried: asked once, whoever is killed meanwhile."""

from __future__ import annotations

import random

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.states import DecisionState
from ringmaster.queue.decide import DETAIL_LIMIT, open_decision, withdraw
from ringmaster.store import decisions
from ringmaster.store.connection import Connection

LOOKED_THROUGH = 1_000
"""Decisions back in which the same question is looked for; behind them it is asked again."""


def ask_about_release(conn: Connection, generation_id: int, project_id: str, words: str, *, rng: random.Random) -> str:
    """The id of the question with these words about a candidate: asked now, or known.

    A daemon that was killed has left it open, or answered and not acted upon: it is the one to wait for.
    """
    for known in _questions(conn, generation_id):
        if known.detail == words[-DETAIL_LIMIT:] and known.state is not DecisionState.WITHDRAWN:
            return known.id
    withdraw_release_questions(conn, generation_id)
    return open_decision(
        conn,
        DecisionKind.RELEASE,
        project_id=project_id,
        question=f"{_about(generation_id)}{words.splitlines()[0]}. Shall it be tried?",
        detail=words,
        rng=rng,
    )


def withdraw_release_questions(conn: Connection, generation_id: int) -> None:
    """Take back what is asked about a candidate that nobody wants any more."""
    for known in _questions(conn, generation_id):
        if known.state is DecisionState.OPEN:
            withdraw(conn, known)


def _questions(conn: Connection, generation_id: int) -> list[Decision]:
    about = _about(generation_id)
    found = decisions.salvaged_newest(conn, LOOKED_THROUGH)
    return [one for one in found if one.kind is DecisionKind.RELEASE and one.question.startswith(about)]


def _about(generation_id: int) -> str:
    return f"generation {generation_id} of the daemon: "
