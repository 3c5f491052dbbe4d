"""Handler of `feed.subscribe`: the feed over the Unix socket, where nothing is left out: it waits for its reader."""

from __future__ import annotations

import msgspec
import trio

from ringmaster.feed.beginning import Start
from ringmaster.feed.feed import Feed
from ringmaster.feed.session import Session
from ringmaster.feed.wanted import Wanted
from ringmaster.protocol.event import Unsubscribed, UnsubscribeParams
from ringmaster.protocol.feed import FeedSubscribed, FeedSubscribeParams
from ringmaster.rpc.dispatch import Streaming
from ringmaster.rpc.scope import own_task
from ringmaster.rpc.services import Ctx
from ringmaster.rpc.streams import Stream

NOTIFICATION = "feed.messages"


async def subscribe(ctx: Ctx, params: FeedSubscribeParams) -> Streaming[FeedSubscribed]:
    """Begin a feed."""
    wanted = await ctx.services.feed.resolve(params, own_task(ctx.caller), is_granted=ctx.connection.is_resumed)
    # Whole ids: what they were shortened to may fit others later.
    beginning = msgspec.structs.replace(
        params,
        project_id=wanted.project_id,
        task_id=wanted.task_id,
        attempt_id=wanted.attempt_id,
        worker_id=wanted.worker_id,
    )
    number = ctx.connection.reserve_subscription(beginning)

    async def produce(stream: Stream) -> None:
        await _Sender(ctx.services.feed, wanted, beginning, stream).run()

    return Streaming(FeedSubscribed(subscription=number), number, NOTIFICATION, produce)


def unsubscribe(ctx: Ctx, params: UnsubscribeParams) -> Unsubscribed:
    """End a feed of this connection."""
    return Unsubscribed(was_there=ctx.connection.end_stream(params.subscription))


class _Sender:
    """Sends the feed until nothing can come any more. beginning: its params, but for the cursor."""

    def __init__(self, feed: Feed, wanted: Wanted, beginning: FeedSubscribeParams, stream: Stream) -> None:
        self._feed = feed
        self._wanted = wanted
        self._beginning = beginning
        self._stream = stream

    async def run(self) -> None:
        # Another image that goes on where one was says no second `hello`.
        start = Start(
            cursor=self._beginning.cursor, tail_lines=self._beginning.tail_lines, is_told=not self._stream.note
        )
        async with self._feed.open_session(self._wanted, start, may_skip=False) as session:
            while messages := await session.next_frame():
                self._resume_at(session)
                await self._stream.send(msgspec.Raw(f"[{','.join(messages)}]".encode()))
            self._stream.resume_at(None)
            await trio.lowlevel.checkpoint()

    def _resume_at(self, session: Session) -> None:
        self._stream.resume_at(msgspec.structs.replace(self._beginning, cursor=session.cursor()), note="told")
