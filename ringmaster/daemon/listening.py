"""The door of a daemon: its listener, who is let in, and what it is given of the other parts."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable

import msgspec
import trio

from ringmaster.daemon.passing import bind, pack_listener, unpack_listener
from ringmaster.daemon.peers import Peers
from ringmaster.doctor.facts import PageFacts
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.protocol.codes import MAX_LINE_BYTES
from ringmaster.protocol.dashboard import DashboardLink
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.server import Server
from ringmaster.settings import Paths
from ringmaster.web.access import Access, digest_of
from ringmaster.web.door import Door
from ringmaster.web.message import Refusal, Upgrade, encode_answer
from ringmaster.web.origins import Origins
from ringmaster.web.pages import Pages
from ringmaster.web.routes import House, Routes
from ringmaster.web.token import Last, Place, ensure_token, read_last, remove_place, write_last, write_place

log = logging.getLogger("ringmaster.web")

OnUpgrade = Callable[[trio.abc.HalfCloseableStream, bytes, Caller, Callable[[], Awaitable[str]]], Awaitable[None]]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the door shows.

    on_upgrade: serves a websocket for a caller, until its right is over; None where nobody does.
    health: status and body of `/health`; metrics: the text of `/metrics`.
    """

    server: Callable[[], Server]
    peers: Peers
    health: Callable[[], tuple[int, dict[str, object]]]
    metrics: Callable[[], Awaitable[bytes]] | None = None
    on_upgrade: OnUpgrade | None = None


class Listening:
    """Serves the door for as long as the daemon runs. Where it cannot listen the log says so, and all else goes on.

    handed_fd: what the image before handed over, this one's to close; -1 for none.
    """

    def __init__(self, paths: Paths, settings: StreamSettings, parts: Parts, *, handed_fd: int = -1) -> None:
        self._paths = paths
        self._settings = settings
        self._parts = parts
        self._handed_fd = handed_fd
        self._access: Access | None = None
        self._door: Door | None = None
        self._listener: socket.socket | None = None
        self._url = ""
        self._why_not = "it is being started"
        self._token = ""
        self._port = 0

    def make_link(self) -> DashboardLink:
        """A link for a page. Raises RingmasterError where none is served."""
        if self._access is None:
            raise RingmasterError(
                ErrorKind.WRONG_STATE, f"the page is not served: {self._why_not}", "see [stream] in docs/page.md"
            )
        code = self._access.make_code(time.time())
        return DashboardLink(url=f"{self._url}/#code={code.value}", expires_at=code.expires_at)

    def facts(self) -> PageFacts:
        """How it is, for the doctor."""
        return PageFacts(
            is_enabled=self._settings.is_enabled, url=self._url, why_not=self._why_not, unseen=self._parts.peers.unseen
        )

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled; `stream.json` is there meanwhile. Started once it listens, or cannot."""
        handed = self._take_handed()
        if not self._settings.is_enabled:
            if handed is not None:
                handed.close()
            self._why_not = "is_enabled of [stream] is false"
            remove_place(self._paths.state)
            task_status.started()
            return
        try:
            listener = self._open(handed)
        except OSError as error:
            self._why_not = f"cannot listen on {self._settings.listen}: {error.strerror or error}"
            log.warning("no page: %s", self._why_not)
            remove_place(self._paths.state)
            task_status.started()
            return
        with listener:
            self._listener = listener
            self._door = self._make_door()
            self._keep()
            write_place(self._paths.state, Place(url=self._url, port=self._port, pid=os.getpid()))
            log.info("the page is at %s (rmctl dashboard)", self._url)
            await self._door.serve(listener, task_status=task_status)

    async def drain(self) -> None:
        """Accept nothing more and wait until what was begun is answered. Bound it with a deadline."""
        if self._door is not None:
            await self._door.drain()

    def hand_over(self) -> int:
        """The listener for another image, packed by `pack_listener`; the caller's. -1 where there is none, or no way.

        What connects from now on waits in its backlog.
        """
        if self._listener is None or self._listener.fileno() < 0:
            return -1
        try:
            return pack_listener(self._listener)
        except OSError as error:
            log.warning("the page's listener is not handed over, so its clients are refused for a moment: %s", error)
            return -1

    def remove_place(self) -> None:
        """The daemon stops: programs are not to look here any more."""
        remove_place(self._paths.state)

    def _take_handed(self) -> socket.socket | None:
        """The listener of the image before, where it is the one that settings ask for."""
        fd, self._handed_fd = self._handed_fd, -1
        listener = unpack_listener(fd) if fd >= 0 else None
        if listener is None:
            return None
        address, port = listener.getsockname()[:2]
        if address == self._settings.listen and self._settings.port in (0, port):
            return listener
        listener.close()
        return None

    def _open(self, handed: socket.socket | None) -> socket.socket:
        """Token, listener, and what is known of the last time. Raises OSError."""
        try:
            self._token = ensure_token(self._paths.state)
        except OSError:
            if handed is not None:
                handed.close()
            raise
        last = read_last(self._paths.state, self._token)
        listener = handed or bind(self._settings, last.port)
        self._port = listener.getsockname()[1]
        self._access = Access(self._token, last.logins, on_change=self._keep)
        return listener

    def _make_door(self) -> Door:
        address = self._settings.listen
        origins = Origins(address, self._port, self._settings.names)
        self._url = f"http://{f'[{address}]' if ':' in address else address}:{self._port}"
        assert self._access is not None
        routes = Routes(self._house(), self._access, origins, Pages())
        return Door(routes.answer, self._hand_on)

    def _keep(self) -> None:
        assert self._access is not None
        last = Last(port=self._port, token=digest_of(self._token), logins=self._access.logins)
        write_last(self._paths.state, last)

    def _house(self) -> House:
        async def rpc(document: bytes, caller: object) -> bytes | None:
            assert isinstance(caller, Caller)
            return await self._parts.server().answer(document, caller)

        return House(
            identify=self._parts.peers.identify,
            rpc=rpc,
            health=self._parts.health,
            metrics=self._parts.metrics or _no_metrics,
            now=time.time,
            rpc_bytes=MAX_LINE_BYTES,
        )

    async def _hand_on(self, stream: trio.abc.HalfCloseableStream, head: bytes, upgrade: Upgrade) -> None:
        assert isinstance(upgrade.caller, Caller)
        if self._parts.on_upgrade is not None:
            await self._parts.on_upgrade(stream, head, upgrade.caller, upgrade.wait_over)
            return
        refusal = Refusal(501, "this daemon has no websocket")
        await stream.send_all(encode_answer(refusal.answer, is_last=True, is_head=False, now=time.time()))


async def _no_metrics() -> bytes:
    await trio.lowlevel.checkpoint()
    return b""
