"""One who takes the frames of a session as they are given."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
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


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """As the shim of a job does while it lives."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@asynccontextmanager
async def following(table: Table, **params: Any) -> AsyncIterator[Following]:
    asked = FeedSubscribeParams(**params)
    start = Start(cursor=asked.cursor, tail_lines=asked.tail_lines)
    async with table.feed.open_session(await table.feed.resolve(asked), start, may_skip=False) as session:
        follower = Following(session)
        await follower.until(lambda f: f.mark)
        yield follower
