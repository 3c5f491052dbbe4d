"""Takes over the tasks of another system, with their ids, in one transaction."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import ImportedTask, Translation
from ringmaster.model.importing_graph import (
    Counts,
    Edge,
    Graph,
    Point,
    Steps,
    count_up,
    drop_circles,
    relate,
    settling,
)
from ringmaster.model.order import RULES, OrderRules
from ringmaster.model.states import TaskState
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from ringmaster.queue.blockers import spread
from ringmaster.queue.circles import needs
from ringmaster.queue.decide import open_decision
from ringmaster.queue.dependents import add_dependency
from ringmaster.queue.importing_known import changed_fields
from ringmaster.queue.importing_projects import LEFT_OUT, choose_projects, name_there
from ringmaster.store import comments, dependencies, imported, projects, standings, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.imported import Placed
from ringmaster.store.original import OldProject

K = DependencyKind
NOTES_SHOWN = 200
MOST_ROWS = 100_000
"""Tasks and dependencies of one import: some seconds in one transaction, in which nobody else can write."""

_encode = msgspec.json.Encoder().encode
_DONE = {"done_by": "import", "commit": ""}
_NUMBERED = re.compile(r"(.+)-[0-9]+")


class Plan(msgspec.Struct, frozen=True):
    """What an import would do, before it does it: all that can be made ready, so that the transaction is short.

    tasks: new ones. projects: names here by old id. known: ids that are there already. counts: of the new tasks, what
    their rows count. events: of each, what is told. is_for_now: it looked at what may have changed a moment later.
    told: the answer.
    """

    tasks: dict[str, ImportedTask]
    projects: dict[str, str]
    known: frozenset[str]
    counts: dict[str, Counts]
    events: dict[str, msgspec.Raw]
    is_for_now: bool
    told: TaskImported

    def is_still_so(self, conn: Connection) -> bool:
        """Whether nothing has come since that the plan took for new. What is there never goes."""
        return not self.is_for_now and not imported.known_ids(conn, self.tasks)


def plan_import(
    conn: Connection, translation: Translation, old_projects: Sequence[OldProject], params: TaskImportParams
) -> Plan:
    """What would be new, and in which project. Only reads.

    Raises:
        RingmasterError: USAGE when a project of the original has none here; CONFLICT for a circle of dependencies,
            which is named; REFUSED when it is too much at once.
    """
    names = choose_projects(conn, translation.tasks, old_projects, params, has_projects=translation.has_projects)
    notes = list(translation.notes)
    wanted = [task for task in translation.tasks if names[task.old_project] != LEFT_OUT]
    if left_out := len(translation.tasks) - len(wanted):
        notes.append(f"left out: {left_out} tasks of projects that were not wanted")
    known = imported.known_ids(conn, (task.id for task in wanted))
    notes += translation.tally.lines(known)
    changed = changed_fields(conn, (task for task in wanted if task.id in known), notes)
    new = _present(conn, [task for task in wanted if task.id not in known], translation, notes)
    known_steps = _known_steps(conn, new)
    new, dropped = drop_circles(new, known_steps, is_dropping=params.is_dropping_circles)
    notes += dropped
    edges = sum(len(task.depends) for task in new)
    _refuse_too_many(len(new) + edges)
    by_id = {task.id: task for task in new}
    told = TaskImported(
        is_dry_run=params.is_dry_run,
        new=len(new),
        there_already=len(known),
        changed_there=changed,
        states=dict(sorted(Counter(str(task.state) for task in new).items())),
        dependencies=edges,
        decisions=sum(len(task.questions) for task in new),
        comments=sum(len(task.comments) for task in new),
        projects={name_there(id, old_projects): name for id, name in names.items()},
        notes=tuple(notes[:NOTES_SHOWN]),
        more_notes=max(0, len(notes) - NOTES_SHOWN),
    )
    events = {task.id: _event_of(task) for task in new}
    return Plan(by_id, names, frozenset(known), count_up(by_id), events, known_steps is not None, told)


def _present(
    conn: Connection, new: Iterable[ImportedTask], translation: Translation, notes: list[str]
) -> list[ImportedTask]:
    """The tasks that can be stored, with those of their dependencies whose other end is or will be there."""
    new = [task for task in new if not _is_taken_for_another(conn, task, notes)]
    present = {task.id for task in new}
    there = {task.id for task in translation.tasks}
    kept = []
    for task in new:
        missing = [
            depend for depend in task.depends if depend.other not in present and not tasks.is_known(conn, depend.other)
        ]
        for depend in missing:
            why = "which was not wanted" if depend.other in there else f"and there is no {depend.other}"
            words = "waits for" if depend.kind == K.BLOCKS else f"has {depend.kind} on"
            notes.append(f"left out: {task.id} {words} {depend.other}, {why}")
        if missing:
            task = msgspec.structs.replace(task, depends=tuple(d for d in task.depends if d not in missing))
        kept.append(_without_unneeded(conn, task, present, notes))
    return kept


def _without_unneeded(conn: Connection, task: ImportedTask, present: set[str], notes: list[str]) -> ImportedTask:
    """What would be done only if a task here failed, and that one is done: a person may want it all the same."""
    if not any(depend.kind == K.CONDITIONAL_BLOCKS for depend in task.depends):
        return task
    over = {
        Edge(task.id, depend.other, depend.kind)
        for depend in task.depends
        if depend.kind == K.CONDITIONAL_BLOCKS
        and depend.other not in present
        and standings.standing_of(conn, depend.other).state is TaskState.DONE
    }
    notes.extend(f"kept as related: {task.id} is for the failure of {edge.other_id}, which is done" for edge in over)
    return relate(task, over)


def _is_taken_for_another(conn: Connection, task: ImportedTask, notes: list[str]) -> bool:
    """Whether its workspace and branch would have the names that another's second attempt has."""
    found = _NUMBERED.fullmatch(task.id)
    if found is None or "-" not in found[1] or not tasks.is_known(conn, found[1]):
        return False
    notes.append(f"left out: {task.id} is what attempts of {found[1]} are called")
    return True


def _known_steps(conn: Connection, new: Iterable[ImportedTask]) -> Any:
    """How to go on from a task that is there already; None when no circle can lead through one."""
    ids = {task.id for task in new}
    is_any = any(depend.kind == K.PARENT_CHILD and depend.other not in ids for task in new for depend in task.depends)

    def steps(point: Point, graph: Graph) -> Steps:
        for needed in needs(conn, point):
            yield needed, None
        if point[1]:
            yield from graph.child_steps(point[0])
        else:
            for gate in dependencies.gates_of(conn, point[0]):
                if gate.kind == K.WAITS_FOR:
                    yield from graph.child_steps(gate.blocker_id)

    return steps if is_any else None


def _refuse_too_many(rows: int) -> None:
    if rows > MOST_ROWS:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{rows} tasks and dependencies are too many at once; {MOST_ROWS} is the most",
            "take some projects first: --map 'NAME=-' leaves one out",
        )


def store_import(
    conn: Connection,
    plan: Plan,
    *,
    actor: str,
    max_attempts: int,
    rng: random.Random,
    rules: OrderRules = RULES,
) -> TaskImported:
    """Store what is new; a second time there is nothing new, and nothing changes.

    max_attempts: the setting, for a task that names none. rules: of the settings too, for their places in the order.
    """
    agents = {name: projects.intake_of(conn, name).agent for name in set(plan.projects.values()) - {LEFT_OUT}}
    placed = {}
    for task in plan.tasks.values():
        project_id = plan.projects[task.old_project]
        placed[task.id] = Placed(project_id, task.agent or agents[project_id], task.max_attempts or max_attempts)
    imported.insert_tasks(conn, plan.tasks.values(), placed, plan.counts, rules)
    for task in plan.tasks.values():
        _tell(conn, task, plan.events[task.id], placed[task.id].project_id, actor=actor)
        if task.comments:
            comments.insert_comments(conn, task.id, task.comments)
    for task in plan.tasks.values():
        for depend in task.depends:
            if depend.other not in plan.tasks:
                # Looked through for circles with the plan.
                add_dependency(conn, task.id, depend.other, depend.kind, depend.mode, is_new=True)
    spread(conn, settling(plan.tasks, plan.counts), actor=actor)
    for task in plan.tasks.values():
        for asked in task.questions:
            open_decision(
                conn,
                DecisionKind.QUESTION,
                project_id=placed[task.id].project_id,
                task_id=task.id,
                question=asked.question,
                detail=asked.detail,
                options=asked.options,
                rng=rng,
            )
    return plan.told


def _event_of(task: ImportedTask) -> msgspec.Raw:
    """What a reader of events is told of a task: as of one that is added."""
    parent_id = next((depend.other for depend in task.depends if depend.kind == K.PARENT_CHILD), "")
    further = [
        {"id": depend.other, "kind": depend.kind, "mode": depend.mode}
        for depend in task.depends
        if depend.kind not in (K.BLOCKS, K.PARENT_CHILD)
    ]
    told: Mapping[str, Any] = {
        "title": task.title,
        "priority": task.priority,
        "after": task.after,
        "type": task.type,
        "is_draft": task.state is TaskState.DRAFT,
        "is_held": task.is_held,
        "parent_id": parent_id,
        "depends": further,
        "is_imported": True,
    }
    return msgspec.Raw(_encode(told))


def _tell(conn: Connection, task: ImportedTask, told: msgspec.Raw, project_id: str, *, actor: str) -> None:
    """The events by which a reader knows what has come: as of a task that is added, and ended."""
    conn.emit("task.created", project_id=project_id, task_id=task.id, actor=actor, data=told)
    if task.state is TaskState.DONE:
        conn.emit("task.done", project_id=project_id, task_id=task.id, actor=actor, data=_DONE)
    elif task.state in (TaskState.FAILED, TaskState.CANCELLED):
        conn.emit(f"task.{task.state}", project_id=project_id, task_id=task.id, actor=actor, data={"reason": "import"})
