"""Takes over the tasks of the original system, with their ids, in one transaction."""

from __future__ import annotations

import os.path
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import ImportedTask, Translation, circle_words, drop_circles, iter_circles, project_word
from ringmaster.model.order import base_rank
from ringmaster.model.project import Project
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, TaskType
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from ringmaster.queue.blockers import complete_task
from ringmaster.queue.decide import open_decision
from ringmaster.store import dependencies, projects, standings, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.original import OldProject

NOTES_SHOWN = 200
LEFT_OUT = "-"
MOST_ROWS = 100_000
"""Tasks and dependencies of one import: some seconds in one transaction, in which nobody else can write."""


class Plan(msgspec.Struct, frozen=True):
    """What an import would do, before it does it. tasks: new ones. projects: names here by old id. known: ids that
    are there already."""

    tasks: tuple[ImportedTask, ...]
    projects: dict[str, str]
    known: frozenset[str]
    told: TaskImported


def plan_import(
    conn: Connection, translation: Translation, old_projects: Sequence[OldProject], params: TaskImportParams
) -> Plan:
    """What would be new, and in which project. Only reads.

    Raises:
        RingmasterError: USAGE when a project of the original has none here; CONFLICT for a circle of dependencies,
            which is named.
    """
    names = _choose_projects(conn, translation.tasks, old_projects, params)
    notes = list(translation.notes)
    wanted = [task for task in translation.tasks if names[task.old_project] != LEFT_OUT]
    if left_out := len(translation.tasks) - len(wanted):
        notes.append(f"left out: {left_out} tasks of projects that were not wanted")
    known = {task.id for task in wanted if tasks.is_known(conn, task.id)}
    present = known | {task.id for task in wanted}
    new = []
    for task in wanted:
        if task.id in known:
            title = tasks.title_of(conn, task.id)
            if title != task.title:
                # Edited since, or somebody else's by chance: only a person can tell.
                notes.append(f"not taken: {task.id} is there already, as {title[:60]!r}")
            continue
        notes += [f"left out: {task.id} waits for {id}, which was not wanted" for id in task.after if id not in present]
        new.append(msgspec.structs.replace(task, after=tuple(id for id in task.after if id in present)))
    if params.is_dropping_circles:
        new, dropped = drop_circles(new)
        notes += dropped
    elif circle := next(iter_circles((task.id, blocker) for task in new for blocker in task.after), None):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"tasks there wait for each other in a circle: {circle_words(circle)}",
            "--drop-circles leaves out the dependency that closes each",
        )
    _refuse_too_many(len(new) + sum(len(task.after) for task in new))
    told = TaskImported(
        is_dry_run=params.is_dry_run,
        new=len(new),
        there_already=len(known),
        states=dict(sorted(Counter(str(task.state) for task in new).items())),
        dependencies=sum(len(task.after) for task in new),
        decisions=sum(len(task.questions) for task in new),
        projects={_called(id, old_projects): name for id, name in names.items()},
        notes=tuple(notes[:NOTES_SHOWN]),
        more_notes=max(0, len(notes) - NOTES_SHOWN),
    )
    return Plan(tuple(new), names, frozenset(known), told)


def _refuse_too_many(rows: int) -> None:
    if rows > MOST_ROWS:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{rows} tasks and dependencies are too many at once; {MOST_ROWS} is the most",
            "take some projects first: --map 'NAME=-' leaves one out",
        )


def store_import(conn: Connection, plan: Plan, *, actor: str, max_attempts: int, rng: random.Random) -> TaskImported:
    """Store what is new; a second time there is nothing new, and nothing changes.

    max_attempts: the setting, for a task that names none.
    """
    for task in plan.tasks:
        _store(conn, task, plan.projects[task.old_project], actor=actor, max_attempts=max_attempts)
    # Ended ones first: what waits for a task that is done waits for nothing.
    for task in plan.tasks:
        project_id = plan.projects[task.old_project]
        if task.state is TaskState.DONE:
            complete_task(conn, task.id, project_id=project_id, old=TaskState.OPEN, done_by="import", actor=actor)
        elif task.state is TaskState.FAILED:
            tasks.move_task(conn, task.id, TaskState.OPEN, TaskState.FAILED)
            conn.emit("task.failed", project_id=project_id, task_id=task.id, actor=actor, data={"reason": "import"})
    done = {task.id for task in plan.tasks if task.state is TaskState.DONE}
    for task in plan.tasks:
        for blocker_id in task.after:
            _wait_for(conn, task.id, blocker_id, is_done=blocker_id in done or _is_done(conn, blocker_id, plan))
        for asked in task.questions:
            open_decision(
                conn,
                DecisionKind.QUESTION,
                project_id=plan.projects[task.old_project],
                task_id=task.id,
                question=asked.question,
                detail=asked.detail,
                options=asked.options,
                rng=rng,
            )
    return plan.told


def _store(conn: Connection, task: ImportedTask, project_id: str, *, actor: str, max_attempts: int) -> None:
    is_ended = task.state in (TaskState.DONE, TaskState.FAILED)
    new = tasks.NewTask(
        id=task.id,
        project_id=project_id,
        title=task.title,
        description=task.description,
        priority=task.priority,
        labels=task.labels,
        acceptance=task.acceptance,
        capabilities=task.capabilities,
        agent=projects.intake_of(conn, project_id).agent,
        model="",
        limits=Limits(),
        max_attempts=task.max_attempts or max_attempts,
        is_diff_needed=True,
        state=TaskState.OPEN if is_ended else task.state,
        open_blockers=0,
        not_before_at=task.not_before_at,
        type=TaskType.TASK,
        rank=base_rank(task.priority, conn.now),
        created_at=conn.now,
    )
    # It was not there a moment ago, in this same transaction.
    assert tasks.insert_task(conn, new) is not None, task.id
    conn.emit(
        "task.created",
        project_id=project_id,
        task_id=task.id,
        actor=actor,
        data={"title": task.title, "priority": task.priority, "after": task.after},
    )


def _wait_for(conn: Connection, task_id: str, blocker_id: str, *, is_done: bool) -> None:
    """A dependency of a plan, which has no circle: to look for one at each would take a minute for ten thousand."""
    kind = DependencyKind.BLOCKS
    if dependencies.insert_dependency(conn, task_id, blocker_id, kind=kind, is_open=not is_done) and not is_done:
        standings.shift_blockers(conn, task_id, 1)


def _is_done(conn: Connection, task_id: str, plan: Plan) -> bool:
    return task_id in plan.known and tasks.task_by_id(conn, task_id).state is TaskState.DONE


def _choose_projects(
    conn: Connection, wanted: Iterable[ImportedTask], old: Sequence[OldProject], params: TaskImportParams
) -> dict[str, str]:
    """The name here of each old project that has tasks.

    A person's word comes first, then the same name, then the same repository, then the only one there is.
    """
    here = projects.salvaged_projects(conn)
    known = {project.id for project in here}
    for name in {*params.projects.values(), params.project_id} - {"", LEFT_OUT}:
        if name not in known:
            raise RingmasterError(ErrorKind.NOT_FOUND, f"no project {name[:60]!r}", "rmctl project list")
    by_id = {project.id: project for project in old}
    ids = list(dict.fromkeys(task.old_project for task in wanted))
    chosen: dict[str, str] = {}
    for id in ids:
        there = by_id.get(id, OldProject(id, id, ""))
        name = _named(there, params.projects) or params.project_id or _alike(there, here)
        if not name and len(here) == 1 and len(ids) == 1:
            name = here[0].id
        if not name:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"no project here is {there.name or id!r} of the original",
                f"rmctl project add PATH, then --map '{there.name or id}=PROJECT'; '=-' leaves it out",
            )
        chosen[id] = name
    return chosen


def _named(there: OldProject, given: Mapping[str, str]) -> str:
    return given.get(there.name) or given.get(there.id) or ""


def _alike(there: OldProject, here: Sequence[Project]) -> str:
    word, place = project_word(there.name), there.place.removeprefix("file://").rstrip("/")
    base = os.path.basename(place).removesuffix(".git")
    tests: tuple[Callable[[Project], bool], ...] = (
        lambda project: project.id == word,
        lambda project: bool(place) and project.path == place,
        lambda project: bool(base) and os.path.basename(project.path).removesuffix(".git") == base,
    )
    for is_it in tests:
        found = [project.id for project in here if is_it(project)]
        if len(found) == 1:
            return found[0]
    return ""


def _called(id: str, old: Sequence[OldProject]) -> str:
    return next((project.name for project in old if project.id == id and project.name), id)
