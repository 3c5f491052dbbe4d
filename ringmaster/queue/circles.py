"""Circles of tasks that would wait for each other for ever.

Two points stand for a task: that it may start, and that it is over. Being over needs the start; for an epic, each child
being over. A start needs what its dependencies say. A new dependency is stored first, and refused when the point it
begins at can be reached from where it leads: the transaction takes it back.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from ringmaster.model.dependency import GATING_KINDS, DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import TaskType
from ringmaster.store import dependencies, standings
from ringmaster.store.connection import Connection

Point = tuple[str, bool]
"""A task's id, and whether its end is meant."""
WAIT_KINDS = GATING_KINDS - {DependencyKind.PARENT_CHILD}


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


def needed_by(conn: Connection, point: Point) -> Iterator[Point]:
    """The points that one must come before: `needs` the other way round."""
    task_id, is_end = point
    if not is_end:
        yield task_id, True
        yield from ((child, False) for child in dependencies.children_of(conn, task_id))
        return
    yield from ((gated.task_id, False) for gated in dependencies.gated_by(conn, task_id))
    parent_id = dependencies.parent_of(conn, task_id)
    if parent_id is None:
        return
    if standings.standing_of(conn, parent_id).type == TaskType.EPIC:
        yield parent_id, True
    for gated in dependencies.gated_by(conn, parent_id):
        if gated.kind == DependencyKind.WAITS_FOR:
            yield gated.task_id, False


def find_circle(conn: Connection, start: Point) -> list[str] | None:
    """The ids on a way from a point back to itself, both ends named; None when there is no such way.

    Searched from both ends at once, the side that has found less going on (Pohl 1971), until the two meet or one has
    nowhere to go: most that begins to wait has a long chain on one side of it alone, and nobody can write meanwhile.
    """
    # By point, the one from which it was found: on the way that leads from the start, and on the way back to it.
    ahead: dict[Point, Point] = {start: start}
    behind: dict[Point, Point] = {start: start}
    leading, following = deque([start]), deque([start])
    while leading and following:
        is_back = len(behind) <= len(ahead)
        steps, queue = (needed_by, following) if is_back else (needs, leading)
        found, others = (behind, ahead) if is_back else (ahead, behind)
        point = queue.popleft()
        for reached in steps(conn, point):
            if reached in others:
                there, back = (reached, point) if is_back else (point, reached)
                return _names([*reversed(_trail(ahead, there)), *_trail(behind, back)])
            if reached not in found:
                found[reached] = point
                queue.append(reached)
    return None


def _trail(came_from: Mapping[Point, Point], point: Point) -> list[Point]:
    """The points from one back to the start."""
    trail = [point]
    while (before := came_from[trail[-1]]) != trail[-1]:
        trail.append(before)
    return trail


def _names(way: Iterable[Point]) -> list[str]:
    """The ids in the order of waiting, each once where both its points lie side by side."""
    return [task_id for task_id, _ in itertools.groupby(task_id for task_id, _ in way)]


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
                _hint(conn, circle, (task_id, other_id)),
            )


def _hint(conn: Connection, circle: list[str], new: tuple[str, str]) -> str:
    """What a person could take away instead: a dependency of the circle that was there before."""
    pairs = list(itertools.pairwise(reversed(circle)))
    # Who is whose child says more than who waits for whom. An epic waits for its children by what is theirs.
    waits = [(waiter, other, False) for other, waiter in pairs]
    kin = [(*pair, True) for other, waiter in pairs for pair in ((waiter, other), (other, waiter))]
    for task_id, other_id, is_kin in (*waits, *kin):
        for kind, _ in dependencies.kinds_between(conn, task_id, other_id):
            is_it = kind == DependencyKind.PARENT_CHILD if is_kin else kind in WAIT_KINDS
            if is_it and (task_id, other_id) != new:
                words = "" if kind == DependencyKind.BLOCKS else f" --kind {kind}"
                return f"rmctl task dep {task_id} --remove {other_id}{words}"
    return f"rmctl task show {circle[0]}"
