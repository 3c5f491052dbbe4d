"""The feed for clients of the door: what a websocket is given of the other parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ringmaster.daemon.life import Life
from ringmaster.feed.feed import Feed
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.scope import own_task
from ringmaster.stream.socket import serve_socket


def make_on_upgrade(feed: Feed, life: Life) -> Callable[[trio.abc.Stream, bytes, Caller], Awaitable[None]]:
    """What serves a websocket: `serve_socket` with the part of the feed that its caller may see."""

    async def on_upgrade(stream: trio.abc.Stream, head: bytes, caller: Caller) -> None:
        await serve_socket(stream, head, own_task(caller), feed, lambda: "reload" if life.switch else "stop")

    return on_upgrade
