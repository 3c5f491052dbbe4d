"""How an attempt can end, and the one table of what follows from it."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Literal

import msgspec

from ringmaster.model.states import TaskState


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GATE_FAILED = "gate_failed"
    CONFLICT = "conflict"
    NO_CHANGES = "no_changes"
    NEEDS_DECISION = "needs_decision"
    RATE_LIMITED = "rate_limited"
    TIMED_OUT = "timed_out"
    OUTPUT_FLOOD = "output_flood"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LEASE_LOST = "lease_lost"
    SPAWN_FAILED = "spawn_failed"


BACKOFF_FIRST_S = 30.0
BACKOFF_LIMIT_S = 3600.0
INTERRUPTED_DELAY_S = 5.0
INTERRUPTED_LIMIT = 5

Delay = Literal["none", "short", "backoff", "reset"]


class OutcomeRule(msgspec.Struct, frozen=True):
    """What an outcome means for its task.

    next_state: the task's state, before spent attempts and streaks are looked at.
    is_counted: whether it counts against `max_attempts`.
    delay: how long the task stays off the queue.
    is_streak: whether it counts towards the streak that becomes a decision.
    """

    next_state: TaskState | None
    is_counted: bool
    delay: Delay = "none"
    is_streak: bool = False


OUTCOME_RULES: dict[Outcome, OutcomeRule] = {
    Outcome.SUCCEEDED: OutcomeRule(TaskState.DONE, is_counted=True),
    Outcome.FAILED: OutcomeRule(TaskState.OPEN, is_counted=True, delay="backoff"),
    Outcome.GATE_FAILED: OutcomeRule(TaskState.OPEN, is_counted=True, delay="backoff"),
    Outcome.CONFLICT: OutcomeRule(TaskState.OPEN, is_counted=True),
    Outcome.NO_CHANGES: OutcomeRule(TaskState.OPEN, is_counted=False),
    Outcome.NEEDS_DECISION: OutcomeRule(TaskState.OPEN, is_counted=False),
    Outcome.RATE_LIMITED: OutcomeRule(TaskState.OPEN, is_counted=False, delay="reset"),
    Outcome.TIMED_OUT: OutcomeRule(TaskState.OPEN, is_counted=True, delay="backoff"),
    Outcome.OUTPUT_FLOOD: OutcomeRule(TaskState.OPEN, is_counted=True, delay="backoff"),
    Outcome.CANCELLED: OutcomeRule(TaskState.CANCELLED, is_counted=False),
    Outcome.INTERRUPTED: OutcomeRule(TaskState.OPEN, is_counted=False, delay="short", is_streak=True),
    Outcome.LEASE_LOST: OutcomeRule(None, is_counted=False),
    Outcome.SPAWN_FAILED: OutcomeRule(TaskState.OPEN, is_counted=False, delay="backoff", is_streak=True),
}


def backoff_s(retries: int, rng: random.Random) -> float:
    """Seconds to wait before retry number `retries` (from 1).

    30 s doubled each time up to one hour, then "equal jitter": half is fixed, half is drawn, so that
    retries neither come at once nor together (Brooker, "Exponential Backoff And Jitter", AWS 2015).
    """
    cap = min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2.0 ** min(max(retries, 1) - 1, 16))
    return cap / 2 + rng.random() * cap / 2


class Consequence(msgspec.Struct, frozen=True):
    """What happens to a task after an attempt: its next state, counters and when it may run again."""

    next_state: TaskState | None
    counted_attempts: int
    streak: int
    not_before_at: float | None
    is_spent: bool
    is_streak_broken: bool


def consequence_of(
    outcome: Outcome,
    *,
    counted_attempts: int,
    max_attempts: int,
    streak: int,
    now: float,
    rng: random.Random,
    is_counted: bool = True,
    reset_at: float | None = None,
    is_hopeless: bool = False,
) -> Consequence:
    """Apply the outcome table to a task's counters.

    is_counted: False takes a counted outcome out of the count (an API's 5xx, 401 or 403).
    reset_at: when a rate limit ends, unix seconds.
    is_hopeless: it failed in the same way too often, see `model.failure`: a counted outcome then spends the task.
    `is_spent`: the attempts are used up, the task is `failed` and a person decides.
    `is_streak_broken`: the streak limit is reached and a person decides.
    """
    rule = OUTCOME_RULES[outcome]
    counted = counted_attempts + (1 if rule.is_counted and is_counted else 0)
    new_streak = streak + 1 if rule.is_streak else 0
    next_state = rule.next_state
    is_over = counted >= max_attempts or is_hopeless
    is_spent = next_state is TaskState.OPEN and rule.is_counted and is_counted and is_over
    not_before_at: float | None = None
    if is_spent:
        next_state = TaskState.FAILED
    elif next_state is TaskState.OPEN:
        if rule.delay == "backoff":
            not_before_at = now + backoff_s(max(counted, new_streak, 1), rng)
        elif rule.delay == "short":
            not_before_at = now + INTERRUPTED_DELAY_S
        elif rule.delay == "reset":
            not_before_at = reset_at if reset_at is not None else now + backoff_s(1, rng)
    return Consequence(next_state, counted, new_streak, not_before_at, is_spent, new_streak >= INTERRUPTED_LIMIT)
