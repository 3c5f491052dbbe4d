"""A real RPC server over a table of test methods, and a raw client that can misbehave."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import PeerCredentials
from ringmaster.rpc.calls import Limits
from ringmaster.rpc.dispatch import Context, Deferred, Method, Streaming
from ringmaster.rpc.rights import Caller, CallerKind, Right
from ringmaster.rpc.server import Server
from tests.fakes.listening import open_listener

OPERATOR = Caller(CallerKind.OPERATOR, "it is a test")


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """n: any number."""

    n: int = 0


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two numbers, the first required."""

    minuend: int
    subtrahend: int = 0


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A text."""

    text: str = ""


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The number of a subscription."""

    subscription: int


class World:
    """What the handlers share: what they did, and gates that a test opens."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []
        self.gate = trio.Event()
        self.has_begun = trio.Event()
        self.has_ended = trio.Event()
        self.answers: list[Callable[[], None]] = []


def echo(context: Context[World], params: Number) -> Number:
    return params


def subtract(context: Context[World], params: Pair) -> int:
    return params.minuend - params.subtrahend


async def later(context: Context[World], params: Number) -> Number:
    """Answers after a checkpoint."""
    await trio.lowlevel.checkpoint()
    return params


async def gated(context: Context[World], params: Number) -> Number:
    """Notes that it began, and ends when the test opens the gate."""
    world = context.services
    world.begun.append(params.n)
    world.has_begun.set()
    try:
        await world.gate.wait()
    except trio.Cancelled:
        world.cancelled.append(params.n)
        raise
    finally:
        world.has_ended.set()
    world.ended.append(params.n)
    return params


class Came:
    """What a deferred call came to."""

    def __init__(self, number: Number) -> None:
        self.number = number

    def outcome(self) -> Number:
        if self.number.n < 0:
            raise RingmasterError(ErrorKind.WRONG_STATE, "it is negative")
        return self.number


def deferred(context: Context[World], params: Number) -> Deferred[Number]:
    """Notes that it began, and is answered when the test calls the last of `World.answers`."""

    def begin(on_done: Callable[[Came], None]) -> None:
        if not params.n:
            raise RingmasterError(ErrorKind.STOPPING, "it is stopping")
        context.services.begun.append(params.n)
        context.services.answers.append(lambda: on_done(Came(params)))

    return Deferred(begin)


def big(context: Context[World], params: Number) -> Text:
    return Text(text="x" * params.n)


async def refuse(context: Context[World], params: Number) -> Number:
    await trio.lowlevel.checkpoint()
    raise RingmasterError(ErrorKind.WRONG_STATE, "task rm-1 is done", "reopen it")


async def refuse_in_group(context: Context[World], params: Number) -> Number:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse, context, params)
        await trio.sleep_forever()
    return params


def crash(context: Context[World], params: Number) -> Number:
    raise KeyError("secret")


async def crash_in_group(context: Context[World], params: Number) -> Number:
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("secret")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        nursery.start_soon(fail)
    return params


async def wait_in_group(context: Context[World], params: Number) -> Number:
    """Waits for ever in two trio tasks of its own."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gated, context, params)
        await gated(context, params)
    return params


def stream_in_group(context: Context[World], params: Number) -> Streaming[Subscribed]:
    """Streams nothing for ever, in two trio tasks of its own."""
    number = context.connection.reserve_subscription()

    async def produce(stream: Any) -> None:
        await wait_in_group(context, params)

    return Streaming(Subscribed(subscription=number), number, "test.item", produce)


def unencodable(context: Context[World], params: Number) -> Any:
    return object()


def count(context: Context[World], params: Number) -> Streaming[Subscribed]:
    """Streams the numbers below n; a negative n streams for ever."""
    world = context.services
    number = context.connection.reserve_subscription()

    async def produce(stream: Any) -> None:
        sent = 0
        try:
            while params.n < 0 or sent < params.n:
                await stream.send(sent)
                sent += 1
                world.begun.append(sent)
        except trio.Cancelled:
            world.has_ended.set()
            raise

    return Streaming(Subscribed(subscription=number), number, "test.item", produce)


async def count_and_fail(context: Context[World], params: Number) -> Streaming[Subscribed]:
    number = context.connection.reserve_subscription()
    await trio.lowlevel.checkpoint()

    async def produce(stream: Any) -> None:
        await stream.send("only")
        raise RingmasterError(ErrorKind.NOT_FOUND, "its log is gone")

    return Streaming(Subscribed(subscription=number), number, "test.item", produce)


def end_count(context: Context[World], params: Subscribed) -> bool:
    return context.connection.end_stream(params.subscription)


def make_method(name: str, params: Any, handler: Any, right: Right = Right.READ, is_mutating: bool = False) -> Any:
    return Method(name, params, Number, handler, right, is_mutating=is_mutating, summary=f"{name} for tests.")


METHODS: tuple[Method[Any, Any], ...] = (
    make_method("test.echo", Number, echo),
    make_method("test.anyone", Number, echo, Right.NONE),
    make_method("test.subtract", Pair, subtract),
    make_method("test.later", Number, later),
    make_method("test.read_gated", Number, gated),
    make_method("test.write_gated", Number, gated, Right.OPERATE, True),
    make_method("test.deferred", Number, deferred, Right.OPERATE, True),
    make_method("test.report", Number, echo, Right.ATTEMPT),
    make_method("test.big", Number, big),
    make_method("test.refuse", Number, refuse),
    make_method("test.refuse_in_group", Number, refuse_in_group),
    make_method("test.crash", Number, crash),
    make_method("test.crash_in_group", Number, crash_in_group),
    make_method("test.wait_in_group", Number, wait_in_group),
    make_method("test.stream_in_group", Number, stream_in_group),
    make_method("test.unencodable", Number, unencodable),
    make_method("test.count", Number, count),
    make_method("test.count_and_fail", Number, count_and_fail),
    make_method("test.end_count", Subscribed, end_count),
)


class Running:
    """A server that runs, where it listens, and what its handlers share."""

    def __init__(self, path: Path, server: Server, world: World) -> None:
        self.path = path
        self.server = server
        self.world = world

    async def connect(self) -> RawClient:
        return RawClient(await trio.open_unix_socket(self.path))


@asynccontextmanager
async def open_server(
    directory: Path,
    *,
    caller: Caller = OPERATOR,
    limits: Limits | None = None,
    methods: Sequence[Method[Any, Any]] = METHODS,
    identify: Any = None,
) -> AsyncIterator[Running]:
    """A server at `directory`/s for as long as the block runs."""
    path = directory / "s"
    world = World()

    def identify_all(peer: PeerCredentials) -> Caller:
        return caller

    server = Server(methods, world, identify or identify_all, limits)
    with open_listener(path) as listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, listener)
            yield Running(path, server, world)
            nursery.cancel_scope.cancel()


def request(method: str, number: object = 1, **params: object) -> dict[str, object]:
    """A request as a document."""
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": number}


class RawClient:
    """Sends any bytes, and reads lines."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stream.aclose()

    @property
    def socket(self) -> socket.socket:
        return self.stream.socket._sock  # type: ignore[attr-defined]

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def send_json(self, *documents: Any) -> None:
        await self.send(b"".join(json.dumps(document).encode() + b"\n" for document in documents))

    async def line(self) -> bytes:
        """The next line; b"" when the server hung up."""
        while b"\n" not in self._received:
            data = await self.stream.receive_some(1 << 20)
            if not data:
                return b""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    async def answer(self) -> Any:
        line = await self.line()
        assert line, "the server hung up"
        return json.loads(line)

    async def call(self, method: str, params: Any = None, number: int = 1) -> Any:
        request = {"jsonrpc": "2.0", "method": method, "params": params or {}, "id": number}
        await self.send_json(request)
        return await self.answer()
