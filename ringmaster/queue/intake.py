"""Tasks in: adding and editing them, with their dependencies."""

from __future__ import annotations

import random
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import make_task_id
from ringmaster.model.order import RULES, OrderRules, base_rank
from ringmaster.model.states import TaskState
from ringmaster.model.task import NO_DIFF_TYPES, Task, TaskType
from ringmaster.protocol.task import GuardedMutation, TaskAddParams, TaskDepParams, TaskEditParams
from ringmaster.queue.blockers import count_move
from ringmaster.queue.changes import versions
from ringmaster.queue.dependents import add_dependency, swap_dependencies
from ringmaster.queue.limits import refuse_label_capabilities
from ringmaster.queue.lookup import resolve_task
from ringmaster.store import projects, standings, tasks, workers
from ringmaster.store.connection import Connection
from ringmaster.store.order import arrival_of
from ringmaster.store.tasks import TaskRow

_ID_TRIES = 4
_NO_FIELDS = frozenset({"id", "idempotency_key", "is_draft", "if_state", "if_version"})
"""Parameters of an edit that are no fields of the row."""


def only_project(conn: Connection) -> str:
    """The only project there is, for a task that names none.

    Raises:
        RingmasterError: USAGE when there is none or more than one to choose from.
    """
    known = projects.salvaged_projects(conn)
    if len(known) == 1:
        return known[0].id
    if not known:
        raise RingmasterError(ErrorKind.USAGE, "there is no project yet", "rmctl project add PATH --gate COMMAND")
    names = ", ".join(project.id for project in known[:10])
    raise RingmasterError(ErrorKind.USAGE, f"there are several projects: {names}", "name one with --project")


def add_task(conn: Connection, params: TaskAddParams, *, actor: str, max_attempts: int, rng: random.Random) -> str:
    """Store a task and what it waits for; its id. See `store_task`."""
    return store_task(conn, params, actor=actor, max_attempts=max_attempts, rng=rng).task.id


def store_task(
    conn: Connection,
    params: TaskAddParams,
    *,
    actor: str,
    max_attempts: int,
    rng: random.Random,
    rules: OrderRules = RULES,
) -> TaskRow:
    """Store a task and what it waits for; its row.

    max_attempts: the setting, for a task that names none. rules: of the settings too, for its place in the order.

    Raises:
        RingmasterError: NOT_FOUND for a project or blocker; USAGE without a clear project or title.
    """
    title = params.title.strip()
    if not title:
        raise RingmasterError(ErrorKind.USAGE, "the title is empty", "rmctl add 'what to do'")
    refuse_label_capabilities(params.capabilities)
    project_id = params.project_id or only_project(conn)
    intake = projects.intake_of(conn, project_id)
    new = _new_task(params, title, project_id, intake.agent, max_attempts, conn.now, rules)
    parent_id = resolve_task(conn, params.parent_id) if params.parent_id else ""
    after = [resolve_task(conn, blocker_id) for blocker_id in params.after]
    wishes = [msgspec.structs.replace(wish, id=resolve_task(conn, wish.id)) for wish in params.depends]
    row = _insert_child(conn, new, parent_id) if parent_id else _insert(conn, new, rng, intake.place)
    told: dict[str, Any] = {"title": title, "priority": params.priority, "after": after}
    if params.is_held or params.is_draft or wishes or parent_id or params.type is not TaskType.TASK:
        # Whoever replays the events knows by this what is in its way.
        told |= {
            "type": params.type,
            "is_draft": params.is_draft,
            "is_held": params.is_held,
            "parent_id": parent_id,
            "depends": wishes,
        }
    # Before what comes of its dependencies: an epic is opened again, a task is blocked.
    conn.emit("task.created", project_id=project_id, task_id=row.task.id, actor=actor, data=told)
    if parent_id:
        add_dependency(conn, row.task.id, parent_id, DependencyKind.PARENT_CHILD, is_new=True)
    # A child is waited for by who waits for its parent: only without one can no circle close.
    for blocker_id in after:
        add_dependency(conn, row.task.id, blocker_id, is_new=not parent_id)
    for wish in wishes:
        add_dependency(conn, row.task.id, wish.id, wish.kind, wish.mode, is_new=not parent_id)
    # What it waits for is counted in the row.
    is_alone = not (params.after or params.depends or params.parent_id)
    return row if is_alone else tasks.row_by_id(conn, row.task.id)


def seat_note(conn: Connection, agent: str) -> str:
    """In words that no worker runs this agent; '' when one does, or any will do."""
    if not agent or any(worker.agent == agent for worker in workers.all_workers(conn)):
        return ""
    return f"no worker runs {agent} yet: rmctl worker spawn --agent {shlex.quote(agent)}"


def _new_task(
    params: TaskAddParams,
    title: str,
    project_id: str,
    agent: str,
    max_attempts: int,
    now: float,
    rules: OrderRules,
) -> tasks.NewTask:
    is_diff_needed = params.is_diff_needed
    return tasks.NewTask(
        id="",
        project_id=project_id,
        title=title,
        description=params.description,
        priority=params.priority,
        labels=tuple(dict.fromkeys(params.labels)),
        acceptance=params.acceptance,
        capabilities=tuple(sorted(set(params.capabilities))),
        agent=params.agent or agent,
        model=params.model,
        limits=params.limits,
        max_attempts=params.max_attempts or max_attempts,
        is_diff_needed=params.type not in NO_DIFF_TYPES if is_diff_needed is None else is_diff_needed,
        state=TaskState.DRAFT if params.is_draft else TaskState.OPEN,
        open_blockers=(params.type is TaskType.EPIC) + params.is_held,
        not_before_at=params.not_before_at,
        type=params.type,
        rank=base_rank(params.priority, now, deadline_at=params.deadline_at, rules=rules),
        created_at=now,
        deadline_at=params.deadline_at,
        held_at=now if params.is_held else None,
    )


def _insert_child(conn: Connection, new: tasks.NewTask, parent_id: str) -> TaskRow:
    """Store under the next id below its parent's; making it a child is the caller's."""
    while True:
        named = msgspec.structs.replace(new, id=f"{parent_id}.{standings.take_child_number(conn, parent_id)}")
        seq = tasks.insert_task(conn, named)
        # An imported task may have the id already.
        if seq is not None:
            break
    return TaskRow(tasks.as_stored(named, conn.now), seq, has_open_decision=False)


def _insert(conn: Connection, new: tasks.NewTask, rng: random.Random, place: int) -> TaskRow:
    """Store under a new id, a longer one when that is taken; the row as it was stored, without reading it back."""
    for extra in range(_ID_TRIES):
        named = msgspec.structs.replace(new, id=make_task_id(rng, 5 + extra, place=place))
        seq = tasks.insert_task(conn, named)
        if seq is not None:
            return TaskRow(tasks.as_stored(named, conn.now), seq, has_open_decision=False)
    raise RingmasterError(ErrorKind.INTERNAL, "no free task id was found", "try again")


def edit_task(conn: Connection, params: TaskEditParams, *, actor: str, rules: OrderRules = RULES) -> None:
    """Change the fields that are given. The event keeps what they were. A damaged row is whole afterwards.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE while it is worked on or after it has ended.
    """
    task = tasks.row_by_id(conn, params.id).task
    changes = {
        name: value
        for name in params.__struct_fields__
        if name not in _NO_FIELDS and (value := getattr(params, name)) is not None
    }
    if params.is_draft is not None and (params.is_draft, task.state) in (
        (False, TaskState.DRAFT),
        (True, TaskState.OPEN),
    ):
        changes["state"] = TaskState.DRAFT if params.is_draft else TaskState.OPEN
    if not changes:
        return
    if "capabilities" in changes:
        refuse_label_capabilities(changes["capabilities"])
        changes["capabilities"] = tuple(sorted(set(changes["capabilities"])))
    if changes.get("deadline_at") == 0:
        changes["deadline_at"] = None
    write_edit(conn, task, changes, actor=actor, rules=rules, more={"since": conn.next_seq})


def write_edit(
    conn: Connection,
    task: Task,
    changes: dict[str, Any],
    *,
    actor: str,
    rules: OrderRules = RULES,
    more: Mapping[str, Any],
) -> None:
    """Change these fields, with what follows from them, and say so. more: for the event, see `queue.changes`.

    Raises:
        RingmasterError: WRONG_STATE while it is worked on or after it has ended; CONFLICT for an epic with children.
    """
    edited: Task = msgspec.structs.replace(task, **changes)
    if {"priority", "deadline_at"} & changes.keys():
        arrived_at = arrival_of(conn, task.id)
        rank = base_rank(edited.priority, arrived_at, deadline_at=edited.deadline_at, rules=rules)
        edited = msgspec.structs.replace(edited, rank=rank)
    tasks.update_fields(conn, edited)
    if changes.get("state") is TaskState.OPEN:
        # Before what follows from it: an epic whose children are over is done now.
        conn.emit("task.opened", project_id=task.project_id, task_id=task.id, actor=actor, data={"reason": "released"})
    _follow_edit(conn, task, edited, actor=actor)
    conn.emit(
        "task.edited",
        project_id=task.project_id,
        task_id=task.id,
        actor=actor,
        data={
            "before": {name: getattr(task, name) for name in changes},
            "after": changes,
            **versions(conn, task),
            **more,
        },
    )


def _follow_edit(conn: Connection, task: Task, edited: Task, *, actor: str) -> None:
    """What an edit means for what is in the task's way, and in the way of others."""
    is_epic = edited.type == TaskType.EPIC
    if is_epic != (task.type == TaskType.EPIC):
        if task.children:
            raise RingmasterError(
                ErrorKind.CONFLICT,
                f"{task.id} has {task.children} children, so it cannot {'become' if is_epic else 'stop being'} an epic",
                f"rmctl task show {task.id}",
            )
        standings.shift_blockers(conn, task.id, 1 if is_epic else -1)
    if edited.state is not task.state or is_epic:
        count_move(conn, task.id, task.state, edited.state, actor=actor)


def check_guard(task: Task, params: GuardedMutation) -> None:
    """Refuse a change that was meant for another state of the row.

    Raises:
        RingmasterError: CONFLICT.
    """
    if params.if_version is not None and params.if_version != task.version:
        words = f"is of version {task.version}, not {params.if_version}"
    elif params.if_state and task.state not in params.if_state:
        words = f"is {task.state}, not {' or '.join(params.if_state)}"
    else:
        return
    raise RingmasterError(
        ErrorKind.CONFLICT, f"task {task.id} {words}; nothing was changed", f"rmctl task show {task.id}"
    )


def change_dependencies(conn: Connection, task_id: str, params: TaskDepParams, *, actor: str) -> str:
    """Change what a task waits for; in words what changed.

    Raises:
        RingmasterError: NOT_FOUND; CONFLICT for a cycle; WRONG_STATE when the task has ended or is worked on.
    """
    task = tasks.task_by_id(conn, task_id)
    if task.state not in (TaskState.DRAFT, TaskState.OPEN, TaskState.FAILED):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"task {task_id} is {task.state}, so what it waits for cannot change",
            f"rmctl task show {task_id}",
        )
    removing = [resolve_task(conn, other) for other in params.remove]
    adding = [(resolve_task(conn, other), str(params.mode)) for other in params.add]
    more = {"since": conn.next_seq}
    added, removed = swap_dependencies(conn, task, params.kind, removing, adding, actor=actor, more=more)
    return f"waits for {added} more and {removed} less" if added or removed else "nothing changed"
