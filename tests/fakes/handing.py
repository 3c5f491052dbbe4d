"""Images of a server one after the other, each in a trio run of its own, and clients that outlive them."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from ringmaster.rpc.answers import MeterLike
from ringmaster.rpc.calls import Limits
from ringmaster.rpc.dispatch import Context, Method, Streaming
from ringmaster.rpc.handoff import decode_handoff, encode_handoff
from ringmaster.rpc.rights import Right
from ringmaster.rpc.server import Server
from tests.fakes.listening import open_listener
from tests.fakes.rpc import METHODS, OPERATOR, Number, Subscribed, World, make_method

SETTLE_S = 10.0


class Image(World):
    """What the handlers of one image share, and the server they belong to. meter: of the server, if any."""

    server: Server
    meter: MeterLike | None = None


def ticks(context: Context[Image], params: Number) -> Streaming[Subscribed]:
    """Streams the numbers from n on, for ever."""
    number = context.connection.reserve_subscription()
    world = context.services

    async def produce(stream: Any) -> None:
        n = params.n
        while True:
            stream.resume_at(Number(n=n + 1))
            await stream.send(n)
            n += 1

    world.begun.append(params.n)
    return Streaming(Subscribed(subscription=number), number, "test.item", produce)


def quiesce(context: Context[Image], params: Number) -> Number:
    """Quiesces the server in the middle of a turn, when what came before was taken and has not begun."""
    context.services.server.quiesce()
    return params


MORE: tuple[Method[Any, Any], ...] = (
    *METHODS,
    make_method("test.ticks", Number, ticks),
    make_method("test.quiesce", Number, quiesce, Right.READ),
)

Script = Callable[[Image], Awaitable[None]]


async def settled(image: Image) -> None:
    """The script of an image that does whatever there is to do at once."""
    await trio.testing.wait_all_tasks_blocked()


class Images:
    """Runs one image after the other on a listener. caller: who a client is taken for when it is accepted."""

    def __init__(self, listener: socket.socket, limits: Limits | None, methods: Sequence[Method[Any, Any]]) -> None:
        self.listener = listener
        self.document = encode_handoff(())
        self.caller = OPERATOR
        self._limits = limits
        self._methods = methods

    def run(self, script: Script = settled, *, prepare: Callable[[Image], None] | None = None) -> Image:
        """Serve what the last image handed over until the script is through, and hand over in turn."""
        return trio.run(self._run, script, prepare)

    async def _run(self, script: Script, prepare: Callable[[Image], None] | None) -> Image:
        image = Image()
        if prepare is not None:
            prepare(image)
        image.server = Server(self._methods, image, lambda peer: self.caller, self._limits, image.meter)
        async with trio.open_nursery() as nursery:
            await nursery.start(image.server.serve, self.listener, decode_handoff(self.document))
            with trio.fail_after(30):
                await script(image)
            image.server.quiesce()
            with trio.fail_after(SETTLE_S):
                await image.server.wait_settled()
            self.document = encode_handoff(image.server.hand_over())
            nursery.cancel_scope.cancel()
        return image

    def end(self) -> None:
        """Hang up on whoever is left."""
        for handed in decode_handoff(self.document):
            socket.socket(fileno=handed.fd).close()


@contextmanager
def open_images(
    directory: Path, limits: Limits | None = None, methods: Sequence[Method[Any, Any]] = MORE
) -> Iterator[Images]:
    """Images that listen at `directory`/s. Nobody is left connected at the end."""
    with open_listener(directory / "s") as listener:
        images = Images(listener, limits, methods)
        try:
            yield images
        finally:
            images.end()


class Client:
    """A blocking client that never connects again."""

    def __init__(self, images: Images) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(images.listener.getsockname())
        self._received = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_json(self, *documents: Any) -> None:
        self.send(b"".join(json.dumps(document).encode() + b"\n" for document in documents))

    def line(self) -> bytes:
        """The next line; b"" when the server hung up."""
        while b"\n" not in self._received:
            data = self.socket.recv(1 << 20)
            if not data:
                return b""
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    def answer(self) -> Any:
        line = self.line()
        assert line, "the server hung up"
        return json.loads(line)

    def answers(self, count: int) -> list[Any]:
        return [self.answer() for _ in range(count)]

    def has_more(self) -> bool:
        """Whether anything is there that was not read."""
        self.socket.setblocking(False)
        try:
            return bool(self._received or self.socket.recv(1))
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(20)
