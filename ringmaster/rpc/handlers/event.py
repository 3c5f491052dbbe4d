"""Handlers of `events.*`: what is stored first, then what happens, without gap or double."""

from __future__ import annotations

from ringmaster.bus import Lagged
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.protocol.event import (
    EVENT_TYPES,
    EventPage,
    EventsReadParams,
    EventsSubscribeParams,
    Subscribed,
    Unsubscribed,
    UnsubscribeParams,
)
from ringmaster.queue.feed import EventFilter, Look, look_after, look_before
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


def _refuse_unknown_types(names: tuple[str, ...]) -> None:
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


def _filter(conn: Connection, caller: Caller, params: EventsReadParams | EventsSubscribeParams) -> EventFilter:
    """The filter with whole ids; an attempt's has its own task in it. Raises NOT_FOUND, USAGE, PERMISSION."""
    _refuse_unknown_types(params.type)
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
        wanted = _filter(conn, ctx.caller, params)
        return wanted, params.after if params.after is not None else events.last_seq(conn)

    wanted, cursor = await ctx.services.store.read(begin)
    number = ctx.connection.reserve_subscription()

    async def produce(stream: Stream) -> None:
        await _send_events(ctx.services, wanted, cursor, stream)

    return Streaming(Subscribed(subscription=number, cursor=cursor), number, NOTIFICATION, produce)


async def _send_events(services: Services, wanted: EventFilter, cursor: int, stream: Stream) -> None:
    """Send events after the cursor for ever."""
    # Listening begins before the stored ones are read: what comes in both is told apart by its number.
    with services.bus.open_subscription(wanted.matches) as heard:
        cursor = await _send_stored(services, wanted, cursor, stream)
        while True:
            new: list[Event] = []
            for event in await heard.receive_batch():
                if isinstance(event, Lagged):
                    cursor = await _send_stored(services, wanted, cursor, stream)
                elif event.seq > cursor:
                    new.append(event)
                    cursor = event.seq
            # What was read again meanwhile has gone out already.
            if new:
                await stream.send(*new)


async def _send_stored(services: Services, wanted: EventFilter, cursor: int, stream: Stream) -> int:
    """Send what is stored after the cursor, and return the cursor after it."""
    look = Look([], cursor, False)
    while not look.is_end:
        look = await services.store.read(look_after, wanted, look.cursor, 500)
        if look.events:
            await stream.send(*look.events)
    return look.cursor


def unsubscribe(ctx: Ctx, params: UnsubscribeParams) -> Unsubscribed:
    """End a stream of this connection."""
    return Unsubscribed(was_there=ctx.connection.end_stream(params.subscription))
