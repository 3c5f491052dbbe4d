"""From what a person types to an id: a whole id, or the unique beginning of one."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store import attempts, decisions, projects, tasks, workers
from ringmaster.store.connection import Connection

LONGEST = 200
SHOWN = 5


def _resolve(conn: Connection, query: str, text: str, noun: str, hint: str, *, lead: str = "") -> str:
    """The id that begins with `text`, or with `lead` and `text`.

    Raises:
        RingmasterError: NOT_FOUND; USAGE for the beginning of several, which are named.
    """
    candidates: list[str] = []
    for prefix in dict.fromkeys((text, lead + text)):
        if text and not candidates and len(text) < LONGEST:
            bounds = {"prefix": prefix, "upper": prefix + "\U0010ffff"}
            candidates = [row[0] for row in conn.rows(query, bounds)]
            if prefix in candidates:
                return prefix
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        shown = ", ".join(candidates[:SHOWN]) + (", …" if len(candidates) > SHOWN else "")
        raise RingmasterError(ErrorKind.USAGE, f"{text!r} begins several {noun}s: {shown}", "use more of the id")
    raise RingmasterError(ErrorKind.NOT_FOUND, f"no {noun} {text[:60]!r}", hint)


def resolve_task(conn: Connection, text: str) -> str:
    """The id of a task; `rm-` may be left out. Raises NOT_FOUND, USAGE."""
    try:
        return _resolve(conn, tasks.queries.ids_by_prefix, text, "task", "rmctl task list --all", lead="rm-")
    except RingmasterError as error:
        # The two are shown side by side, and a person takes the wrong one.
        if error.kind is not ErrorKind.NOT_FOUND or not decisions.is_known(conn, text):
            raise
        raise RingmasterError(
            ErrorKind.NOT_FOUND, f"{text} is a decision and no task", f"rmctl decision show {text}"
        ) from None


def resolve_project(conn: Connection, text: str) -> str:
    """The name of a project. Raises NOT_FOUND, USAGE."""
    return _resolve(conn, projects.queries.ids_by_prefix, text, "project", "rmctl project list")


def resolve_worker(conn: Connection, text: str) -> str:
    """The name of a worker. Raises NOT_FOUND, USAGE."""
    return _resolve(conn, workers.queries.ids_by_prefix, text, "worker", "rmctl worker list")


def resolve_decision(conn: Connection, text: str) -> str:
    """The id of a decision; `d-` may be left out. Raises NOT_FOUND, USAGE."""
    return _resolve(conn, decisions.queries.ids_by_prefix, text, "decision", "rmctl decision list --all", lead="d-")


def resolve_attempt(conn: Connection, text: str) -> str:
    """The id of an attempt: TASK/NUMBER, or a task for its newest. Raises NOT_FOUND, USAGE."""
    task_text, slash, number = text.rpartition("/")
    if not slash:
        task_id = resolve_task(conn, text)
        found = conn.value(attempts.queries.newest_of_task, (task_id,))
        if found is None:
            raise RingmasterError(
                ErrorKind.NOT_FOUND, f"task {task_id} has had no attempt yet", f"rmctl task show {task_id}"
            )
        return str(found)
    task_id = resolve_task(conn, task_text)
    attempt_id = f"{task_id}/{number}"
    if conn.value(attempts.queries.is_known, (attempt_id,)) is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no attempt {attempt_id[:80]}", f"rmctl attempt list {task_id}")
    return attempt_id
