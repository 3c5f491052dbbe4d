"""Which request is answered how, and who may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import msgspec
import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.web.access import Access, Grant
from ringmaster.web.connection import Exchange
from ringmaster.web.message import Answer, Refusal, Request, Upgrade, json_answer
from ringmaster.web.origins import Origins, check_site
from ringmaster.web.pages import Pages

STREAM = "/stream"
WEBSOCKET_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
SMALL_BYTES = 4096
"""What a body without a token may have."""
LOGIN_HINT = "`rmctl dashboard` makes a new link"
WRONG_HINT = f"{LOGIN_HINT}; the token lies in stream.token of the state directory"
JSON_HINT = "send `Content-Type: application/json`"
NO_LOGIN_HINT = "`rm stream.token` in the state directory and `rmctl daemon restart` make a new one"
SOCKET_HINT = "connect to it with a websocket client; docs/stream.md says what it tells"
TOKEN_HINT = "send `Authorization: Bearer TOKEN`; the token lies in stream.token of the state directory"
RETRY = ((b"Retry-After", b"1"),)
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Peer(msgspec.Struct, frozen=True):
    """Whose process is at the other end. caller: as `rpc` and `stream` know it; words: why it was decided so.

    is_person: it may do what a person does. is_refused: it may do nothing at all.
    """

    caller: object
    words: str
    is_person: bool = True
    is_refused: bool = False


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What the door shows, each a function of the daemon's.

    identify: who holds the other end of a connection; local and remote as this end has them. rpc: a document of
    JSON-RPC answered, empty where only notifications were in it, None while nothing is begun. health: status and body
    of `/health`; metrics: the text of `/metrics`. now: unix seconds.
    """

    identify: Callable[[tuple[str, int], tuple[str, int]], Awaitable[Peer]]
    rpc: Callable[[bytes, object], Awaitable[bytes | None]]
    health: Callable[[], tuple[int, dict[str, object]]]
    metrics: Callable[[], Awaitable[bytes]]
    now: Callable[[], float]
    rpc_bytes: int


class Routes:
    """Answers requests. origins: by which names. access: who holds what."""

    def __init__(self, house: House, access: Access, origins: Origins, pages: Pages) -> None:
        self._house = house
        self._access = access
        self._origins = origins
        self._pages = pages
        self._posts: dict[str, Callable[[Exchange], Awaitable[Answer]]] = {
            "/login": self._login,
            "/logout": self._logout,
            "/ticket": self._ticket,
            "/rpc": self._rpc,
        }

    async def answer(self, exchange: Exchange) -> Answer | Upgrade:
        """What to do with a request. Raises `Refusal`."""
        request = exchange.request
        host = self._origins.check(request)
        if request.path != STREAM:
            check_site(request)
        else:
            return await self._upgrade(exchange)
        if request.query:
            raise Refusal(400, "this address takes no query", TOKEN_HINT, kind=ErrorKind.USAGE)
        post = self._posts.get(request.path)
        if post is not None:
            _check_method(request, "POST")
            return await post(exchange)
        _check_method(request, "GET", "HEAD")
        if request.path == "/health":
            return json_answer(*self._house.health())
        if request.path == "/metrics":
            return await self._metrics(exchange)
        return await self._pages.answer(request, host)

    async def _login(self, exchange: Exchange) -> Answer:
        document = await _read_json(exchange, SMALL_BYTES)
        code = document.get("code")
        login = None
        # Whose process asks is looked for in all of /proc, and so not for everyone who has no code.
        if isinstance(code, str) and self._access.has_code(code, self._house.now()):
            peer = await self._identify(exchange)
            if not peer.is_person:
                raise Refusal(403, f"a login is for a person: {peer.words}", kind=ErrorKind.PERMISSION)
            login = self._access.redeem(code, self._house.now())
        if login is None:
            raise Refusal(401, "this link was used, or is over a minute old", LOGIN_HINT, kind=ErrorKind.PERMISSION)
        return json_answer(200, {"login": login.value, "expires_at": login.expires_at})

    async def _logout(self, exchange: Exchange) -> Answer:
        await self._admit(exchange)
        await exchange.read_body(SMALL_BYTES)
        if not self._access.end_login(_bearer(exchange.request)):
            raise Refusal(400, "the token is no login, so it cannot be ended", NO_LOGIN_HINT, kind=ErrorKind.USAGE)
        return Answer(204)

    async def _ticket(self, exchange: Exchange) -> Answer:
        grant, _ = await self._admit(exchange)
        await exchange.read_body(SMALL_BYTES)
        ticket = self._access.make_ticket(grant, self._house.now())
        return json_answer(200, {"ticket": ticket.value, "expires_at": ticket.expires_at})

    async def _rpc(self, exchange: Exchange) -> Answer:
        _, peer = await self._admit(exchange)
        _check_json(exchange.request)
        document = await exchange.read_body(self._house.rpc_bytes)
        answered = await self._call(exchange, document, peer.caller)
        if answered is None:
            raise Refusal(503, "the daemon changes over or stops; ask again", kind=ErrorKind.STOPPING, headers=RETRY)
        if not answered:
            return Answer(204)
        return Answer(200, answered, headers=((b"Cache-Control", b"no-store"),))

    async def _call(self, exchange: Exchange, document: bytes, caller: object) -> bytes | None:
        """Answer, unless the client goes meanwhile: what changes something goes on then, what only reads does not."""
        answered: bytes | None = None
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                nonlocal answered
                answered = await self._house.rpc(document, caller)
                nursery.cancel_scope.cancel()

            nursery.start_soon(call)
            await exchange.connection.wait_gone()
            nursery.cancel_scope.cancel()
        return answered

    async def _metrics(self, exchange: Exchange) -> Answer:
        _, peer = await self._admit(exchange)
        if not peer.is_person:
            raise Refusal(403, f"an attempt may not look at the whole daemon: {peer.words}", kind=ErrorKind.PERMISSION)
        return Answer(200, await self._house.metrics(), METRICS_TYPE, ((b"Cache-Control", b"no-store"),))

    async def _upgrade(self, exchange: Exchange) -> Upgrade:
        request = exchange.request
        _check_method(request, "GET")
        given = parse_qsl(request.query, keep_blank_values=True)
        if not request.is_upgrade or request.has_body:
            raise Refusal(426, "this address is for a websocket", SOCKET_HINT, headers=((b"Upgrade", b"websocket"),))
        if not given:
            _check_handshake(request)
            grant, peer = await self._admit(exchange)
            return self._upgrade_of(grant, peer)
        if [name for name, _ in given] != ["ticket"]:
            raise Refusal(400, "this address takes a ticket and nothing else", TOKEN_HINT, kind=ErrorKind.USAGE)
        if not request.header("origin"):
            raise Refusal(403, "a ticket is for a page, which says its origin", TOKEN_HINT, kind=ErrorKind.PERMISSION)
        _check_handshake(request)
        taken = self._access.take_ticket(given[0][1], self._house.now())
        if taken is None:
            raise Refusal(401, "this ticket was used, or is too old", "ask for another", kind=ErrorKind.PERMISSION)
        return self._upgrade_of(taken, await self._identify(exchange))

    def _upgrade_of(self, grant: Grant, peer: Peer) -> Upgrade:
        async def wait_over() -> str:
            await self._access.wait_over(grant, self._house.now)
            return f"the login is over; {LOGIN_HINT}"

        return Upgrade(peer.caller, wait_over)

    async def _admit(self, exchange: Exchange) -> tuple[Grant, Peer]:
        """By what a request is let in, and whose process sent it. Raises `Refusal`."""
        bearer = _bearer(exchange.request)
        challenge = ((b"WWW-Authenticate", b"Bearer"),)
        if not bearer:
            raise Refusal(401, "no token came along", TOKEN_HINT, kind=ErrorKind.PERMISSION, headers=challenge)
        grant = self._access.find(bearer, self._house.now())
        if grant is None:
            raise Refusal(
                401,
                "this token is wrong, or the login is over",
                WRONG_HINT,
                kind=ErrorKind.PERMISSION,
                headers=challenge,
            )
        return grant, await self._identify(exchange)

    async def _identify(self, exchange: Exchange) -> Peer:
        """Decided once for a connection, when something is first asked for that not everyone may have."""
        connection = exchange.connection
        peer = connection.kept
        if not isinstance(peer, Peer):
            peer = connection.kept = await self._house.identify(connection.local, connection.remote)
        if peer.is_refused:
            raise Refusal(403, f"this is not for its caller: {peer.words}", kind=ErrorKind.PERMISSION)
        return peer


def _bearer(request: Request) -> str:
    """The token or login that came along; '' for none."""
    scheme, _, bearer = request.header("authorization").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else ""


def _check_method(request: Request, *allowed: str) -> None:
    if request.method not in allowed:
        names = " or ".join(allowed)
        headers = ((b"Allow", ", ".join(allowed).encode()),)
        raise Refusal(405, f"this address takes {names}", kind=ErrorKind.USAGE, headers=headers)


def _check_handshake(request: Request) -> None:
    """What RFC 6455 4.2.1 asks of it: a ticket is not spent on an upgrade that cannot be, nor a place held for one."""
    words = {word.strip().lower() for word in request.header("connection").split(",")}
    if "upgrade" not in words or request.header("sec-websocket-version") != "13" or not request.is_http_11:
        headers = ((b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"))
        raise Refusal(
            426, "this address is for a websocket of version 13", SOCKET_HINT, kind=ErrorKind.PROTOCOL, headers=headers
        )
    if not WEBSOCKET_KEY.fullmatch(request.header("sec-websocket-key")):
        raise Refusal(400, "the key of the websocket is not 16 bytes in base64", kind=ErrorKind.PROTOCOL)


def _check_json(request: Request) -> None:
    """A form of another page can send other types without being asked about; not this one."""
    kind = request.header("content-type").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "this address takes application/json alone", JSON_HINT, kind=ErrorKind.USAGE)


async def _read_json(exchange: Exchange, most: int) -> dict[str, object]:
    _check_json(exchange.request)
    body = await exchange.read_body(most)
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refusal(400, "the body is no JSON object", kind=ErrorKind.USAGE)
    return document
