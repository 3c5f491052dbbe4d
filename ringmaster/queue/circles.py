"""Circles of tasks that would wait for each other for ever.

Two points stand for a task: that it may start, and that it is over. Being over needs the start; for an epic, each child
being over. A start needs what its dependencies say. A new dependency is stored first, and refused when the point it
begins at can be reached from where it leads: the transaction takes it back.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import TaskType
from ringmaster.store import dependencies, standings
from ringmaster.store.connection import Connection

Point = tuple[str, bool]
"""A task's id, and whether its end is meant."""


def needs(conn: Connection, point: Point) -> Iterator[Point]:
    """The points that must come before one."""
    task_id, is_end = point
    if is_end:
        yield task_id, False
        if standings.standing_of(conn, task_id).type == TaskType.EPIC:
            yield from ((child, True) for child in dependencies.children_of(conn, task_id))
        return
    for gate in dependencies.gates_of(conn, task_id):
        if gate.kind == DependencyKind.PARENT_CHILD:
            yield gate.blocker_id, False
            continue
        yield gate.blocker_id, True
        if gate.kind == DependencyKind.WAITS_FOR:
            yield from ((child, True) for child in dependencies.children_of(conn, gate.blocker_id))


def find_circle(conn: Connection, start: Point) -> list[str] | None:
    """The ids on a way from a point back to itself, both ends named; None when there is no such way.

    Depth first without recursion: chains can be long.
    """
    came_from: dict[Point, Point] = {}
    stack = [start]
    while stack:
        point = stack.pop()
        for needed in needs(conn, point):
            if needed == start:
                way = [start, point]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return _names(way)
            if needed not in came_from:
                came_from[needed] = point
                stack.append(needed)
    return None


def _names(way: list[Point]) -> list[str]:
    """The ids in the order of waiting, each once where both its points lie side by side."""
    names: list[str] = []
    for task_id, _ in reversed(way):
        if not names or names[-1] != task_id:
            names.append(task_id)
    return names


def refuse_circle(conn: Connection, task_id: str, other_id: str, kind: str) -> None:
    """Look for a circle through a dependency that was just stored.

    Raises:
        RingmasterError: CONFLICT with the circle; the caller's transaction must not be committed then.
    """
    starts: list[Point] = [(task_id, False)]
    if kind == DependencyKind.PARENT_CHILD:
        # A new child is one more thing that its epic, and who waits for the children, needs.
        starts.append((other_id, True))
        starts += [
            (gated.task_id, False)
            for gated in dependencies.gated_by(conn, other_id)
            if gated.kind == DependencyKind.WAITS_FOR
        ]
    for start in starts:
        circle = find_circle(conn, start)
        if circle:
            # Who waits for the children of its own parent waits for itself without a step in between.
            circle = circle if len(circle) > 1 else [task_id, other_id, task_id]
            raise RingmasterError(
                ErrorKind.CONFLICT,
                f"{task_id} cannot wait for {other_id}: that closes the circle {' -> '.join(circle)}",
                f"rmctl task dep {circle[-2]} --remove {circle[-1]}",
            )
