"""Pages of tasks: in the order of work, or in order of arrival once ended ones are among them.

A page is made of parts, each one bounded look at the rows, so that a filter that few match never holds
the reader for long. The place of a part is a keyset: rows that come or go meanwhile shift nothing.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project
from ringmaster.protocol.task import TaskListParams, TaskView
from ringmaster.queue.lookup import resolve_project
from ringmaster.queue.view import POISONED, known_projects, task_view
from ringmaster.store import order, projects, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.tasks import TaskRow

ROWS_AT_ONCE = 1000
ROWS_AT_LEAST = 50
TEXT_LIMIT = 2_000_000
"""Characters of descriptions in one page, so that an answer stays a few megabytes whatever the tasks hold."""
DERIVED = ("ready", "blocked", "scheduled", "waiting")
UNENDED = ("draft", "open", "running", "validating", "landing")
ENDED = ("done", "failed", "cancelled")
STATES = (*UNENDED, *DERIVED, *ENDED, POISONED)
_SEQ_BITS = 31


class Part(msgspec.Struct, frozen=True):
    """Tasks found in one look, and where the next look begins; None at the end."""

    views: tuple[TaskView, ...]
    next_cursor: int | None


def check_states(names: tuple[str, ...]) -> None:
    """Refuse a state that is none. Raises USAGE."""
    for name in names:
        if name not in STATES:
            raise RingmasterError(
                ErrorKind.USAGE, f"{name[:40]!r} is no state of a task", f"states: {', '.join(STATES)}"
            )


def list_part(conn: Connection, params: TaskListParams, cursor: int, limit: int) -> Part:
    """One look at the tasks that match, from a place on: at most `limit`, perhaps none. Raises USAGE, NOT_FOUND."""
    check_states(params.state)
    project_id = resolve_project(conn, params.project_id) if params.project_id else ""
    wanted = frozenset(params.state)
    # A filter by label may pass few; without one a page needs hardly more rows than it shows.
    at_once = ROWS_AT_ONCE if params.label else min(ROWS_AT_ONCE, max(limit, ROWS_AT_LEAST))
    place_of: Callable[[TaskRow], int] = _arrival
    if wanted.issubset((*UNENDED, *DERIVED)) and (wanted or not params.is_all):
        place_of = _order_of_work
        # 0 is before all: a row that is not ranked yet has rank 0 and a place above 0.
        rank, seq = cursor >> _SEQ_BITS, cursor & ((1 << _SEQ_BITS) - 1)
        rows = tasks.open_rows_after(conn, rank, seq, at_once)
    elif wanted and wanted.issubset(ENDED):
        rows = _ended_rows(conn, wanted, project_id, cursor, at_once)
    else:
        rows = tasks.all_rows_after(conn, cursor, at_once)
    known = known_projects(conn)
    views: list[TaskView] = []
    text = 0
    for row in rows:
        view = _matching(conn, row, params.label, wanted, project_id, known)
        if view is not None:
            views.append(view)
            text += len(view.task.description)
            if len(views) == limit or text >= TEXT_LIMIT:
                return Part(tuple(views), place_of(row))
    return Part(tuple(views), place_of(rows[-1]) if len(rows) == at_once else None)


def _arrival(row: TaskRow) -> int:
    return row.seq


def _order_of_work(row: TaskRow) -> int:
    return row.task.rank << _SEQ_BITS | row.seq


def _ended_rows(conn: Connection, states: frozenset[str], project_id: str, seq: int, limit: int) -> list[TaskRow]:
    """The heads of each (state, project), merged: each is one look-up in an index, whatever else there is."""
    names = [project_id] if project_id else projects.all_ids(conn)
    heads = [tasks.rows_of_state_after(conn, state, name, seq, limit) for state in sorted(states) for name in names]
    return list(itertools.islice(heapq.merge(*heads, key=_arrival), limit))


def _matching(
    conn: Connection,
    row: TaskRow,
    label: str,
    wanted: frozenset[str],
    project_id: str,
    known: Mapping[str, Project],
) -> TaskView | None:
    task = row.task
    if (project_id and task.project_id != project_id) or (label and label not in task.labels):
        return None
    view = task_view(conn, row, known)
    if wanted and view.shown not in wanted and str(task.state) not in wanted:
        return None
    return view


def ready_list(conn: Connection, project_text: str, limit: int) -> tuple[TaskView, ...]:
    """What the next free seats would get, in that order. Raises USAGE, NOT_FOUND."""
    project_id = resolve_project(conn, project_text) if project_text else ""
    known = known_projects(conn)
    return tuple(task_view(conn, row, known) for row in order.ready_rows(conn, project_id, limit))
