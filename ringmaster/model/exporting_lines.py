"""From tasks to lines of our own format, with every field. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ringmaster.model.comment import Comment
from ringmaster.model.importing import ImportedDependency
from ringmaster.model.importing_lines import FORMAT, SOURCE, WAS, Besides, Line, Was
from ringmaster.model.task import Task


def to_line(
    task: Task,
    source: str,
    fields: Mapping[str, Any],
    depends: Sequence[ImportedDependency],
    comments: Sequence[Comment],
) -> Line:
    """The line of a task. source, fields: what another system knew of it, and which; '' for none."""
    was = msgspec.convert(fields.get(WAS, {}), Was)
    if task.done_by not in ("", "import"):
        was = msgspec.structs.replace(was, done_by=task.done_by, landed_commit=task.landed_commit)
    if task.attempt_number:
        was = msgspec.structs.replace(
            was, attempt_number=task.attempt_number, counted_attempts=task.counted_attempts, state=""
        )
    if task.version > 1 or not was.updated_at:
        was = msgspec.structs.replace(was, updated_at=task.updated_at)
    besides = {name: value for name, value in fields.items() if name != WAS}
    return Line(
        format=FORMAT,
        id=task.id,
        project_id=task.project_id,
        title=task.title,
        description=task.description,
        priority=task.priority,
        type=task.type,
        labels=task.labels,
        acceptance=task.acceptance,
        capabilities=task.capabilities,
        agent=task.agent,
        model=task.model,
        limits=task.limits,
        max_attempts=task.max_attempts,
        is_diff_needed=task.is_diff_needed,
        state=task.state,
        not_before_at=task.not_before_at,
        deadline_at=task.deadline_at,
        is_held=task.held_at is not None,
        created_at=task.created_at,
        depends=tuple(depends),
        comments=tuple(comments),
        was=was,
        imported=Besides(source=source, fields=besides) if source not in ("", SOURCE) else None,
    )
