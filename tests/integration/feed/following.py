"""One who takes the frames of a session as they are given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from ringmaster.feed.beginning import Start
from ringmaster.feed.session import Session
from ringmaster.protocol.feed import FeedSubscribeParams
from tests.integration.rpc.following import Follower
from tests.integration.rpc.harness import Table


class Following(Follower):
    """A follower of a session. reason: why its cursor was expired, '' where it was not."""

    def __init__(self, session: Session) -> None:
        super().__init__(self._next)
        self.session = session

    async def _next(self) -> list[Any]:
        with trio.fail_after(20):
            return [json.loads(text) for text in await self.session.next_frame()]

    @property
    def reason(self) -> str:
        return next((message["reason"] for message in self.messages if message["kind"] == "cursor_expired"), "")


@asynccontextmanager
async def following(table: Table, **params: Any) -> AsyncIterator[Following]:
    asked = FeedSubscribeParams(**params)
    start = Start(cursor=asked.cursor, tail_lines=asked.tail_lines)
    async with table.feed.open_session(await table.feed.resolve(asked), start, may_skip=False) as session:
        follower = Following(session)
        await follower.until(lambda f: f.mark)
        yield follower
