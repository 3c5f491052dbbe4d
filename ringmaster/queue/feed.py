"""Events by filter, from a cursor, in looks of a bounded size."""

from __future__ import annotations

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.protocol.event import EVENT_TYPES
from ringmaster.store import events
from ringmaster.store.connection import Connection

EVENTS_AT_ONCE = 1000


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted; what is empty does not filter. types: exact, or a prefix that ends in `.`."""

    types: tuple[str, ...] = ()
    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""

    def matches(self, event: Event) -> bool:
        """Whether an event is wanted."""
        if self.project_id and event.project_id != self.project_id:
            return False
        if self.task_id and event.task_id != self.task_id:
            return False
        if self.attempt_id and event.attempt_id != self.attempt_id:
            return False
        return not self.types or any(
            event.type == wanted or (wanted.endswith(".") and event.type.startswith(wanted)) for wanted in self.types
        )


class Look(msgspec.Struct, frozen=True):
    """Events found. cursor: the last seq that was looked at. is_end: nothing was there beyond it."""

    events: list[Event]
    cursor: int
    is_end: bool


def look_after(conn: Connection, wanted: EventFilter, cursor: int, limit: int) -> Look:
    """The next events after a cursor, at most `limit`, in order."""
    if wanted.task_id:
        rows = events.events_of_task_after(conn, wanted.task_id, cursor, EVENTS_AT_ONCE)
    else:
        rows = events.events_after(conn, cursor, EVENTS_AT_ONCE)
    is_end = len(rows) < EVENTS_AT_ONCE
    found: list[Event] = []
    for event in rows:
        if wanted.matches(event):
            found.append(event)
            if len(found) == limit:
                return Look(found, event.seq, is_end and event is rows[-1])
    # At the end everything has been looked at, also what the index of the task left out.
    return Look(found, max(cursor, events.last_seq(conn)) if is_end else rows[-1].seq, is_end)


def look_before(conn: Connection, wanted: EventFilter, cursor: int, limit: int) -> Look:
    """The last events before a place, at most `limit`, newest first."""
    if wanted.task_id:
        rows = events.events_of_task_before(conn, wanted.task_id, cursor, EVENTS_AT_ONCE)
    else:
        rows = events.events_before(conn, cursor, EVENTS_AT_ONCE)
    found = [event for event in rows if wanted.matches(event)][:limit]
    return Look(found, rows[-1].seq if rows else 0, len(rows) < EVENTS_AT_ONCE)


def refuse_unknown_types(names: tuple[str, ...]) -> None:
    """Raises USAGE for a type that no event has: waiting for it would be for ever."""
    for name in names:
        if not any(known == name or (name.endswith(".") and known.startswith(name)) for known in EVENT_TYPES):
            noun = name.partition(".")[0] + "."
            near = [known for known in EVENT_TYPES if known.startswith(noun)]
            nouns = dict.fromkeys(known.partition(".")[0] + "." for known in EVENT_TYPES)
            raise RingmasterError(
                ErrorKind.USAGE,
                f"{name[:40]!r} is no type of event",
                f"types: {', '.join(near or EVENT_TYPES)}; all of one noun: {' '.join(nouns)}",
            )
