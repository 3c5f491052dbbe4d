"""The websocket on a port of its own, and clients of it."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from ringmaster.stream.socket import End, serve_socket
from tests.integration.rpc.following import Follower
from tests.integration.rpc.harness import Table


class Port:
    """A port that serves websockets. number: of the port. leave: end all of them, as a stop or a reload does.

    is_over: set it to end what they were let in by.
    """

    def __init__(self, number: int, scope: trio.CancelScope) -> None:
        self.number = number
        self.reason: Literal["reload", "stop"] = "stop"
        self.is_over = trio.Event()
        self._scope = scope

    def leave(self, reason: Literal["reload", "stop"]) -> None:
        self.reason = reason
        self._scope.cancel()

    async def wait_over(self) -> str:
        """What lets its clients in ends when `is_over` is set."""
        await self.is_over.wait()
        return "the login is over"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[WebSocketConnection]:
        # With a stream of its own: the library leaves the one of a client open that was closed from the other side.
        async with await trio.open_tcp_stream("127.0.0.1", self.number) as stream, trio.open_nursery() as nursery:
            ws = await wrap_client_stream(nursery, stream, "127.0.0.1", "/stream")
            yield ws
            with trio.move_on_after(1):
                await ws.aclose()
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def following(self, **params: Any) -> AsyncIterator[Follower]:
        async with self.connect() as ws:
            await ws.send_message(json.dumps({"kind": "subscribe", **params}))
            follower = Follower(functools.partial(receive, ws))
            await follower.until(lambda f: f.mark)
            yield follower


async def receive(ws: WebSocketConnection) -> list[Any]:
    """The messages of the next frame."""
    with trio.fail_after(20):
        frame = await ws.get_message()
    assert isinstance(frame, str)
    return [json.loads(line) for line in frame.split("\n")]


@asynccontextmanager
async def open_port(table: Table, own_task: str = "") -> AsyncIterator[Port]:
    """Serve the feed of a table until the block is left."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        scope = trio.CancelScope()
        port = Port(listeners[0].socket.getsockname()[1], scope)

        async def serve() -> None:
            with scope:
                await trio.serve_listeners(serve_client, listeners)

        async def serve_client(stream: trio.SocketStream) -> None:
            await serve_socket(stream, b"", own_task, table.feed, End(lambda: port.reason, port.wait_over))

        # Who connects before it runs waits in the listener.
        nursery.start_soon(serve)  # noqa: ASYNC113
        yield port
        nursery.cancel_scope.cancel()
