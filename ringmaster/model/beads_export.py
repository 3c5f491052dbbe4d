"""From tasks to records of a beads repository; what a bead has no words for is said beside it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from ringmaster.model.beads import CLOSED, OURS, Ours, Record, comments_of, dependency_of, derived_fields, to_task
from ringmaster.model.comment import Comment
from ringmaster.model.dependency import ANY_CHILD, DependencyKind
from ringmaster.model.importing import ImportedDependency, ImportedTask, Tally, iso_time
from ringmaster.model.importing_lines import LIVE_STATES
from ringmaster.model.states import TaskState
from ringmaster.model.task import Task

K = DependencyKind
_ORDER: tuple[str, ...] = (
    "_type",
    "id",
    "title",
    "description",
    "design",
    "acceptance_criteria",
    "notes",
    "status",
    "priority",
)
_ORDER += ("issue_type", "assignee", "created_at", "updated_at", "closed_at", "close_reason", "labels", "dependencies")
_DONE_WORDS = {"landed": "Landed", "children": "Every child is done", "unneeded": "Not needed", "person": "Closed"}


def to_record(
    task: Task,
    fields: Mapping[str, Any],
    depends: Sequence[ImportedDependency],
    comments: Sequence[Comment],
    *,
    related: Iterable[tuple[str, str]] = (),
    is_known: Callable[[str], bool],
    max_attempts: int,
    now: float,
) -> Record:
    """The record of a task: what came with it, where nothing here has made it untrue.

    fields: of its own record, what no column holds. related: what of its record is kept as `related`. is_known: whether
    a task of this id is here. max_attempts: the setting, which is not said.
    """
    related = set(related)
    record: Record = {"id": task.id}
    design, notes = fields.get("design"), fields.get("notes")
    record |= derived_fields(task.title, task.description, task.priority, task.type, task.labels, design, notes)
    record |= fields
    record.setdefault("created_at", iso_time(task.created_at))
    if task.version > 1 or "updated_at" not in record:
        record["updated_at"] = iso_time(task.updated_at)
    said = to_task(record, now, Tally())
    _mend_fields(record, said, task)
    _mend_state(record, said, task)
    _mend_dependencies(record, depends, related, is_known)
    if len(comments) > (told := len(comments_of(record))):
        new = enumerate(comments[told:], start=told + 1)
        earlier = record.get("comments")
        record["comments"] = [
            *(earlier if isinstance(earlier, list) else ()),
            *(
                {"id": n, "issue_id": task.id, "author": c.author, "text": c.text, "created_at": iso_time(c.at)}
                for n, c in new
            ),
        ]
    stored = {(depend.other, depend.kind) for depend in depends}
    ours = _what_is_not_said(to_task(record, now, Tally()), task, stored, related, max_attempts)
    if ours != Ours():
        record[OURS] = ours
    names = [name for name in _ORDER if name in record]
    return {name: record[name] for name in dict.fromkeys((*names, *record))}


def _mend_fields(record: Record, said: ImportedTask, task: Task) -> None:
    if said.title != task.title:
        record["title"] = task.title
    if said.description != task.description:
        record["description"] = task.description
        # They are part of it.
        record.pop("design", None)
        record.pop("notes", None)
    if said.priority != task.priority:
        record["priority"] = task.priority
    if said.type != task.type:
        record["issue_type"] = str(task.type)
    if said.labels != task.labels:
        record["labels"] = list(task.labels)
    if said.acceptance != task.acceptance:
        record["acceptance_criteria"] = "\n".join(f"- {item}" for item in task.acceptance)
    if said.deadline_at != task.deadline_at:
        _put_time(record, "due_at", task.deadline_at)


def _put_time(record: Record, name: str, at: float | None) -> None:
    if at is None:
        record.pop(name, None)
    else:
        record[name] = iso_time(at)


def _mend_state(record: Record, said: ImportedTask, task: Task) -> None:
    is_held = task.held_at is not None
    if task.state in LIVE_STATES:
        record["status"] = "in_progress"
    elif (said.state, said.is_held) != (task.state, is_held) or "status" not in record:
        if task.state in (TaskState.DONE, TaskState.CANCELLED):
            words = _DONE_WORDS.get(task.done_by, "Closed") if task.state is TaskState.DONE else "Cancelled"
            record |= {"status": CLOSED, "close_reason": f"{words} {task.landed_commit}".rstrip()}
            record.setdefault("closed_at", iso_time(task.updated_at))
        else:
            record["status"] = "deferred" if is_held else "open"
    if said.state is TaskState.DONE and record["status"] != CLOSED:
        # Beads refuses a record that is not closed and says when it was.
        record.pop("closed_at", None)
        record.pop("close_reason", None)
    if said.not_before_at != task.not_before_at:
        _put_time(record, "defer_until", task.not_before_at)


def _mend_dependencies(
    record: Record,
    depends: Sequence[ImportedDependency],
    related: set[tuple[str, str]],
    is_known: Callable[[str], bool],
) -> None:
    stored = {(depend.other, depend.kind): depend for depend in depends}
    left = dict(stored)
    kept: list[Any] = []
    raw = record.get("dependencies")
    for each in raw if isinstance(raw, list) else ():
        told = dependency_of(each)
        if told is None or told.other == record["id"] or not is_known(told.other):
            kept.append(each)
        elif stored.get((told.other, told.kind)) == told:
            left.pop((told.other, told.kind), None)
            kept.append(each)
        elif (told.other, told.kind) in related and (told.other, K.RELATED) in stored:
            left.pop((told.other, K.RELATED), None)
            kept.append(each)
    _mend_parent(record, kept, left, stored, related, is_known)
    kept += [_entry(record["id"], depend) for depend in left.values()]
    if kept or raw:
        record["dependencies"] = kept


def _mend_parent(
    record: Record,
    kept: Sequence[Any],
    left: dict[tuple[str, str], ImportedDependency],
    stored: Mapping[tuple[str, str], ImportedDependency],
    related: set[tuple[str, str]],
    is_known: Callable[[str], bool],
) -> None:
    """Some versions say the parent in a field of its own, and some in nothing else."""
    told = record.get("parent")
    if not isinstance(told, str) or told == record["id"] or not is_known(told):
        return
    listed = (dependency_of(each) for each in kept)
    if any(depend is not None and depend.kind == K.PARENT_CHILD for depend in listed):
        return
    if (told, K.PARENT_CHILD) in stored:
        left.pop((told, K.PARENT_CHILD), None)
    elif (told, K.PARENT_CHILD) in related and (told, K.RELATED) in stored:
        left.pop((told, K.RELATED), None)
    else:
        record["parent"] = None


def _entry(id: str, depend: ImportedDependency) -> Record:
    entry: Record = {"issue_id": id, "depends_on_id": depend.other, "type": depend.kind}
    if depend.mode == ANY_CHILD:
        entry["metadata"] = '{"gate":"any-children"}'
    return entry


def _what_is_not_said(
    said: ImportedTask, task: Task, stored: set[tuple[str, str]], related: set[tuple[str, str]], max_attempts: int
) -> Ours:
    """stored: (id, kind) of its dependencies. related: of those that its record has and it has not any more."""
    # Such as closed a circle, which would be refused where the file comes in.
    given_up = [pair for depend in said.depends if (pair := (depend.other, depend.kind)) in related - stored]
    wanted = {
        **{name: getattr(task, name) for name in ("title", "description", "priority", "type", "labels", "acceptance")},
        **{name: getattr(task, name) for name in ("capabilities", "agent", "model", "limits", "is_diff_needed")},
        "max_attempts": 0 if task.max_attempts == max_attempts else task.max_attempts,
        "state": TaskState.OPEN if task.state in LIVE_STATES else task.state,
        "is_held": task.held_at is not None,
        "not_before_at": task.not_before_at,
        "deadline_at": task.deadline_at,
    }
    return msgspec.structs.replace(
        Ours(),
        related=tuple(given_up) or UNSET,
        **{name: value for name, value in wanted.items() if getattr(said, name) != value},
    )
