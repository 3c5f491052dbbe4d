"""From records of a beads repository (`issues.jsonl`) to tasks: what its words mean here (docs/from-beads.md). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ringmaster.model.beads_values import encode_json, oddities, to_acceptance, to_text, to_time, to_words
from ringmaster.model.comment import Comment
from ringmaster.model.dependency import ALL_CHILDREN, ANY_CHILD, DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import is_task_id
from ringmaster.model.importing import (
    DESCRIPTION_LIMIT,
    HIGHEST_ATTEMPTS,
    TITLE_LIMIT,
    ImportedDependency,
    ImportedTask,
    Tally,
    Translation,
)
from ringmaster.model.importing_graph import Edge, kin_waits, relate
from ringmaster.model.states import TaskState
from ringmaster.model.task import NO_DIFF_TYPES, Limits, TaskType

SOURCE = "beads"
Record: TypeAlias = "dict[str, Any]"

OPEN_STATUSES = frozenset({"open", "in_progress", "blocked", "deferred", "pinned", "hooked"})
TOMBSTONE, CLOSED = "tombstone", "closed"

NO_WORK_TYPES = frozenset(
    {"message", "molecule", "gate", "agent", "role", "rig", "convoy", "event", "merge-request", "slot", "session"}
    | {"milestone", "wisp"}
)
"""Types of records that are nobody's work: they are kept, and held."""

FAILURE_WORDS: tuple[str, ...] = (
    "failed",
    "rejected",
    "wontfix",
    "won't fix",
    "canceled",
    "cancelled",
    "abandoned",
    "blocked",
    "error",
)
FAILURE_WORDS += ("timeout", "aborted")
"""Why a bead was closed, when it counts as failed for what was to be done only then."""

VOLATILE = frozenset({"updated_at", "content_hash", "dependency_count", "dependent_count", "comment_count"})
VOLATILE |= {"heartbeat_at", "lease_expires_at", "last_activity"}
"""Fields that change without anything having been changed."""

OURS = "ringmaster"
"""The field in which our own export says what a bead cannot."""

_KNOWN_KINDS = frozenset(DependencyKind)
_COMMON_KINDS = _KNOWN_KINDS - {DependencyKind.WAITS_FOR}
_KIND = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
_decode = msgspec.json.Decoder().decode


class Ours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task is, where its record as a bead would say something else or nothing."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_LIMIT)] | UnsetType = UNSET
    description: Annotated[str, msgspec.Meta(max_length=1_000_000)] | UnsetType = UNSET
    priority: Annotated[int, msgspec.Meta(ge=0, le=4)] | UnsetType = UNSET
    type: str | UnsetType = UNSET
    labels: tuple[str, ...] | UnsetType = UNSET
    acceptance: tuple[str, ...] | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    max_attempts: Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_ATTEMPTS)] | UnsetType = UNSET
    is_diff_needed: bool | UnsetType = UNSET
    state: TaskState | UnsetType = UNSET
    is_held: bool | UnsetType = UNSET
    not_before_at: float | UnsetType | None = UNSET
    deadline_at: float | UnsetType | None = UNSET
    related: tuple[tuple[str, str], ...] | UnsetType = UNSET


def translate_beads(data: bytes, now: float) -> Translation:
    """Tasks from the text of a file with one record a line.

    What is not work, was deleted, or has bad values is told in the notes.

    Raises:
        RingmasterError: USAGE naming the line that is no record; nothing of the file is to be trusted then.
    """
    tally = Tally()
    tasks: dict[str, ImportedTask] = {}
    failed: set[str] = set()
    deleted: set[str] = set()
    for number, line, record in read_records(data):
        id = record.get("id")
        if record.get("_type", "issue") != "issue":
            tally.add(f"left out: no issue but a {str(record['_type'])[:40]}", str(id or record.get("key")))
        elif not isinstance(id, str) or not is_task_id(id):
            tally.add("left out: cannot be the id of a task", repr(id))
        elif record.get("status") == TOMBSTONE:
            deleted.add(id)
            tally.add("left out: deleted there", id)
        elif id in tasks:
            tally.add("left out: a second one of the same id", id)
        else:
            tasks[id] = to_task(record, now, tally, line=number, digest=digest_of(line))
            if tasks[id].state is TaskState.DONE and _is_failure(record):
                failed.add(id)
    kept = _settle_dependencies(tasks, deleted - tasks.keys(), failed, tally)
    return Translation(tuple(kept.values()), tally=tally, has_projects=False)


def read_records(data: bytes) -> Iterator[tuple[int, bytes, Record]]:
    """The lines of a file, numbered from 1, with the record that each is; empty lines are none. Raises USAGE."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line or line.isspace():
            continue
        try:
            record = _decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"line {number} is no JSON: {str(error)[:120]}",
                "a file with conflict markers is resolved in git first",
            ) from error
        if not isinstance(record, dict):
            raise RingmasterError(ErrorKind.USAGE, f"line {number} is no JSON object", "one record a line is expected")
        yield number, line, record


def to_task(record: Mapping[str, Any], now: float, tally: Tally, *, line: int = 0, digest: str = "") -> ImportedTask:
    """The task that a record stands for. line: its number in the file, to be said of what is not taken."""
    id = record["id"]
    status = to_text(record.get("status")) or "open"
    type = to_text(record.get("issue_type"))[:50] or TaskType.TASK
    deferred_at = to_time(record.get("defer_until"))
    hold = "" if status == CLOSED else _why_held(record, status, type, deferred_at)
    if hold:
        tally.add(f"held: {hold}", id)
    elif status in ("in_progress", "hooked"):
        tally.add("open again: it was under way there, and nobody works on it here", id)
    title, description = " ".join(to_text(record.get("title")).split()) or id, compose(record)
    priority, labels = _priority(record, tally), to_words(record.get("labels"))
    created_at = to_time(record.get("created_at"))
    for odd in oddities(record, title, description, created_at):
        tally.add(odd, id, f"{id} (line {line})")
    title, description = title[:TITLE_LIMIT], description[:DESCRIPTION_LIMIT]
    derived = derived_fields(title, description, priority, type, labels, record.get("design"), record.get("notes"))
    state = TaskState.DONE if status == CLOSED else TaskState.OPEN
    task = ImportedTask(
        id=id,
        old_project=id.partition(".")[0].rpartition("-")[0] or id.partition(".")[0],
        title=title,
        description=description,
        priority=priority,
        labels=labels,
        acceptance=to_acceptance(record.get("acceptance_criteria")),
        capabilities=(),
        max_attempts=0,
        state=state,
        not_before_at=deferred_at if state is TaskState.OPEN and deferred_at and deferred_at > now else None,
        depends=_dependencies(record, tally),
        type=type,
        deadline_at=to_time(record.get("due_at")),
        is_held=bool(hold),
        is_diff_needed=type not in NO_DIFF_TYPES,
        comments=comments_of(record),
        created_at=created_at or 0.0,
        source=SOURCE,
        fields=encode_json(_underived(record, derived)).decode(),
        digest=digest,
    )
    if DependencyKind.RELATED in (depend.kind for depend in task.depends):
        task = replace(task, related=_second_parents(record, task))
    said = record.get(OURS)
    return task if said is None else _as_we_said(task, said, record, tally)


def _underived(record: Mapping[str, Any], derived: Record) -> Record:
    """What of a record the columns do not give back."""
    return {
        name: value
        for name, value in record.items()
        if name not in ("id", OURS) and (name not in derived or derived[name] != value)
    }


def derived_fields(
    title: str, description: str, priority: int, type: str, labels: tuple[str, ...], design: Any, notes: Any
) -> Record:
    """The fields of a record that a task's columns give back, where nothing was changed on the way in."""
    tail = compose({"design": design, "notes": notes}) if design or notes else ""
    if tail and description.endswith(tail):
        description = description[: -len(tail)].removesuffix("\n\n")
    fields: Record = {"title": title, "priority": priority, "issue_type": str(type)}
    if description:
        fields["description"] = description
    if labels:
        fields["labels"] = list(labels)
    return fields


def compose(record: Mapping[str, Any]) -> str:
    """One text of what a bead says in three, for it all belongs into a prompt."""
    description, design, notes = to_text(record.get("description")), record.get("design"), record.get("notes")
    if not design and not notes:
        return description
    design, notes = to_text(design), to_text(notes)
    parts = (
        description,
        design and f"## Design\n\n{design}",
        notes and f"## Notes\n\n{notes}",
    )
    return "\n\n".join(part for part in parts if part)


def digest_of(line: bytes) -> str:
    """Tells at once that a line is the one that was taken. Of another one the fields are looked at."""
    return hashlib.blake2b(line.strip(), digest_size=9).hexdigest()


def comments_of(record: Mapping[str, Any]) -> tuple[Comment, ...]:
    """What was said about a bead, in order."""
    found = record.get("comments")
    if not found:
        return ()
    return tuple(
        Comment(to_text(each.get("author"))[:200], text, to_time(each.get("created_at")) or 0.0)
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict) and (text := to_text(each.get("text")))
    )


def dependency_of(raw: Any) -> ImportedDependency | None:
    """One entry of a record's dependencies; None for what is none."""
    if not isinstance(raw, dict) or not (other := to_text(raw.get("depends_on_id"))):
        return None
    kind = to_text(raw.get("type")) or DependencyKind.BLOCKS
    if kind in _COMMON_KINDS:
        return ImportedDependency(other, kind)
    if kind not in _KNOWN_KINDS and not _KIND.fullmatch(kind):
        kind = DependencyKind.RELATED
    mode = _wait_mode(raw.get("metadata")) if kind == DependencyKind.WAITS_FOR else ""
    return ImportedDependency(other, kind, mode)


def _wait_mode(metadata: Any) -> str:
    if isinstance(metadata, str):
        try:
            metadata = _decode(metadata or "{}")
        except (msgspec.DecodeError, RecursionError):
            return ALL_CHILDREN
    gate = metadata.get("gate") if isinstance(metadata, dict) else None
    return ANY_CHILD if gate == "any-children" else ALL_CHILDREN


def _dependencies(record: Mapping[str, Any], tally: Tally) -> tuple[ImportedDependency, ...]:
    raw, id = record.get("dependencies"), record["id"]
    found: dict[tuple[str, str], ImportedDependency] = {}
    parent = ""
    for each in raw if isinstance(raw, list) else ():
        depend = dependency_of(each)
        if depend is None or depend.other == id:
            tally.add("left out: a dependency on nothing or on itself", id)
            continue
        if depend.kind == DependencyKind.PARENT_CHILD and parent not in ("", depend.other):
            tally.add("its second parent is kept as `related`", id)
            depend = ImportedDependency(depend.other, DependencyKind.RELATED)
        elif depend.kind == DependencyKind.PARENT_CHILD:
            parent = depend.other
        found.setdefault((depend.other, depend.kind), depend)
    # Computed by some versions, and all that some files have.
    told = record.get("parent")
    if not parent and isinstance(told, str) and told not in ("", id):
        found[told, DependencyKind.PARENT_CHILD] = ImportedDependency(told, DependencyKind.PARENT_CHILD)
    return tuple(found.values())


def _second_parents(record: Mapping[str, Any], task: ImportedTask) -> tuple[tuple[str, str], ...]:
    told = (dependency_of(each) for each in record["dependencies"])
    parents = {depend.other for depend in told if depend is not None and depend.kind == DependencyKind.PARENT_CHILD}
    kept = {depend.other for depend in task.depends if depend.kind == DependencyKind.PARENT_CHILD}
    return tuple((other, str(DependencyKind.PARENT_CHILD)) for other in sorted(parents - kept - {task.id}))


def _settle_dependencies(
    tasks: Mapping[str, ImportedTask], deleted: set[str], failed: set[str], tally: Tally
) -> dict[str, ImportedTask]:
    """The tasks without what cannot be waited for, or need not."""
    given_up = kin_waits(tasks)
    for edge in sorted(given_up):
        tally.add(
            "kept as `related`, since nothing can wait for its own part or whole",
            edge[0],
            f"{edge[0]} {edge[2]} {edge[1]}",
        )
    kept = {}
    for id, task in tasks.items():
        if not task.depends:
            kept[id] = task
            continue
        for depend in task.depends:
            if depend.kind == DependencyKind.CONDITIONAL_BLOCKS and depend.other in failed:
                given_up.add(Edge(id, depend.other, depend.kind))
                tally.add(
                    "kept as `related`, since it was closed there as failed", id, f"{id} {depend.kind} {depend.other}"
                )
        if deleted and any(depend.other in deleted for depend in task.depends):
            present = tuple(depend for depend in task.depends if depend.other not in deleted)
            tally.add("left out: a dependency on what was deleted there", id)
            task = replace(task, depends=present)
        kept[id] = relate(task, given_up) if given_up else task
    return kept


def _is_failure(record: Mapping[str, Any]) -> bool:
    reason = to_text(record.get("close_reason")).lower()
    return record.get("status") == CLOSED and any(word in reason for word in FAILURE_WORDS)


def _why_held(record: Mapping[str, Any], status: str, type: str, deferred_at: float | None) -> str:
    """Why nobody is to be given it; '' for work."""
    if record.get("is_template"):
        return "a template"
    if record.get("ephemeral") or record.get("wisp_type"):
        return "a wisp, which was not meant to last"
    if status == "pinned" or record.get("pinned"):
        return "pinned, a marker and no work"
    if status == "hooked":
        return "hooked: an agent there has it"
    if type in NO_WORK_TYPES:
        return f"of type {type}, which is no work"
    if status == "deferred" and deferred_at is None:
        return "deferred without a date"
    return "" if status in OPEN_STATUSES else f"nobody here knows the status {status[:40]}"


def _as_we_said(task: ImportedTask, said: Any, record: Mapping[str, Any], tally: Tally) -> ImportedTask:
    try:
        ours = msgspec.convert(said, Ours)
    except msgspec.ValidationError as error:
        tally.add(f"what an export of Ringmaster added is not understood ({str(error)[:80]})", task.id)
        return task
    given = {name: value for name in ours.__struct_fields__ if (value := getattr(ours, name)) is not UNSET}
    given_up = {Edge(task.id, other, kind) for other, kind in given.pop("related", ())}
    task = relate(replace(task, **given), given_up)
    design, notes = record.get("design"), record.get("notes")
    derived = derived_fields(task.title, task.description, task.priority, task.type, task.labels, design, notes)
    return replace(task, fields=encode_json(_underived(record, derived)).decode())


def _priority(record: Mapping[str, Any], tally: Tally) -> int:
    # Versions that left out empty fields left out P0.
    value = record.get("priority", 0)
    if isinstance(value, str):
        value = value.strip().upper().removeprefix("P")
        value = int(value) if value in ("0", "1", "2", "3", "4") else -1
    if isinstance(value, int) and 0 <= value <= 4:
        return int(value)
    tally.add("of priority 2 now, since what it had is none", record["id"])
    return 2
