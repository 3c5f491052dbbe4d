"""An agent kind that cannot be started: after some failures in a row nothing of it is, and a person is asked once."""

from __future__ import annotations

import random

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue.decide import open_decision
from ringmaster.store import spawn_failures
from ringmaster.store.connection import Connection

SPAWN_LIMIT = 3
"""Starts of one agent kind that fail in a row, whatever the task, before it is paused."""

_SAYS_NOTHING = frozenset({Outcome.CANCELLED, Outcome.INTERRUPTED, Outcome.LEASE_LOST})
"""Outcomes that an attempt can have whether or not its agent could be started."""


def note_start(conn: Connection, attempt: Attempt, outcome: Outcome, reason: str, *, rng: random.Random) -> None:
    """Take in how a running attempt ended: pause its agent's kind once it has failed to start too often in a row."""
    if outcome is not Outcome.SPAWN_FAILED:
        if outcome not in _SAYS_NOTHING:
            spawn_failures.forget_failures(conn, attempt.agent)
        return
    count = spawn_failures.count_failure(conn, attempt.agent)
    if count < SPAWN_LIMIT or not spawn_failures.pause_agent(conn, attempt.agent, reason=reason):
        return
    conn.emit("agent.paused", attempt_id=attempt.id, data={"agent": attempt.agent, "reason": reason})
    # It is no project's and no task's: the attempt says which agent is meant.
    open_decision(
        conn,
        DecisionKind.AGENT_BROKEN,
        project_id="",
        attempt_id=attempt.id,
        question=f"agent {attempt.agent} could not be started {count} times in a row ({reason}): mend it, then resume",
        detail=f"try it: rmctl agent test {attempt.agent}",
        rng=rng,
    )
