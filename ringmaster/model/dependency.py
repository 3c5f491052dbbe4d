"""What one task can have to do with another, and when that is in its way: one pure rule."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringmaster.model.states import TaskState

OTHERS = 100
"""Of the tasks that another has to do with so many are named, unless somebody asks for more."""


class DependencyKind(StrEnum):
    """Kinds we know. Others, which another system had, are kept as they came and are never in the way."""

    BLOCKS = "blocks"
    PARENT_CHILD = "parent-child"
    CONDITIONAL_BLOCKS = "conditional-blocks"
    WAITS_FOR = "waits-for"
    RELATED = "related"
    DISCOVERED_FROM = "discovered-from"
    DUPLICATES = "duplicates"
    SUPERSEDES = "supersedes"


K = DependencyKind
GATING_KINDS = frozenset({K.BLOCKS, K.PARENT_CHILD, K.CONDITIONAL_BLOCKS, K.WAITS_FOR})
"""Kinds that decide whether a task is ready."""

ALL_CHILDREN, ANY_CHILD = "all", "any"
WAIT_MODES = (ALL_CHILDREN, ANY_CHILD)
"""What a `waits-for` waits for."""

GONE_STATES = frozenset({TaskState.DONE, TaskState.CANCELLED})
"""A child in one of these is no longer waited for. A failed one is: a person may retry it."""


class OtherFacts(msgspec.Struct, frozen=True):
    """What the rule looks at in the task on the far end.

    is_held_up: it is held, or a dependency of its own is open; of an epic also a question.
    open_children: children neither done nor cancelled; done_children: those that are done.
    """

    state: TaskState
    is_held_up: bool = False
    open_children: int = 0
    done_children: int = 0


def is_in_the_way(kind: str, mode: str, other: OtherFacts) -> bool:
    """Whether a dependency of this kind on such a task keeps the dependent from being ready.

    mode: of `waits-for`, `all` or `any`; '' for the other kinds. See docs/queue.md for the table.
    """
    if kind == K.BLOCKS:
        return other.state is not TaskState.DONE
    if kind == K.PARENT_CHILD:
        # One that runs, or is done, holds nobody back; one that a person has cancelled does.
        if other.state in (TaskState.OPEN, TaskState.FAILED):
            return other.is_held_up
        return other.state in (TaskState.DRAFT, TaskState.CANCELLED)
    if kind == K.CONDITIONAL_BLOCKS:
        # Once it is done the dependent is not needed, see `is_unneeded`: that ends it, or will when it stops running.
        return other.state not in (TaskState.FAILED, TaskState.CANCELLED, TaskState.DONE)
    if kind == K.WAITS_FOR:
        is_over = other.state is TaskState.DONE and other.open_children == 0
        return not (is_over or (mode == ANY_CHILD and other.done_children > 0))
    return False


def is_unneeded(kind: str, other: OtherFacts) -> bool:
    """Whether what was to be done only if the other fails need not be done any more."""
    return kind == K.CONDITIONAL_BLOCKS and other.state is TaskState.DONE


def is_epic_over(other: OtherFacts) -> bool:
    """Whether an epic of such children is done. With all of them cancelled a person says what it comes to."""
    return other.open_children == 0 and other.done_children > 0


_WORDS = {
    K.BLOCKS: "waits until {} is done",
    K.PARENT_CHILD: "is a child of {}",
    K.CONDITIONAL_BLOCKS: "runs only if {} fails",
    K.RELATED: "is related to {}",
    K.DISCOVERED_FROM: "was discovered in {}",
    K.DUPLICATES: "duplicates {}",
    K.SUPERSEDES: "supersedes {}",
}


def dependency_words(kind: str, mode: str, other_id: str) -> str:
    """What a task has to do with another, in words that follow the task's own name."""
    if kind == K.WAITS_FOR:
        return f"waits for {'any child' if mode == ANY_CHILD else 'all children'} of {other_id}"
    known = {str(key): words for key, words in _WORDS.items()}
    return known[kind].format(other_id) if kind in known else f"{kind} {other_id}"
