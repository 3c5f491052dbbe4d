"""The graph of tasks on their way in: its circles, and what is in each task's way. Pure.

A whole graph is looked at once, and its counts are stored with its rows: to add each dependency as a person's is added
would look for a circle sixty thousand times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from ringmaster.model.dependency import (
    GATING_KINDS,
    GONE_STATES,
    DependencyKind,
    OtherFacts,
    is_in_the_way,
    is_unneeded,
)
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import ImportedDependency, ImportedTask, circle_words
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType

K = DependencyKind
Point: TypeAlias = "tuple[str, bool]"
"""A task's id, and whether its end is meant: see docs/queue.md on circles."""


class Edge(NamedTuple):
    """A dependency of one of the tasks."""

    task_id: str
    other_id: str
    kind: str


Steps: TypeAlias = "Iterable[tuple[Point, Edge | None]]"
"""Points that must come before one, each with the dependency that says so; None for what is always so."""


class Circle(NamedTuple):
    """ids: in the order of waiting, the first one again at the end. closing: what to give up so that it is none."""

    ids: list[str]
    closing: Edge


class Graph:
    """Which point needs which, among tasks on their way in.

    known_steps: of a task that is there already, for a child that it gets can close a circle through it.
    """

    def __init__(
        self, tasks: Iterable[ImportedTask], known_steps: Callable[[Point, Graph], Steps] | None = None
    ) -> None:
        # In the order of ids: which dependency of a circle is given up must not depend on the order of lines.
        self.tasks = {task.id: task for task in sorted(tasks, key=lambda task: task.id)}
        self.children: dict[str, list[str]] = {}
        for task in self.tasks.values():
            for depend in task.depends:
                if depend.kind == K.PARENT_CHILD:
                    self.children.setdefault(depend.other, []).append(task.id)
        self._known_steps = known_steps
        self._leaves = {task.id for task in self.tasks.values() if self._is_leaf(task)}

    def _is_leaf(self, task: ImportedTask) -> bool:
        """Whether it waits for nothing, which most do: no circle leads through it."""
        if task.type == TaskType.EPIC and task.id in self.children:
            return False
        return not any(depend.kind in GATING_KINDS for depend in task.depends)

    def steps(self, point: Point) -> Steps:
        """The points that must come before one."""
        id, is_end = point
        task = self.tasks.get(id)
        if task is None:
            if self._known_steps is not None:
                yield from self._known_steps(point, self)
        elif is_end:
            yield (id, False), None
            if task.type == TaskType.EPIC:
                yield from self.child_steps(id)
        else:
            for depend in task.depends:
                kind = depend.kind
                if kind == K.PARENT_CHILD:
                    yield (depend.other, False), Edge(id, depend.other, kind)
                elif kind in GATING_KINDS:
                    edge = Edge(id, depend.other, kind)
                    yield (depend.other, True), edge
                    if kind == K.WAITS_FOR:
                        for child in self.children.get(depend.other, ()):
                            yield (child, True), edge

    def child_steps(self, id: str) -> Steps:
        """The ends of the children that come to a task."""
        for child in self.children.get(id, ()):
            yield (child, True), Edge(child, id, K.PARENT_CHILD)

    def iter_circles(self) -> Iterator[Circle]:
        """Circles, one after the other; without the dependency that each names there is none left.

        Depth first without recursion: chains can be long.
        """
        finished: set[Point] = set()
        given_up: set[Edge] = set()
        for id in self.tasks:
            if id not in self._leaves and (id, True) not in finished:
                yield from self._circles_from((id, True), finished, given_up)

    def _circles_from(self, start: Point, finished: set[Point], given_up: set[Edge]) -> Iterator[Circle]:
        path: list[tuple[Point, Iterator[tuple[Point, Edge | None]], Edge | None]]
        path = [(start, iter(self.steps(start)), None)]
        places = {start: 0}
        while path:
            point, steps, _ = path[-1]
            step = next(steps, None)
            if step is None:
                finished.add(point)
                del places[point]
                path.pop()
                continue
            needed, edge = step
            if needed[0] in self._leaves or needed in finished or edge in given_up:
                continue
            if needed not in places:
                places[needed] = len(path)
                path.append((needed, iter(self.steps(needed)), edge))
                continue
            around = path[places[needed] :]
            circle = _closed([where[0] for where in around], [*(where[2] for where in around[1:]), edge])
            given_up.add(circle.closing)
            yield circle
            # What was reached over it on this path was perhaps reached by nothing else.
            kept = next((n for n, where in enumerate(path) if where[2] == circle.closing), len(path))
            for where in path[kept:]:
                del places[where[0]]
            del path[kept:]


def _closed(points: list[Point], edges: list[Edge | None]) -> Circle:
    given = [edge for edge in edges if edge is not None]
    # Who is whose child says more than who waits for whom, and an epic without its children would say nothing.
    closing = next((edge for edge in reversed(given) if edge.kind != K.PARENT_CHILD), given[-1])
    ids: list[str] = []
    for id, _ in (*points, points[0]):
        if not ids or ids[-1] != id:
            ids.append(id)
    return Circle(ids if len(ids) > 1 else [ids[0], closing.other_id, ids[0]], closing)


def drop_circles(
    tasks: Sequence[ImportedTask],
    known_steps: Callable[[Point, Graph], Steps] | None = None,
    *,
    is_dropping: bool = True,
) -> tuple[list[ImportedTask], list[str]]:
    """The tasks without the dependencies that close circles, which stay as `related`, and a note for each.

    Raises:
        RingmasterError: CONFLICT naming the first circle, unless `is_dropping`.
    """
    closing: set[Edge] = set()
    notes = []
    for circle in Graph(tasks, known_steps).iter_circles():
        if not is_dropping:
            raise RingmasterError(
                ErrorKind.CONFLICT,
                f"tasks there wait for each other in a circle: {circle_words(circle.ids)}",
                "--drop-circles leaves out the dependency that closes each",
            )
        closing.add(circle.closing)
        task_id, other_id, kind = circle.closing
        words = "waits for" if kind != K.PARENT_CHILD else "is a child of"
        notes.append(f"left out: {task_id} {words} {other_id}, which closes {circle_words(circle.ids)}")
    return [relate(task, closing) for task in tasks] if closing else list(tasks), notes


def relate(task: ImportedTask, edges: set[Edge]) -> ImportedTask:
    """The task with these of its dependencies as `related`, which is never in the way."""
    if not any(Edge(task.id, depend.other, depend.kind) in edges for depend in task.depends):
        return task
    kept: dict[tuple[str, str], ImportedDependency] = {}
    for depend in task.depends:
        is_given_up = Edge(task.id, depend.other, depend.kind) in edges
        made = ImportedDependency(depend.other, K.RELATED) if is_given_up else depend
        kept.setdefault((made.other, made.kind), made)
    related = (
        (depend.other, depend.kind) for depend in task.depends if Edge(task.id, depend.other, depend.kind) in edges
    )
    return msgspec.structs.replace(task, depends=tuple(kept.values()), related=(*task.related, *related))


def kin_waits(tasks: Mapping[str, ImportedTask]) -> set[Edge]:
    """Dependencies between a task and those below it, which its parenthood says already and which close a circle.

    Nobody can wait for what is part of it, nor for the end of an epic of which it is a part.
    """
    parents = {
        task.id: depend.other for task in tasks.values() for depend in task.depends if depend.kind == K.PARENT_CHILD
    }
    found: set[Edge] = set()
    for task in tasks.values():
        for depend in task.depends:
            if depend.kind not in GATING_KINDS or depend.kind == K.PARENT_CHILD:
                continue
            other = tasks.get(depend.other)
            needs_children = depend.kind == K.WAITS_FOR or (other is not None and other.type == TaskType.EPIC)
            if _is_below(depend.other, task.id, parents) or (
                needs_children and _is_below(task.id, depend.other, parents)
            ):
                found.add(Edge(task.id, depend.other, depend.kind))
    return found


def _is_below(id: str, ancestor: str, parents: Mapping[str, str]) -> bool:
    seen = {id}
    while (parent := parents.get(id)) is not None and parent not in seen:
        if parent == ancestor:
            return True
        seen.add(parent)
        id = parent
    return False


class Counts(msgspec.Struct, gc=False):
    """What a task's row counts. is_open: of each of its dependencies, in order, whether it is in the way."""

    is_open: list[bool]
    open_blockers: int = 0
    children: int = 0
    open_children: int = 0
    done_children: int = 0
    last_child: int = 0


def count_up(tasks: Mapping[str, ImportedTask]) -> dict[str, Counts]:
    """What the rows of these tasks count, without questions and without tasks that are not among them."""
    counts = {id: Counts([False] * len(task.depends)) for id, task in tasks.items()}
    for id, task in tasks.items():
        parent_id, dot, number = id.rpartition(".") if "." in id else ("", "", "")
        if dot and parent_id in counts and number.isdecimal() and len(number) < 10:
            counts[parent_id].last_child = max(counts[parent_id].last_child, int(number))
        for depend in task.depends:
            parent = counts.get(depend.other) if depend.kind == K.PARENT_CHILD else None
            if parent is not None:
                parent.children += 1
                parent.open_children += task.state not in GONE_STATES
                parent.done_children += task.state is TaskState.DONE
    counted: set[str] = set()
    for id in tasks:
        # A child looks at whether its parent is held up, so parents are counted first.
        for task in reversed(_uncounted_line(id, tasks, counted)):
            _count(task, counts, tasks)
    return counts


def _uncounted_line(id: str, tasks: Mapping[str, ImportedTask], counted: set[str]) -> list[ImportedTask]:
    line = []
    while id not in counted and (task := tasks.get(id)) is not None:
        line.append(task)
        counted.add(id)
        for depend in task.depends:
            if depend.kind == K.PARENT_CHILD:
                id = depend.other
    return line


def _count(task: ImportedTask, counts: Mapping[str, Counts], tasks: Mapping[str, ImportedTask]) -> None:
    own = counts[task.id]
    for place, depend in enumerate(task.depends):
        other = tasks.get(depend.other) if depend.kind in GATING_KINDS else None
        if other is not None:
            own.is_open[place] = is_in_the_way(depend.kind, depend.mode, _facts(other, counts[other.id]))
    own.open_blockers = sum(own.is_open) + task.is_held + (task.type == TaskType.EPIC)


def _facts(other: ImportedTask, counts: Counts) -> OtherFacts:
    if other.type == TaskType.EPIC:
        is_held_up = counts.open_blockers > 1
    else:
        is_held_up = other.is_held or any(counts.is_open)
    return OtherFacts(other.state, is_held_up, counts.open_children, counts.done_children)


def settling(tasks: Mapping[str, ImportedTask], counts: Mapping[str, Counts]) -> list[str]:
    """Ids of tasks from which more follows than counts: an epic that is over, a task whose fallback is not needed."""
    found: dict[str, None] = {}
    for id, task in tasks.items():
        own = counts[id]
        if task.type == TaskType.EPIC and task.state is TaskState.OPEN and not own.open_children and own.done_children:
            found[id] = None
        for depend in task.depends:
            other = tasks.get(depend.other) if depend.kind == K.CONDITIONAL_BLOCKS else None
            if other is not None and is_unneeded(depend.kind, OtherFacts(other.state)):
                found[other.id] = None
    return list(found)
