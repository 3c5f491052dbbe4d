"""What one task has to do with another: adding and removing dependencies of every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ringmaster.model.dependency import (
    ALL_CHILDREN,
    GATING_KINDS,
    WAIT_MODES,
    DependencyKind,
    is_in_the_way,
    is_unneeded,
)
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import Task
from ringmaster.queue.blockers import count_child_in, count_child_out, spread
from ringmaster.queue.changes import versions
from ringmaster.queue.circles import refuse_circle
from ringmaster.queue.facts import facts_of
from ringmaster.store import controls, dependencies, standings
from ringmaster.store.connection import Connection


def add_dependency(
    conn: Connection,
    task_id: str,
    other_id: str,
    kind: str = DependencyKind.BLOCKS,
    mode: str = "",
    *,
    is_new: bool = False,
) -> bool:
    """Let a task depend on another; False when it did in this way.

    mode: of `waits-for`, `all` (also for '') or `any`. is_new: nothing depends on the task yet, so no circle can close.

    Raises:
        RingmasterError: NOT_FOUND; USAGE for a mode that is none; CONFLICT for itself, a second parent, what is not
            needed any more, or a circle, which is named. The transaction must not be committed then.
    """
    other = standings.standing_of(conn, other_id)
    if other_id == task_id:
        raise RingmasterError(ErrorKind.CONFLICT, f"{task_id} cannot wait for itself", "name another task")
    mode = _checked_mode(kind, mode)
    if kind == DependencyKind.PARENT_CHILD:
        _refuse_second_parent(conn, task_id, other_id)
    facts = facts_of(conn, other)
    if is_unneeded(kind, facts):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"{other_id} is done, so {task_id}, which is for the case that it fails, would never be needed",
            f"rmctl task show {other_id}",
        )
    is_open = is_in_the_way(kind, mode, facts)
    if not dependencies.insert_dependency(conn, task_id, other_id, kind=kind, mode=mode, is_open=is_open):
        return False
    if kind in GATING_KINDS and not is_new:
        refuse_circle(conn, task_id, other_id, kind)
    if kind == DependencyKind.PARENT_CHILD:
        count_child_in(conn, other_id, standings.standing_of(conn, task_id))
    if is_open:
        standings.shift_blockers(conn, task_id, 1)
    spread(conn, [other_id, task_id] if kind == DependencyKind.PARENT_CHILD else [task_id])
    return True


def _checked_mode(kind: str, mode: str) -> str:
    if kind != DependencyKind.WAITS_FOR:
        return ""
    if mode and mode not in WAIT_MODES:
        raise RingmasterError(ErrorKind.USAGE, f"{mode[:40]!r} is no way to wait for children", "all or any")
    return mode or ALL_CHILDREN


def _refuse_second_parent(conn: Connection, task_id: str, other_id: str) -> None:
    parent_id = dependencies.parent_of(conn, task_id)
    if parent_id is not None and parent_id != other_id:
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"{task_id} is a child of {parent_id} already",
            f"rmctl task dep {task_id} --remove {parent_id} --kind parent-child",
        )


def remove_dependency(conn: Connection, task_id: str, other_id: str, kind: str = DependencyKind.BLOCKS) -> bool:
    """Let a task no longer depend on another in this way; False when it did not."""
    was_open = dependencies.delete_dependency(conn, task_id, other_id, kind)
    if was_open is None:
        return False
    if was_open:
        standings.shift_blockers(conn, task_id, -1)
    if kind == DependencyKind.PARENT_CHILD:
        count_child_out(conn, other_id, standings.standing_of(conn, task_id))
        spread(conn, [other_id, task_id])
    elif was_open:
        spread(conn, [task_id])
    return True


def swap_dependencies(
    conn: Connection,
    task: Task,
    kind: str,
    removing: Sequence[str],
    adding: Sequence[tuple[str, str]],
    *,
    actor: str,
    more: Mapping[str, Any],
) -> tuple[int, int]:
    """Take dependencies of one kind away and add others, and say so; how many were added and removed.

    adding: (id, mode). more: for the event, see `queue.changes`. Raises as `add_dependency`.
    """
    modes = {}
    for other_id in removing:
        known = dict(dependencies.kinds_between(conn, task.id, other_id))
        if remove_dependency(conn, task.id, other_id, kind):
            modes[other_id] = known[str(kind)]
    added = [(id, mode) for id, mode in adding if add_dependency(conn, task.id, id, kind, mode)]
    if added or modes:
        controls.touch(conn, task.id)
        conn.emit(
            "task.dependencies_changed",
            project_id=task.project_id,
            task_id=task.id,
            actor=actor,
            data={
                "kind": str(kind),
                "mode": added[0][1] if added else "",
                "added": [id for id, _ in added],
                "removed": list(modes),
                "modes": modes,
                **versions(conn, task),
                **more,
            },
        )
    return len(added), len(modes)
