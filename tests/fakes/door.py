"""A door in the test's own process, before a server of scripted methods, and raw clients of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from ringmaster.daemon.passing import bind
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.rpc.rights import Caller, CallerKind
from ringmaster.web.access import Access
from ringmaster.web.connection import Limits
from ringmaster.web.door import Door
from ringmaster.web.message import Upgrade
from ringmaster.web.origins import Origins
from ringmaster.web.pages import Pages
from ringmaster.web.routes import House, Peer, Routes
from tests.fakes.rpc import OPERATOR, Running, open_server

TOKEN = "the-token"
UPGRADE = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec_websocket_version": "13",
    "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""What an upgrade says."""
ATTEMPT = Caller(CallerKind.ATTEMPT, "it runs below the shim of attempt rm-1/1", "rm-1/1", 7)


async def until(is_so: Callable[[], object]) -> None:
    """Go on when it is so: nothing tells of it, and each turn of the loop may have made it so."""
    with trio.fail_after(10):
        while True:
            if is_so():
                return
            await trio.lowlevel.checkpoint()


class Said:
    """One answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """Its document."""
        return json.loads(self.body)

    @property
    def words(self) -> str:
        """What a refusal says: one line."""
        message = str(self.json["error"]["message"])
        assert "\n" not in message
        return message


class Visitor:
    """A client that sends what it likes."""

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self.stream = stream
        self.port = port
        self._read = b""

    async def send(self, data: bytes) -> None:
        """Send it, whatever it is."""
        await self.stream.send_all(data)

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Said:
        """A request as a program sends it; `_` in the names of headers stands for `-`, and '' leaves one out."""
        given = {"host": f"127.0.0.1:{self.port}", "content_type": "application/json" if body is not None else ""}
        if body is not None:
            given["content_length"] = str(len(body))
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in (given | headers).items() if value]
        await self.send("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + (body or b""))
        return await self.answer()

    async def call(self, method: str, bearer: str = TOKEN, **params: Any) -> Said:
        """A call of `/rpc`."""
        document = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return await self.ask("POST", "/rpc", document.encode(), authorization=f"Bearer {bearer}")

    async def answer(self) -> Said:
        """The next answer. Raises EOFError when the connection ends before it."""
        with trio.fail_after(10):
            while b"\r\n\r\n" not in self._read:
                await self._receive()
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = int(headers.get("content-length", "0"))
            while len(self._read) < length:
                await self._receive()
            body, self._read = self._read[:length], self._read[length:]
            return Said(int(first.split()[1]), headers, body)

    async def ends(self) -> bool:
        """Whether the connection ends now, with nothing more said."""
        try:
            await self.answer()
        except (EOFError, trio.BrokenResourceError):
            return not self._read
        return False

    async def _receive(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError
        self._read += data


class RunningDoor:
    """The door, who is let in, and what a test may change.

    identify_gate: set when it may be said who somebody is; identifying: how often that was asked.
    is_following: a websocket lasts until what let it in is over, and says so.
    """

    def __init__(self, rpc: Running, folder: Path) -> None:
        self.rpc = rpc
        self.peer = Peer(OPERATOR, "it is the test")
        self.now = 1000.0
        self.access = Access(TOKEN)
        self.folder = folder
        self.upgraded: list[tuple[bytes, object]] = []
        self.is_following = False
        self.identifying = 0
        self.identify_gate = trio.Event()
        self.identify_gate.set()
        self.port = 0
        self.door: Door

    async def identify(self, local: tuple[str, int], remote: tuple[str, int]) -> Peer:
        """Whoever the test says, when it says so."""
        self.identifying += 1
        await self.identify_gate.wait()
        assert local[1] == self.port
        return self.peer

    async def call(self, document: bytes, caller: object) -> bytes | None:
        """By the scripted methods."""
        assert isinstance(caller, Caller)
        return await self.rpc.server.answer(document, caller)

    async def metrics(self) -> bytes:
        """One line."""
        await trio.lowlevel.checkpoint()
        return b"up 1\n"

    async def on_upgrade(self, stream: trio.abc.HalfCloseableStream, head: bytes, upgrade: Upgrade) -> None:
        """Notes it, says so, and says what ends it."""
        self.upgraded.append((head, upgrade.caller))
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        if self.is_following:
            await stream.send_all((await upgrade.wait_over()).encode())

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visitor]:
        """A connection."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            yield Visitor(stream, self.port)


@asynccontextmanager
async def open_door(
    tmp_path: Path, *, bound: int = 100, websockets: int = 10, limits: Limits | None = None
) -> AsyncIterator[RunningDoor]:
    """A door, served until the block is left."""
    folder = tmp_path / "page"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "app.js").write_text("1")
    (folder / "secret.py").write_text("no")
    (tmp_path / "outside.txt").write_text("no")
    async with open_server(tmp_path) as rpc, trio.open_nursery() as nursery:
        running = RunningDoor(rpc, folder)
        house = House(
            identify=running.identify,
            rpc=running.call,
            health=lambda: (200, {"state": "ok"}),
            metrics=running.metrics,
            now=lambda: running.now,
            rpc_bytes=200_000,
        )
        with bind(StreamSettings(), 0) as listener:
            running.port = listener.getsockname()[1]
            routes = Routes(house, running.access, Origins("127.0.0.1", running.port, ("page.test",)), Pages(folder))
            running.door = Door(routes.answer, running.on_upgrade, bound=bound, websockets=websockets, limits=limits)
            # The nursery is cancelled at the end of this block: nothing uses the listener after it.
            await nursery.start(running.door.serve, listener)  # noqa: ASYNC111
            yield running
            nursery.cancel_scope.cancel()
