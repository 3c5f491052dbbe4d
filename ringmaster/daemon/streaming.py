"""The feed for clients of the door: what a websocket is given of the other parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ringmaster.daemon.life import Life
from ringmaster.daemon.listening import OnUpgrade
from ringmaster.feed.feed import Feed
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.scope import own_task
from ringmaster.stream.socket import End, serve_socket


def make_on_upgrade(feed: Feed, life: Life) -> OnUpgrade:
    """What serves a websocket: `serve_socket` with the part of the feed that its caller may see."""

    async def on_upgrade(
        stream: trio.abc.HalfCloseableStream, head: bytes, caller: Caller, wait_over: Callable[[], Awaitable[str]]
    ) -> None:
        end = End(reason=lambda: "stop" if life.stop.is_set() else "reload", wait_over=wait_over)
        await serve_socket(stream, head, own_task(caller), feed, end)

    return on_upgrade
