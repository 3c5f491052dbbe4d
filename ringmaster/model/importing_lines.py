"""Ringmaster's own format of tasks in a file: a JSON object a line, with every field. Pure. See docs/from-beads.md."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ringmaster.model.beads import digest_of, read_records
from ringmaster.model.comment import Comment
from ringmaster.model.dependency import ALL_CHILDREN, WAIT_MODES, DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import is_task_id
from ringmaster.model.importing import ImportedDependency, ImportedTask, Tally, Translation
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, TaskType

SOURCE = "jsonl"
FORMAT = 1
WAS = "ringmaster_was"
"""Among the fields of an imported task: what its line said that is not so here, because it was not done here."""

LIVE_STATES = frozenset({TaskState.RUNNING, TaskState.VALIDATING, TaskState.LANDING})
Words = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=10_000)], ...], msgspec.Meta(max_length=200)]


class Was(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a task elsewhere. state: when it was at work there."""

    done_by: str = ""
    landed_commit: str = ""
    state: str = ""
    attempt_number: int = 0
    counted_attempts: int = 0
    updated_at: float = 0.0


class Besides(msgspec.Struct, frozen=True, kw_only=True):
    """What yet another system knew of it."""

    source: str
    fields: dict[str, Any]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One task. project_id: where it was; `--map` says where it goes."""

    format: int
    id: str
    project_id: str
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    description: Annotated[str, msgspec.Meta(max_length=1_000_000)] = ""
    priority: Annotated[int, msgspec.Meta(ge=0, le=4)] = 2
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=50)] = TaskType.TASK
    labels: Words = ()
    acceptance: Words = ()
    capabilities: Words = ()
    agent: str = ""
    model: str = ""
    limits: Limits = Limits()
    max_attempts: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    is_diff_needed: bool = True
    state: TaskState
    not_before_at: float | None = None
    deadline_at: float | None = None
    is_held: bool = False
    created_at: float = 0.0
    depends: tuple[ImportedDependency, ...] = ()
    comments: tuple[Comment, ...] = ()
    was: Was = Was()
    imported: Besides | None = None


def translate_lines(data: bytes, now: float) -> Translation:
    """Tasks from the text of a file in our own format.

    Raises:
        RingmasterError: USAGE naming the line that is none of ours.
    """
    tally = Tally()
    tasks: dict[str, ImportedTask] = {}
    for number, text, record in read_records(data):
        line = _line(record, number)
        if line.id in tasks:
            tally.add("left out: a second one of the same id", line.id)
            continue
        if line.state in LIVE_STATES:
            tally.add("open again: it was under way there, and nobody works on it here", line.id)
        tasks[line.id] = _to_task(line, digest_of(text), now)
    return Translation(tuple(tasks.values()), tally=tally)


def _line(record: dict[str, Any], number: int) -> Line:
    try:
        line = msgspec.convert(record, Line)
    except msgspec.ValidationError as error:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"line {number} of the file is no task of ours: {str(error)[:160]}",
            "rmctl task import beads, for what a beads repository has",
        ) from error
    if line.format != FORMAT or not is_task_id(line.id):
        what = f"{line.id[:60]!r} cannot be the id of a task" if line.format == FORMAT else f"format {line.format}"
        raise RingmasterError(
            ErrorKind.USAGE, f"line {number} of the file cannot be taken: {what}", "use a newer rmctl"
        )
    return line


def _to_task(line: Line, digest: str, now: float) -> ImportedTask:
    state = TaskState.OPEN if line.state in LIVE_STATES else line.state
    # What was cancelled waits for it once it is open again.
    is_later = state not in (TaskState.DONE, TaskState.FAILED) and (line.not_before_at or 0.0) > now
    besides = line.imported or Besides(source=SOURCE, fields={})
    was = msgspec.structs.replace(line.was, state=str(line.state)) if line.state in LIVE_STATES else line.was
    fields = dict(besides.fields)
    if was != Was():
        fields[WAS] = was
    return ImportedTask(
        id=line.id,
        old_project=line.project_id,
        title=line.title,
        description=line.description,
        priority=line.priority,
        labels=line.labels,
        acceptance=line.acceptance,
        capabilities=tuple(sorted(set(line.capabilities))),
        max_attempts=line.max_attempts,
        state=state,
        not_before_at=line.not_before_at if is_later else None,
        depends=_depends(line),
        type=line.type,
        deadline_at=line.deadline_at,
        is_held=line.is_held,
        is_diff_needed=line.is_diff_needed,
        agent=line.agent,
        model=line.model,
        limits=line.limits,
        comments=line.comments,
        created_at=line.created_at,
        source=besides.source,
        fields=msgspec.json.encode(fields).decode(),
        digest=digest,
    )


def _depends(line: Line) -> tuple[ImportedDependency, ...]:
    found: dict[tuple[str, str], ImportedDependency] = {}
    for one in line.depends:
        mode = ""
        if one.kind == DependencyKind.WAITS_FOR:
            mode = one.mode if one.mode in WAIT_MODES else ALL_CHILDREN
        # There is one parent: a second one could not be stored.
        key = ("", one.kind) if one.kind == DependencyKind.PARENT_CHILD else (one.other, one.kind)
        if one.other not in ("", line.id):
            found.setdefault(key, ImportedDependency(one.other, one.kind, mode))
    return tuple(found.values())
