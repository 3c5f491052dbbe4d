"""The states that rows hold, and the one table of legal moves between them."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from ringmaster.model.errors import ErrorKind, RingmasterError


class TaskState(StrEnum):
    """What a task's row holds. What a person sees besides is `derived_state`."""

    DRAFT = "draft"
    OPEN = "open"
    RUNNING = "running"
    VALIDATING = "validating"
    LANDING = "landing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """What an attempt's row holds. Only `running` holds a seat."""

    RUNNING = "running"
    VALIDATING = "validating"
    LANDING = "landing"
    ENDED = "ended"


class ProjectState(StrEnum):
    """Whether the project's tasks are given out."""

    ACTIVE = "active"
    PAUSED = "paused"


class WorkerState(StrEnum):
    """What a person wants of a worker."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"


class DecisionState(StrEnum):
    """Whether a person still has to answer."""

    OPEN = "open"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"


T = TaskState
TASK_MOVES: dict[TaskState, frozenset[TaskState]] = {
    T.DRAFT: frozenset({T.OPEN, T.CANCELLED}),
    T.OPEN: frozenset({T.RUNNING, T.DONE, T.FAILED, T.CANCELLED}),
    T.RUNNING: frozenset({T.VALIDATING, T.OPEN, T.FAILED, T.CANCELLED}),
    T.VALIDATING: frozenset({T.LANDING, T.OPEN, T.DONE, T.FAILED, T.CANCELLED}),
    T.LANDING: frozenset({T.DONE, T.VALIDATING}),
    T.DONE: frozenset({T.OPEN}),
    T.FAILED: frozenset({T.OPEN, T.DONE, T.CANCELLED}),
    T.CANCELLED: frozenset({T.OPEN}),
}

# What only undoing may do: back along what a person did, to the very state it was, for a draft must not be given out
# and what failed must not run again because somebody took back a word. What happens by itself goes by the table above.
UNDO_MOVES: dict[TaskState, frozenset[TaskState]] = {state: frozenset() for state in T} | {
    T.DONE: frozenset({T.DRAFT, T.FAILED, T.CANCELLED}),
    T.CANCELLED: frozenset({T.DRAFT, T.FAILED, T.DONE}),
    T.DRAFT: frozenset({T.DONE}),
    T.OPEN: frozenset({T.DRAFT}),
}

A = AttemptState
ATTEMPT_MOVES: dict[AttemptState, frozenset[AttemptState]] = {
    A.RUNNING: frozenset({A.VALIDATING, A.ENDED}),
    A.VALIDATING: frozenset({A.LANDING, A.ENDED}),
    A.LANDING: frozenset({A.VALIDATING, A.ENDED}),
    A.ENDED: frozenset(),
}

LIVE_TASK_STATES = frozenset({T.RUNNING, T.VALIDATING, T.LANDING})
ENDED_TASK_STATES = frozenset({T.DONE, T.FAILED, T.CANCELLED})

S = TypeVar("S", TaskState, AttemptState)


def check_move(table: dict[S, frozenset[S]], noun: str, name: str, old: S, new: S) -> None:
    """Refuse an illegal move in words.

    Raises:
        RingmasterError: WRONG_STATE when the table has no move from `old` to `new`.
    """
    if new not in table[old]:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"{noun} {name} is {old}, so it cannot become {new}",
            f"rmctl {noun} show {name}",
        )


def derived_state(
    state: TaskState, *, open_blockers: int, has_open_decision: bool, not_before_at: float | None, now: float
) -> str:
    """What a person sees: the row's state, or while `open` one of waiting, blocked, scheduled, ready."""
    if state is not TaskState.OPEN:
        return str(state)
    if has_open_decision:
        return "waiting"
    if open_blockers:
        return "blocked"
    if not_before_at is not None and not_before_at > now:
        return "scheduled"
    return "ready"
