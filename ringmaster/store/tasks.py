"""Rows of tasks and of the demands they make on a seat."""

from __future__ import annotations

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import TASK_MOVES, TaskState, check_move
from ringmaster.model.task import Limits, Task
from ringmaster.store.connection import Connection, Row, Value
from ringmaster.store.labels import demand_of
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("tasks")
decode_task = decoder(Task, "labels", "acceptance", "capabilities", "limits")
_FIELDS = len(Task.__struct_fields__)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a damaged row raises."""


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a task that is about to be stored; the store gives it its place.

    created_at: now, but for a task that another system had before.
    """

    id: str
    project_id: str
    title: str
    description: str
    priority: int
    labels: tuple[str, ...]
    acceptance: tuple[str, ...]
    capabilities: tuple[str, ...]
    agent: str
    model: str
    limits: Limits
    max_attempts: int
    is_diff_needed: bool
    state: TaskState
    open_blockers: int
    not_before_at: float | None
    type: str
    rank: int
    created_at: float
    deadline_at: float | None = None
    held_at: float | None = None


class TaskRow(msgspec.Struct, frozen=True):
    """A task with its place in order of arrival and whether a person is asked about it, for looking at.

    unread: fields of a damaged row that could not be read and hold their defaults.
    """

    task: Task
    seq: int
    has_open_decision: bool
    unread: tuple[str, ...] = ()


class OpenWork(msgspec.Struct, frozen=True):
    """Open tasks by what keeps them; what is neither of these is blocked by other tasks."""

    ready: int
    scheduled: int
    waiting: int


def find_demand(conn: Connection, project_id: str, agent: str, capabilities: tuple[str, ...]) -> int:
    """The id of a demand, made when nobody made the same one before."""
    key = (project_id, agent, encode_json(sorted(set(capabilities))))
    found = conn.value(queries.demand_id, key)
    return int(found if found is not None else conn.value(queries.insert_demand, key))


def insert_task(conn: Connection, new: NewTask) -> int | None:
    """Store a new task and return its place; None when the id is taken, and then nothing is stored."""
    values: dict[str, Value] = {
        **_field_values(new),
        "project_id": new.project_id,
        "demand": encode_json(demand_of(conn, new.capabilities, new.labels)),
        "open_blockers": new.open_blockers,
        "not_before_at": new.not_before_at,
        "held_at": new.held_at,
        "created_at": new.created_at,
        "now": conn.now,
    }
    if not conn.execute(queries.insert, values):
        # The first of its demand, or a taken id: the usual case is neither, and costs one statement.
        find_demand(conn, new.project_id, new.agent, demand_of(conn, new.capabilities, new.labels))
        if not conn.execute(queries.insert, values):
            return None
    return conn.inserted_rowid


def as_stored(new: NewTask, now: float) -> Task:
    """The row of a task that was just stored."""
    return Task(
        id=new.id,
        project_id=new.project_id,
        title=new.title,
        description=new.description,
        priority=new.priority,
        labels=new.labels,
        acceptance=new.acceptance,
        capabilities=new.capabilities,
        agent=new.agent,
        model=new.model,
        limits=new.limits,
        max_attempts=new.max_attempts,
        is_diff_needed=new.is_diff_needed,
        state=new.state,
        open_blockers=new.open_blockers,
        not_before_at=new.not_before_at,
        attempt_number=0,
        counted_attempts=0,
        streak=0,
        done_by="",
        landed_commit="",
        version=1,
        created_at=new.created_at,
        updated_at=now,
        type=new.type,
        rank=new.rank,
        deadline_at=new.deadline_at,
        held_at=new.held_at,
    )


def _field_values(task: NewTask | Task) -> dict[str, Value]:
    return {
        "id": task.id,
        "title": task.title,
        "description": task.description,
        "priority": task.priority,
        "labels": encode_json(task.labels),
        "acceptance": encode_json(task.acceptance),
        "capabilities": encode_json(task.capabilities),
        "agent": task.agent,
        "model": task.model,
        "limits": encode_json(task.limits),
        "max_attempts": task.max_attempts,
        "is_diff_needed": int(task.is_diff_needed),
        "state": str(task.state),
        "type": str(task.type),
        "rank": task.rank,
        "deadline_at": task.deadline_at,
    }


def update_fields(conn: Connection, task: Task) -> None:
    """Write the fields a person may change.

    Raises:
        RingmasterError: WRONG_STATE when the task is not draft, open or failed any more.
    """
    values = _field_values(task)
    asked = demand_of(conn, task.capabilities, task.labels)
    values["demand_id"] = find_demand(conn, task.project_id, task.agent, asked)
    values["now"] = conn.now
    if not conn.execute(queries.update_fields, values):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"task {task.id} is {task.state} and cannot be edited",
            "edit it while it is draft, open or failed",
        )


def is_known(conn: Connection, task_id: str) -> bool:
    """Whether a task of this id is there."""
    return conn.value(queries.seq_of, (task_id,)) is not None


def title_of(conn: Connection, task_id: str) -> str:
    """The title of a task that is there."""
    return str(conn.value(queries.title_of, (task_id,)))


def task_by_id(conn: Connection, task_id: str) -> Task:
    """The task of this id.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.by_id, (task_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no task {task_id}", "rmctl task list --all")
    return decode_task(row)


def _to_row(row: Row) -> TaskRow:
    try:
        return TaskRow(decode_task(row[:_FIELDS]), row[_FIELDS], bool(row[_FIELDS + 1]))
    except UNREADABLE:
        task, unread = decode_task.salvage(row[:_FIELDS])
        return TaskRow(task, row[_FIELDS], bool(row[_FIELDS + 1]), unread)


def row_by_seq(conn: Connection, seq: int) -> TaskRow:
    """The task at a place that is known to be taken. A damaged one is salvaged."""
    row = conn.row(queries.view_by_seq, (seq,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no task at place {seq}", "rmctl task list --all")
    return _to_row(row)


def row_by_id(conn: Connection, task_id: str) -> TaskRow:
    """The task of this id with its place. A damaged one is salvaged.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.view_by_id, (task_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no task {task_id}", "rmctl task list --all")
    return _to_row(row)


def open_rows_after(conn: Connection, rank: int, seq: int, limit: int) -> list[TaskRow]:
    """What has not ended, in the order of work, after a place in it; -1 is before the first."""
    return [_to_row(row) for row in conn.rows(queries.open_after, {"rank": rank, "seq": seq, "limit": limit})]


def rows_of_state_after(conn: Connection, state: str, project_id: str, seq: int, limit: int) -> list[TaskRow]:
    """A project's tasks of one state in order of arrival, after a place in it."""
    values: dict[str, Value] = {"state": state, "project_id": project_id, "seq": seq, "limit": limit}
    return [_to_row(row) for row in conn.rows(queries.of_state_after, values)]


def all_rows_after(conn: Connection, seq: int, limit: int) -> list[TaskRow]:
    """Everything in order of arrival, after a place in it."""
    return [_to_row(row) for row in conn.rows(queries.all_after, {"seq": seq, "limit": limit})]


def move_task(conn: Connection, task_id: str, old: TaskState, new: TaskState) -> None:
    """Move a task along one legal edge.

    Raises:
        RingmasterError: WRONG_STATE for an edge the table does not have, or a row that is not in `old`.
    """
    check_move(TASK_MOVES, "task", task_id, old, new)
    if not conn.execute(queries.move, {"id": task_id, "old": str(old), "new": str(new), "now": conn.now}):
        actual = task_by_id(conn, task_id).state
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"task {task_id} is {actual}, not {old}", f"rmctl task show {task_id}"
        )


def release_due(conn: Connection) -> None:
    """Let what has become due take part."""
    conn.execute(queries.release_due, {"now": conn.now})


def quarantine_task(conn: Connection, task_id: str) -> bool:
    """Any state that has not ended -> failed, whatever else the row holds; False when it had ended."""
    return conn.execute(queries.quarantine, {"id": task_id, "now": conn.now}) > 0


def count_open_work(conn: Connection) -> OpenWork:
    """How many open tasks are ready, scheduled and waiting for a person. Reads indexes only."""
    later, due = conn.rows(queries.count_scheduled, {"now": conn.now})[0]
    return OpenWork(
        ready=conn.value(queries.count_ready) + due, scheduled=later, waiting=conn.value(queries.count_waiting)
    )


def next_due_at(conn: Connection) -> float | None:
    """When the next task that waits for a time may run, unix seconds."""
    due: float | None = conn.value(queries.next_due_at)
    return due


def settle_task(
    conn: Connection,
    task_id: str,
    *,
    state: TaskState,
    counted_attempts: int,
    streak: int,
    not_before_at: float | None,
    failure: str = "",
    same_failures: int = 0,
) -> None:
    """What an ended attempt makes of its task. failure, same_failures: see `model.failure`.

    Raises:
        RingmasterError: WRONG_STATE when the task is not live.
    """
    values: dict[str, Value] = {
        "id": task_id,
        "new": str(state),
        "counted_attempts": counted_attempts,
        "streak": streak,
        "failure": failure,
        "same_failures": same_failures,
        "not_before_at": not_before_at,
        "now": conn.now,
    }
    if not conn.execute(queries.settle, values):
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"task {task_id} has no live attempt", f"rmctl task show {task_id}"
        )


def finish_task(conn: Connection, task_id: str, *, old: TaskState, done_by: str, landed_commit: str = "") -> None:
    """Move a task from `old` to `done`; from `running` it passes through `validating` in the same step.

    Raises:
        RingmasterError: WRONG_STATE for an edge the table does not have, or a row that is not in `old`.
    """
    if old is TaskState.RUNNING:
        check_move(TASK_MOVES, "task", task_id, old, TaskState.VALIDATING)
        check_move(TASK_MOVES, "task", task_id, TaskState.VALIDATING, TaskState.DONE)
    else:
        check_move(TASK_MOVES, "task", task_id, old, TaskState.DONE)
    values: dict[str, Value] = {
        "id": task_id,
        "old": str(old),
        "done_by": done_by,
        "landed_commit": landed_commit,
        "now": conn.now,
    }
    if not conn.execute(queries.finish, values):
        actual = task_by_id(conn, task_id).state
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"task {task_id} is {actual}, not {old}", f"rmctl task show {task_id}"
        )


def forget_failure(conn: Connection, task_id: str) -> None:
    """Count the same failure from the beginning again: a person has said something about the task."""
    conn.execute(queries.forget_failure, (task_id,))


def requeue_task(conn: Connection, task_id: str) -> bool:
    """open, failed or cancelled -> open, now, with no attempts counted; False in any other state."""
    return conn.execute(queries.requeue, {"id": task_id, "now": conn.now}) > 0
