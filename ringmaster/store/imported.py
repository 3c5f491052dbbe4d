"""Rows that an import brings, whole and many at once; and what other systems knew of tasks besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ringmaster.model.importing import NO_LIMITS, ImportedTask
from ringmaster.model.importing_graph import Counts
from ringmaster.model.order import RULES, OrderRules, base_rank
from ringmaster.model.states import TaskState
from ringmaster.store.connection import Connection, Value
from ringmaster.store.labels import limited_words, wanted_of
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import encode_json
from ringmaster.store.tasks import find_demand

queries = load_queries("imported")

PAGE = 1000
RELATED = "ringmaster_related"
"""Among the fields: dependencies that are kept as `related`, as pairs of id and kind."""

_NO_WORDS = "[]"
_NO_LIMITS = encode_json(NO_LIMITS)


class ImportedRecord(msgspec.Struct, frozen=True):
    """What another system knew of a task and no column holds. fields: a JSON object. digest: of its whole record."""

    source: str
    fields: str
    digest: str


class Placed(msgspec.Struct, frozen=True):
    """Where a task goes. agent, max_attempts: what its own words or the project's and the setting come to."""

    project_id: str
    agent: str
    max_attempts: int


def insert_tasks(
    conn: Connection,
    tasks: Iterable[ImportedTask],
    placed: Mapping[str, Placed],
    counts: Mapping[str, Counts],
    rules: OrderRules = RULES,
) -> None:
    """Store tasks of ids that are not taken, with what they count, and the dependencies among them.

    placed, counts: by id. Dependencies on tasks that are not in `counts` are left to the caller.
    """
    tasks = list(tasks)
    demands: dict[tuple[str, str, tuple[str, ...]], int] = {}
    # Read once: there may be a hundred thousand tasks.
    limited = limited_words(conn)
    found = []
    for task in tasks:
        place = placed[task.id]
        key = (place.project_id, place.agent, wanted_of(task.capabilities, task.labels, limited))
        if key not in demands:
            demands[key] = find_demand(conn, *key)
        found.append(demands[key])
    conn.executemany(
        queries.insert_task,
        (
            _values(task, placed[task.id], counts[task.id], demand_id, conn.now, rules)
            for task, demand_id in zip(tasks, found, strict=True)
        ),
    )
    conn.executemany(
        queries.insert_dependency,
        (
            (task.id, depend.other, depend.kind, depend.mode, int(is_open), conn.now)
            for task in tasks
            for depend, is_open in zip(task.depends, counts[task.id].is_open, strict=True)
            if depend.other in counts
        ),
    )
    conn.executemany(
        queries.insert_record, ((task.id, task.source, _fields(task), task.digest) for task in tasks if task.source)
    )


def _fields(task: ImportedTask) -> str:
    return encode_json({**decode_fields(task.fields), RELATED: sorted(task.related)}) if task.related else task.fields


def _values(
    task: ImportedTask, placed: Placed, counts: Counts, demand_id: int, now: float, rules: OrderRules
) -> tuple[Value, ...]:
    """The columns of `insert_task`, in its order."""
    created_at = min(task.created_at, now) if task.created_at > 0 else now
    return (
        task.id,
        placed.project_id,
        demand_id,
        task.title,
        task.description,
        task.priority,
        encode_json(task.labels) if task.labels else _NO_WORDS,
        encode_json(task.acceptance) if task.acceptance else _NO_WORDS,
        encode_json(task.capabilities) if task.capabilities else _NO_WORDS,
        placed.agent,
        task.model,
        _NO_LIMITS if task.limits is NO_LIMITS else encode_json(task.limits),
        placed.max_attempts,
        int(task.is_diff_needed),
        str(task.state),
        counts.open_blockers,
        task.not_before_at,
        "import" if task.state is TaskState.DONE else "",
        created_at,
        now,
        str(task.type),
        base_rank(task.priority, now, deadline_at=task.deadline_at, rules=rules),
        task.deadline_at,
        now if task.is_held else None,
        counts.last_child,
        counts.children,
        counts.open_children,
        counts.done_children,
        now,
    )


def record_of(conn: Connection, task_id: str) -> ImportedRecord | None:
    """What another system knew of a task; None for one that was made here."""
    row = conn.row(queries.record_of, (task_id,))
    return None if row is None else ImportedRecord(*row)


def digest_of(conn: Connection, task_id: str) -> str:
    """Tells which record a task was made from; '' for one that was not."""
    return str(conn.value(queries.digest_of, (task_id,), ""))


def known_ids(conn: Connection, ids: Iterable[str]) -> set[str]:
    """Those of very many ids that tasks have, asked for together."""
    return {row[0] for row in conn.rows(queries.known_ids, (encode_json(list(ids)),))}


def ids_after(conn: Connection, task_id: str) -> list[str]:
    """The next ids of tasks in the order of ids, at most `PAGE`; '' is before the first."""
    return [row[0] for row in conn.rows(queries.ids_after, (task_id, PAGE))]


def decode_fields(fields: str) -> dict[str, Any]:
    """The fields of a record that no column holds; none of what cannot be read."""
    try:
        found = msgspec.json.decode(fields or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
