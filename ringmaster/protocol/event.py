"""Methods about events: every state change, in order, from a cursor."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.model.event import Event


class EventsReadParams(msgspec.Struct, frozen=True, kw_only=True):
    """after: the last `seq` seen, 0 for the beginning; None for the newest `limit`.

    type: exact, or a prefix that ends in `.`; several are alternatives.
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
