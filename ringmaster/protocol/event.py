"""Methods about events: every state change, in order, from a cursor."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.model.event import Event

EVENT_TYPES = (
    "account.paused",
    "account.resumed",
    "agent.paused",
    "agent.resumed",
    "attempt.accepted",
    "attempt.cancel_requested",
    "attempt.ended",
    "attempt.handed_in",
    "attempt.job_ended",
    "attempt.job_started",
    "attempt.lease_expired",
    "attempt.leased",
    "attempt.prepared",
    "attempt.pulled",
    "attempt.reported",
    "attempt.started",
    "budget.changed",
    "daemon.cleaned_up",
    "daemon.recovered",
    "daemon.stop_requested",
    "decision.answered",
    "decision.opened",
    "decision.reopened",
    "decision.withdrawn",
    "gate.ended",
    "gate.reused",
    "generation.bad",
    "generation.gated",
    "generation.good",
    "generation.made",
    "generation.put_off",
    "generation.restored",
    "generation.superseded",
    "generation.tried",
    "order.changed",
    "project.added",
    "project.edited",
    "project.parked",
    "project.paused",
    "project.removed",
    "project.resumed",
    "project.unparked",
    "queue.paused",
    "queue.resumed",
    "reload.found_nothing",
    "reload.lane_opened",
    "reload.requested",
    "reload.revert_refused",
    "reload.reverted",
    "reload.undo_failed",
    "reload.undo_requested",
    "settings.refused",
    "settings.reloaded",
    "task.blocked",
    "task.cancelled",
    "task.commented",
    "task.created",
    "task.deferred",
    "task.dependencies_changed",
    "task.done",
    "task.edited",
    "task.failed",
    "task.held",
    "task.landed",
    "task.landing",
    "task.opened",
    "task.released",
    "task.restored",
    "task.spreading",
    "task.unblocked",
    "task.validating",
    "worker.freed",
    "worker.paused",
    "worker.removed",
    "worker.spawned",
    "worker.started",
    "worker.stopped",
)
"""Every type of event there is."""


class EventsReadParams(msgspec.Struct, frozen=True, kw_only=True):
    """after: the last `seq` seen, 0 for the beginning; None for the newest `limit`.

    type: exact, or a prefix that ends in `.`; several are alternatives, and one that no event has is refused.
    """

    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    type: tuple[str, ...] = ()
    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """cursor: the last seq that was looked at, also when the filter left it out; pass it as `after` to go on."""

    events: tuple[Event, ...]
    cursor: int


class EventsSubscribeParams(msgspec.Struct, frozen=True, kw_only=True):
    """Stream from a cursor as `events.event` notifications: what is stored, then what happens; no gap, no double.

    after: None starts at the end.
    """

    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    type: tuple[str, ...] = ()
    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""


class UnsubscribeParams(msgspec.Struct, frozen=True, kw_only=True):
    """subscription: from the answer that began it."""

    subscription: int


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """subscription: the id its notifications carry. cursor: where the stream begins."""

    subscription: int
    cursor: int


class Unsubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """was_there: False when it had ended already."""

    was_there: bool
