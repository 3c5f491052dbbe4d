"""What an outcome must do to its task, by the words of docs/states.md."""

from __future__ import annotations

from typing import NamedTuple

from ringmaster.model.attempt import Attempt
from ringmaster.model.outcomes import Outcome
from tests.sim.database import SimulatedStore
from tests.sim.mirror import require

COUNTED = frozenset({"failed", "gate_failed", "conflict", "timed_out", "output_flood"})
BACKED_OFF = frozenset({"failed", "gate_failed", "timed_out", "output_flood", "spawn_failed"})
STREAK = frozenset({"interrupted", "spawn_failed"})
TASK = """
SELECT state, counted_attempts, streak, not_before_at, max_attempts, same_failures FROM tasks WHERE id = ?
"""


class Before(NamedTuple):
    """What an attempt and its task were before it ended."""

    attempt: Attempt
    counted: int
    streak: int
    is_cancel_requested: bool


def facts_before(store: SimulatedStore, attempt: Attempt) -> Before:
    """Read what is about to change."""
    _, counted, streak, _, _, _ = store.rows(TASK, (attempt.task_id,))[0]
    wished = store.rows("SELECT is_cancel_requested FROM attempts WHERE id = ?", (attempt.id,))[0][0]
    return Before(attempt, counted, streak, bool(wished))


def check_end(
    store: SimulatedStore, before: Before, outcome: Outcome, now: float, *, is_counted: bool, reset_at: float | None
) -> None:
    """Hold the task's row to the table of outcomes."""
    state, counted, streak, not_before_at, most, same = store.rows(TASK, (before.attempt.task_id,))[0]
    words = f"{before.attempt.id} ended as {outcome}: its task"
    if state == "done":
        # It is the fallback of what has come through meanwhile.
        return
    expected = before.counted + (str(outcome) in COUNTED and is_counted)
    require(counted == expected, f"{words} counts {counted} attempts, not {expected}")
    expected_streak = before.streak + 1 if str(outcome) in STREAK else 0
    require(streak == expected_streak, f"{words} has a streak of {streak}, not {expected_streak}")
    if before.is_cancel_requested or outcome is Outcome.CANCELLED:
        return require(state == "cancelled", f"{words} was not wanted any more and is {state}")
    is_spent = str(outcome) in COUNTED and is_counted and counted >= most
    if is_spent or (same >= 3 and state == "failed"):
        return require(state == "failed", f"{words} has used up its {most} attempts and is {state}")
    require(state == "open", f"{words} is {state}")
    earliest, latest = _delay_s(outcome, max(counted, streak, 1))
    if outcome is Outcome.RATE_LIMITED and reset_at is not None:
        earliest = latest = reset_at - now
    wait_s = 0.0 if not_before_at is None else not_before_at - now
    require(earliest - 0.01 <= wait_s <= latest + 0.01, f"{words} waits {wait_s:.1f} s, not {earliest} to {latest}")


def _delay_s(outcome: Outcome, tries: int) -> tuple[float, float]:
    """The shortest and the longest that it is kept off the queue."""
    if outcome is Outcome.INTERRUPTED:
        return 5.0, 5.0
    if outcome is Outcome.RATE_LIMITED:
        return 15.0, 30.0
    if str(outcome) in BACKED_OFF:
        cap = min(3600.0, 30.0 * 2.0 ** (tries - 1))
        return cap / 2, cap
    return 0.0, 0.0
