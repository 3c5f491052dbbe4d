"""Since when something is in a task's way, and the event that made it so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ringmaster.model.event import Event
from ringmaster.protocol.why import Obstacle, ObstacleKind
from ringmaster.store import events
from ringmaster.store.connection import Connection

K = ObstacleKind
LOOKED_AT = 300
"""Events of a task, the newest first, and of a type: what lies further back is told without its event."""
NEWEST = 2**62
ASIDE: dict[str, tuple[str, ...]] = {
    K.QUEUE_PAUSED: ("queue.paused",),
    K.PROJECT_PAUSED: ("project.paused",),
    K.PROJECT_REMOVED: ("project.removed",),
    K.AGENT_PAUSED: ("agent.paused",),
    K.ACCOUNT: ("account.paused",),
    K.WORKER_PAUSED: ("worker.paused", "worker.stopped"),
    K.BUDGET: ("budget.changed",),
}
"""The events that make an obstacle which is not a task's own."""


def newest_events(conn: Connection, task_id: str) -> list[Event]:
    """What happened to a task lately, the newest first, and at last how it came to be."""
    found = events.events_of_task_before(conn, task_id, NEWEST, LOOKED_AT)
    if len(found) == LOOKED_AT:
        found += events.events_of_task_after(conn, task_id, 0, 1)
    return found


def with_cause(conn: Connection, obstacle: Obstacle, recent: Sequence[Event]) -> Obstacle:
    """The same with its event, and with the event's time where none is known. recent: see `newest_events`."""
    cause = _cause(conn, obstacle, recent)
    if cause is None:
        return obstacle
    # A dependency can have been closed and opened again since it was made.
    since_at = cause.at if obstacle.since_at is None or obstacle.kind == K.DEPENDENCY else obstacle.since_at
    said = data_of(cause).get("reason", "") if obstacle.kind == K.HELD else ""
    words = f"{obstacle.words}: {' '.join(said.split())}" if said else obstacle.words
    return msgspec.structs.replace(obstacle, seq=cause.seq, since_at=since_at, words=words)


def _cause(conn: Connection, obstacle: Obstacle, recent: Sequence[Event]) -> Event | None:
    own = OWN.get(obstacle.kind)
    if own is not None:
        return next((event for event in recent if own(event, obstacle.id)), None)
    found = [
        event
        for type in ASIDE.get(obstacle.kind, ())
        for event in events.events_aside(conn, type, LOOKED_AT)
        if _is_about(event, obstacle)
    ]
    return max(found, key=lambda event: event.seq, default=None)


def data_of(event: Event) -> dict[str, Any]:
    """An event's data."""
    found: dict[str, Any] = msgspec.json.decode(event.data)
    return found


def _is_about(event: Event, obstacle: Obstacle) -> bool:
    if obstacle.kind in (K.PROJECT_PAUSED, K.PROJECT_REMOVED, K.BUDGET):
        return event.project_id == obstacle.id
    if obstacle.kind == K.WORKER_PAUSED:
        return event.worker_id == obstacle.id
    if obstacle.kind == K.AGENT_PAUSED:
        return bool(data_of(event).get("agent") == obstacle.id)
    if obstacle.kind == K.ACCOUNT:
        return bool(data_of(event).get("account") == obstacle.id)
    return True


def _made_dependency(event: Event, other_id: str) -> bool:
    if event.type == "task.created":
        return True
    if event.type == "task.blocked":
        return bool(data_of(event).get("by") == other_id)
    return event.type == "task.dependencies_changed" and other_id in data_of(event).get("added", ())


def _asked(event: Event, decision_id: str) -> bool:
    return event.type in ("decision.opened", "decision.reopened") and event.decision_id == decision_id


def _held(event: Event, _: str) -> bool:
    return event.type in ("task.held", "task.created")


def _made_epic(event: Event, _: str) -> bool:
    is_edit = event.type == "task.edited" and data_of(event).get("after", {}).get("type") == "epic"
    return is_edit or event.type == "task.created"


def _drafted(event: Event, _: str) -> bool:
    is_edit = event.type == "task.edited" and data_of(event).get("after", {}).get("state") == "draft"
    return is_edit or event.type == "task.created"


def _deferred(event: Event, _: str) -> bool:
    is_backed_off = event.type == "task.opened" and data_of(event).get("not_before_at") is not None
    return is_backed_off or event.type in ("task.deferred", "task.created")


OWN: dict[str, Callable[[Event, str], bool]] = {
    K.DEPENDENCY: _made_dependency,
    K.DECISION: _asked,
    K.HELD: _held,
    K.EPIC: _made_epic,
    K.DRAFT: _drafted,
    K.NOT_BEFORE: _deferred,
}
"""Whether an event of the task made an obstacle of a kind, about something of this id."""
