"""Handlers of `events.*`: what is stored first, then what happens, without gap or double."""

from __future__ import annotations

import msgspec

from ringmaster.bus import Lagged
from ringmaster.model.event import Event
from ringmaster.protocol.event import (
    EventPage,
    EventsReadParams,
    EventsSubscribeParams,
    Subscribed,
    Unsubscribed,
    UnsubscribeParams,
)
from ringmaster.queue.feed import EventFilter, Look, look_after, look_before, refuse_unknown_types
from ringmaster.queue.lookup import resolve_attempt, resolve_project, resolve_task
from ringmaster.rpc.dispatch import Streaming
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.scope import own_task, refuse_other_task
from ringmaster.rpc.services import Ctx, Services
from ringmaster.rpc.streams import Stream
from ringmaster.store import events
from ringmaster.store.connection import Connection

NOTIFICATION = "events.event"
BEFORE_NONE = 2**62


def _filter(conn: Connection, caller: Caller, params: EventsReadParams | EventsSubscribeParams) -> EventFilter:
    """The filter with whole ids; an attempt's has its own task in it. Raises NOT_FOUND, USAGE, PERMISSION."""
    refuse_unknown_types(params.type)
    attempt_id = resolve_attempt(conn, params.attempt_id) if params.attempt_id else ""
    # The task of an attempt is known, and there is an index by task.
    task_id = attempt_id.rpartition("/")[0] or (resolve_task(conn, params.task_id) if params.task_id else "")
    task_id = task_id or own_task(caller)
    refuse_other_task(caller, task_id)
    return EventFilter(
        types=params.type,
        project_id=resolve_project(conn, params.project_id) if params.project_id else "",
        task_id=task_id,
        attempt_id=attempt_id,
    )


def _granted(params: EventsSubscribeParams) -> EventFilter:
    """The filter of a stream that goes on: its ids are whole."""
    return EventFilter(
        types=params.type, project_id=params.project_id, task_id=params.task_id, attempt_id=params.attempt_id
    )


async def read(ctx: Ctx, params: EventsReadParams) -> EventPage:
    """A page of events after a cursor, or the newest."""
    store = ctx.services.store
    wanted = await store.read(_filter, ctx.caller, params)
    found: list[Event] = []
    if params.after is None:
        last = await store.read(events.last_seq)
        look = Look([], BEFORE_NONE, False)
        while not look.is_end and len(found) < params.limit:
            look = await store.read(look_before, wanted, look.cursor, params.limit - len(found))
            found += look.events
        found.reverse()
        return EventPage(events=tuple(found), cursor=max([last, *(event.seq for event in found[-1:])]))
    look = Look([], params.after, False)
    while not look.is_end and len(found) < params.limit:
        look = await store.read(look_after, wanted, look.cursor, params.limit - len(found))
        found += look.events
    return EventPage(events=tuple(found), cursor=look.cursor)


async def subscribe(ctx: Ctx, params: EventsSubscribeParams) -> Streaming[Subscribed]:
    """Begin a stream of events."""

    def begin(conn: Connection) -> tuple[EventFilter, int]:
        # What was granted once goes on, though its project is gone since, or its type of event with the code.
        wanted = _granted(params) if ctx.connection.is_resumed else _filter(conn, ctx.caller, params)
        return wanted, params.after if params.after is not None else events.last_seq(conn)

    wanted, cursor = await ctx.services.store.read(begin)
    beginning = msgspec.structs.replace(
        params, after=cursor, project_id=wanted.project_id, task_id=wanted.task_id, attempt_id=wanted.attempt_id
    )
    number = ctx.connection.reserve_subscription(beginning)

    async def produce(stream: Stream) -> None:
        await _Sender(ctx.services, wanted, beginning, stream).run(cursor)

    return Streaming(Subscribed(subscription=number, cursor=cursor), number, NOTIFICATION, produce)


class _Sender:
    """Sends events after a cursor for ever. beginning: the params to go on with elsewhere, but for their cursor."""

    def __init__(
        self, services: Services, wanted: EventFilter, beginning: EventsSubscribeParams, stream: Stream
    ) -> None:
        self._services = services
        self._wanted = wanted
        self._beginning = beginning
        self._stream = stream

    async def run(self, cursor: int) -> None:
        # Listening begins before the stored ones are read: what comes in both is told apart by its number.
        with self._services.bus.open_subscription(self._wanted.matches) as heard:
            cursor = await self._send_stored(cursor)
            while True:
                new: list[Event] = []
                for event in await heard.receive_batch():
                    if isinstance(event, Lagged):
                        cursor = await self._send_stored(cursor)
                    elif event.seq > cursor:
                        new.append(event)
                        cursor = event.seq
                # What was read again meanwhile has gone out already.
                if new:
                    await self._send(new, cursor)

    async def _send_stored(self, cursor: int) -> int:
        """Send what is stored after the cursor, and return the cursor after it."""
        look = Look([], cursor, False)
        while not look.is_end:
            look = await self._services.store.read(look_after, self._wanted, look.cursor, 500)
            if look.events:
                await self._send(look.events, look.cursor)
        return look.cursor

    async def _send(self, events: list[Event], cursor: int) -> None:
        self._stream.resume_at(msgspec.structs.replace(self._beginning, after=cursor))
        await self._stream.send(*events)


def unsubscribe(ctx: Ctx, params: UnsubscribeParams) -> Unsubscribed:
    """End a stream of this connection."""
    return Unsubscribed(was_there=ctx.connection.end_stream(params.subscription))
