"""What the rule of dependencies looks at in a task, read from the rows as they are now, whoever has been told of it."""

from __future__ import annotations

import msgspec

from ringmaster.model.dependency import (
    ALL_CHILDREN,
    ANY_CHILD,
    DependencyKind,
    OtherFacts,
    is_in_the_way,
    is_unneeded,
)
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.store import dependencies, spreading, standings
from ringmaster.store.connection import Connection
from ringmaster.store.dependencies import Gate
from ringmaster.store.standings import Standing


def facts_of(conn: Connection, standing: Standing) -> OtherFacts:
    """What the rule of dependencies looks at in a task."""
    return OtherFacts(
        state=standing.state,
        is_held_up=_is_held_up(conn, standing),
        open_children=standing.open_children,
        done_children=standing.done_children,
    )


def _is_held_up(conn: Connection, standing: Standing) -> bool:
    if standing.type == TaskType.EPIC:
        return standing.open_blockers > 1
    # A question about a task that is work of its own is none about its children.
    return standing.open_blockers > 0 and (standing.held_at is not None or dependencies.has_open(conn, standing.id))


class Late(msgspec.Struct, frozen=True):
    """A dependency that is in the way and has not been told so. task_id: who has it."""

    task_id: str
    gate: Gate


def find_late(conn: Connection, task_id: str) -> Late | None:
    """What a spread under way has not told a ready task, or one of its parents, who pass on what they wait for."""
    near: str | None = task_id
    while near is not None:
        task_id, near = near, None
        for gate in dependencies.gates_of(conn, task_id):
            other = standings.standing_of(conn, gate.blocker_id)
            if is_in_the_way(gate.kind, gate.mode, facts_of(conn, other)):
                return Late(task_id, gate)
            if gate.kind == DependencyKind.PARENT_CHILD and other.state in (TaskState.OPEN, TaskState.FAILED):
                near = other.id
    return None


def is_any_to_tell(conn: Connection, task_id: str, facts: OtherFacts) -> bool:
    """Whether any that depends on a task, its children aside, was told otherwise than it is now."""
    return spreading.is_any_to_tell(
        conn,
        task_id,
        blocks=is_in_the_way(DependencyKind.BLOCKS, "", facts),
        conditional=is_in_the_way(DependencyKind.CONDITIONAL_BLOCKS, "", facts),
        all=is_in_the_way(DependencyKind.WAITS_FOR, ALL_CHILDREN, facts),
        any=is_in_the_way(DependencyKind.WAITS_FOR, ANY_CHILD, facts),
        is_unneeded=is_unneeded(DependencyKind.CONDITIONAL_BLOCKS, facts),
    )
