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

DISABLED = "is_enabled of [stream] is false"
LAST_ANSWERS_S = 0.2
"""How long what was begun is waited for before the door moves elsewhere."""

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
    """Serves the door for as long as the daemon runs, where settings say. Where it cannot listen the log says so, and
    all else goes on.

    handed_fd: what the image before handed over, this one's to close; -1 for none.
    """

    def __init__(self, paths: Paths, settings: StreamSettings, parts: Parts, *, handed_fd: int = -1) -> None:
        self._paths = paths
        self._settings = settings
        self._parts = parts
        self._handed_fd = handed_fd
        self._access: Access | None = None
        self._door: Door | None = None
        self._origins: Origins | None = None
        self._listener: socket.socket | None = None
        self._next: socket.socket | None = None
        self._moved = trio.Event()
        self._turn = trio.CancelScope()
        self._url = ""
        self._why_not = "it is being started"
        self._token = ""
        self._port = 0

    def make_link(self) -> DashboardLink:
        """A link for a page. Raises RingmasterError where none is served."""
        if self._access is None or not self._url:
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
        self._take_up(self._take_handed() or self._bind_or_say())
        task_status.started()
        while True:
            with trio.CancelScope() as self._turn:
                await self._serve_here()
            self._take_up(self._next or self._bind_or_say())
            self._next = None
            self._moved.set()

    async def apply(self, settings: StreamSettings) -> None:
        """Serve by these from now on: further names at once, elsewhere when what was begun is answered.

        Where it cannot listen there it stays where it is, and the log says so; asked again it tries again. Cancelled it
        may have moved.
        """
        self._settings = settings
        if self._origins is not None:
            self._origins.allow(settings.names)
        is_port_kept = False
        if self._listener is not None:
            is_port_kept = settings.is_enabled and settings.port in (0, self._port)
            if is_port_kept and settings.listen == self._listener.getsockname()[0]:
                self._why_not = ""
                return
        elif not settings.is_enabled:
            self._why_not = DISABLED
            return
        if settings.is_enabled and not is_port_kept:
            # Before the place that is served is left. The same port at another address has to be free first.
            self._next = self._bind_or_say()
            if self._next is None:
                return
        with trio.move_on_after(LAST_ANSWERS_S):
            await self.drain()
        self._moved = trio.Event()
        self._turn.cancel()
        await self._moved.wait()

    async def part(self) -> None:
        """Have websockets and idle clients come again, and accept nobody until `resume`. Bound it with a deadline."""
        if self._door is not None:
            await self._door.part()

    def resume(self) -> None:
        """Accept again."""
        if self._door is not None:
            self._door.resume()

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
        if (
            self._settings.is_enabled
            and address == self._settings.listen
            and self._settings.port in (0, port)
            and self._is_let_in()
        ):
            return listener
        listener.close()
        return None

    def _bind_or_say(self) -> socket.socket | None:
        """A listener where settings say; None where none is wanted, or can be had, which the log says."""
        if not self._settings.is_enabled:
            self._why_not = DISABLED
            return None
        if not self._is_let_in():
            return None
        settings = self._settings
        try:
            return bind(settings, self._port or read_last(self._paths.state, self._token).port)
        except OSError as error:
            place = f"{settings.listen}:{settings.port}" if settings.port else settings.listen
            self._why_not = f"cannot listen on {place}: {error.strerror or error}"
            log.warning("%s: %s", f"the page stays at {self._url}" if self._url else "no page", self._why_not)
            return None

    def _is_let_in(self) -> bool:
        """Whether there is a token, and so somebody who may come in."""
        if self._access is not None:
            return True
        try:
            self._token = ensure_token(self._paths.state)
        except OSError as error:
            self._why_not = f"there is no token: {error.strerror or error}"
            log.warning("no page: %s", self._why_not)
            return False
        logins = read_last(self._paths.state, self._token).logins
        self._access = Access(self._token, logins, on_change=self._keep)
        return True

    def _take_up(self, listener: socket.socket | None) -> None:
        """Make a door for it, and say where that is; None: there is none."""
        self._listener = listener
        if listener is None:
            remove_place(self._paths.state)
            return
        address, self._port = listener.getsockname()[:2]
        self._url = f"http://{f'[{address}]' if ':' in address else address}:{self._port}"
        self._why_not = ""
        self._origins = Origins(address, self._port, self._settings.names)
        assert self._access is not None
        routes = Routes(self._house(), self._access, self._origins, Pages())
        self._door = Door(routes.answer, self._hand_on)
        self._keep()
        write_place(self._paths.state, Place(url=self._url, port=self._port, pid=os.getpid()))
        log.info("the page is at %s (rmctl dashboard)", self._url)

    async def _serve_here(self) -> None:
        if self._listener is None or self._door is None:
            await trio.sleep_forever()
        try:
            with self._listener:
                await self._door.serve(self._listener)
        finally:
            self._listener = self._door = self._origins = None
            self._url = ""

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
