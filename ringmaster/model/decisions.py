"""The questions only a person may answer, and what each answer does: one table."""

from __future__ import annotations

from enum import StrEnum

from ringmaster.model.errors import ErrorKind, RingmasterError


class DecisionKind(StrEnum):
    """Why a person is asked."""

    QUESTION = "question"
    NO_CHANGES = "no_changes"
    ACCEPT = "accept"
    NO_GATE = "no_gate"
    PROTECTED = "protected"
    TESTS_CHANGED = "tests_changed"
    BASE_RED = "base_red"
    SETUP_FAILED = "setup_failed"
    DIVERGED = "diverged"
    TARGET_MOVED = "target_moved"
    LANDING_STUCK = "landing_stuck"
    ATTEMPTS_SPENT = "attempts_spent"
    INTERRUPTED = "interrupted"
    POISONED = "poisoned"
    NOT_KEPT = "not_kept"
    RELEASE = "release"
    BAD_RELEASE = "bad_release"
    AGENT_BROKEN = "agent_broken"


class Effect(StrEnum):
    """What an answer does besides closing the decision."""

    NOTE = "note"
    """The words go into the next prompt."""
    LAND = "land"
    """The attempt that waits in `validating` goes on to the lane."""
    REJECT = "reject"
    """The attempt that waits ends and the task runs again, with the words in its prompt."""
    LANDING = "landing"
    """The lane takes the landing up once more, and gives it up if it fails again where the answer says so."""
    RETRY = "retry"
    """The task goes back to `open` with its counters at zero."""
    CLOSE = "close"
    """The task is `done`, by a person."""
    CANCEL = "cancel"
    """The task is `cancelled`."""
    RESUME = "resume"
    """The project is active again."""
    RESUME_AGENT = "resume_agent"
    """The agent kind of the attempt that it names is started again."""
    KEEP = "keep"
    """Nothing changes."""
    TAKE = "take"
    """The daemon goes by the answer in what becomes of its own code."""


GIVE_UP = "give_up"
"""The answer that ends an attempt whose landing fails once more."""

DECISION_EFFECTS: dict[DecisionKind, dict[str, Effect]] = {
    DecisionKind.QUESTION: {"*": Effect.NOTE},
    DecisionKind.NO_CHANGES: {"retry": Effect.RETRY, "close": Effect.CLOSE, "cancel": Effect.CANCEL},
    DecisionKind.ACCEPT: {"accept": Effect.LAND, "reject": Effect.REJECT},
    DecisionKind.NO_GATE: {"accept": Effect.LAND, "reject": Effect.REJECT},
    DecisionKind.PROTECTED: {"accept": Effect.LAND, "reject": Effect.REJECT},
    DecisionKind.TESTS_CHANGED: {"accept": Effect.LAND, "reject": Effect.REJECT},
    DecisionKind.BASE_RED: {"resume": Effect.RESUME},
    DecisionKind.SETUP_FAILED: {"resume": Effect.RESUME},
    DecisionKind.DIVERGED: {"resume": Effect.RESUME},
    DecisionKind.TARGET_MOVED: {"resume": Effect.RESUME},
    DecisionKind.LANDING_STUCK: {"retry": Effect.LANDING, GIVE_UP: Effect.LANDING},
    DecisionKind.ATTEMPTS_SPENT: {"retry": Effect.RETRY, "close": Effect.CLOSE, "cancel": Effect.CANCEL},
    DecisionKind.INTERRUPTED: {"retry": Effect.RETRY, "cancel": Effect.CANCEL},
    DecisionKind.POISONED: {"retry": Effect.RETRY, "cancel": Effect.CANCEL},
    DecisionKind.NOT_KEPT: {"keep": Effect.KEEP},
    DecisionKind.RELEASE: {"accept": Effect.TAKE, "reject": Effect.TAKE},
    DecisionKind.BAD_RELEASE: {"revert": Effect.TAKE, "resume": Effect.RESUME},
    DecisionKind.AGENT_BROKEN: {"resume": Effect.RESUME_AGENT},
}

LANDING_KINDS = frozenset(k for k, v in DECISION_EFFECTS.items() if Effect.LAND in v.values())
"""Kinds that hold an attempt in `validating` until a person accepts or rejects it."""


def options_of(kind: DecisionKind) -> tuple[str, ...]:
    """The answers a kind takes; empty means any words."""
    return tuple(option for option in DECISION_EFFECTS[kind] if option != "*")


def effect_of(kind: DecisionKind, decision_id: str, answer: str) -> Effect:
    """What an answer does.

    Raises:
        RingmasterError: USAGE when the kind does not take this answer; it names those it takes.
    """
    effects = DECISION_EFFECTS[kind]
    effect = effects.get(answer, effects.get("*"))
    if effect is None:
        choices = " or ".join(options_of(kind))
        raise RingmasterError(
            ErrorKind.USAGE,
            f"decision {decision_id} takes {choices}, not {answer[:40]!r}",
            f"rmctl decision answer {decision_id} {options_of(kind)[0]} [-m WORDS]",
        )
    return effect
