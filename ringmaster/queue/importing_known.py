"""What a file says otherwise of tasks that are here. They stay as they are: only a person can tell whose word holds."""

from __future__ import annotations

from collections.abc import Iterable

from ringmaster.model.beads import VOLATILE
from ringmaster.model.importing import ImportedTask
from ringmaster.model.task import Task
from ringmaster.store import comments, dependencies, imported, tasks
from ringmaster.store.connection import Connection

_COMPARED = frozenset(
    {"title", "description", "design", "notes", "acceptance_criteria", "status", "priority", "labels"}
)
_COMPARED |= {"issue_type", "due_at", "defer_until", "dependencies", "comments", "parent", "closed_at", "close_reason"}
"""Fields of a bead whose meaning is compared, and not how they say it."""

_FIELDS = ("title", "description", "priority", "type", "labels", "acceptance", "state", "not_before_at", "deadline_at")


def changed_fields(conn: Connection, known: Iterable[ImportedTask], notes: list[str]) -> int:
    """Note for each task what its record says otherwise; how many records have changed since they were taken."""
    changed = 0
    for task in known:
        if not task.digest:
            title = tasks.title_of(conn, task.id)
            if title != task.title:
                # Edited since, or somebody else's by chance: only a person can tell.
                notes.append(f"not taken: {task.id} is there already, as {title[:60]!r}")
            continue
        taken = imported.digest_of(conn, task.id)
        if taken == task.digest:
            continue
        if differing := _differing(conn, task):
            since = "has changed there since it was taken" if taken else "is there already"
            notes.append(f"not taken: {task.id} {since} ({', '.join(differing)} not as here)")
            changed += 1
    return changed


def _differing(conn: Connection, theirs: ImportedTask) -> list[str]:
    ours = tasks.row_by_id(conn, theirs.id).task
    found = [name for name in _FIELDS if getattr(ours, name) != getattr(theirs, name)]
    if (ours.held_at is not None) != theirs.is_held:
        found.append("hold")
    depends = {(one.id, one.kind) for one in dependencies.blockers_of(conn, theirs.id)}
    # What was left out when it was taken is left out again.
    if any(
        (depend.other, depend.kind) not in depends and tasks.is_known(conn, depend.other) for depend in theirs.depends
    ) or depends - {(depend.other, depend.kind) for depend in theirs.depends} - {
        (depend.other, "related") for depend in theirs.depends
    }:
        found.append("dependencies")
    said = {(one.author, one.text) for one in comments.comments_of(conn, theirs.id)}
    if any((one.author, one.text) not in said for one in theirs.comments):
        found.append("comments")
    return found or _differing_fields(conn, ours, theirs)


def _differing_fields(conn: Connection, ours: Task, theirs: ImportedTask) -> list[str]:
    """Names of what no column holds."""
    record = imported.record_of(conn, ours.id)
    if record is None:
        return []
    kept, told = imported.decode_fields(record.fields), imported.decode_fields(theirs.fields)
    return sorted(
        name
        for name in {*kept, *told} - VOLATILE - _COMPARED
        if not name.startswith("ringmaster") and kept.get(name) != told.get(name)
    )
