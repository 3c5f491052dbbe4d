"""Rows of events. They are written by `Connection.emit` alone."""

from __future__ import annotations

from ringmaster.model.event import Event
from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder

queries = load_queries("events")
decode_event = decoder(Event)


def events_after(conn: Connection, seq: int, limit: int) -> list[Event]:
    """The next events after a cursor, at most `limit`."""
    return decode_event.all(conn.rows(queries.after, (seq, limit)))


def events_of_task_after(conn: Connection, task_id: str, seq: int, limit: int) -> list[Event]:
    """The next events about a task after a cursor, at most `limit`."""
    return decode_event.all(conn.rows(queries.after_of_task, {"task_id": task_id, "after": seq, "limit": limit}))


def events_before(conn: Connection, seq: int, limit: int) -> list[Event]:
    """The events before a place, newest first, at most `limit`."""
    return decode_event.all(conn.rows(queries.before, (seq, limit)))


def events_of_task_before(conn: Connection, task_id: str, seq: int, limit: int) -> list[Event]:
    """The events about a task before a place, newest first, at most `limit`."""
    return decode_event.all(conn.rows(queries.before_of_task, {"task_id": task_id, "before": seq, "limit": limit}))


def asked_after(conn: Connection, seq: int, limit: int) -> list[tuple[int, str]]:
    """(seq, decision's id) of the next questions asked after a cursor."""
    return [(row[0], row[1]) for row in conn.rows(queries.asked_after, (seq, limit))]


def events_aside(conn: Connection, type: str, limit: int) -> list[Event]:
    """The newest events of a type that are about no task, newest first; not for `worker.freed`."""
    return decode_event.all(conn.rows(queries.aside, (type, limit)))


def job_events_of_attempt(conn: Connection, task_id: str, attempt_id: str) -> list[Event]:
    """What was said about an attempt's jobs, and its end, in order."""
    return decode_event.all(conn.rows(queries.jobs_of_attempt, {"task_id": task_id, "attempt_id": attempt_id}))


def first_seq(conn: Connection) -> int:
    """The oldest event's seq, 1 when there is none."""
    return int(conn.value(queries.first_seq))


def last_seq(conn: Connection) -> int:
    """The newest event's seq, 0 when there is none."""
    return int(conn.value(queries.last_seq))
