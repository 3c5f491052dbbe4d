"""A server that executes itself anew when `test.exec` is called, and keeps listener and clients.

Run: python -m tests.fakes.reexec LISTENER_FD HANDOFF_FD IMAGE, with -1 for no handoff.
"""

from __future__ import annotations

import os
import socket
import sys

import trio

from ringmaster.rpc.dispatch import Context
from ringmaster.rpc.handoff import HandedConnection, decode_handoff, encode_handoff
from ringmaster.rpc.rights import Right
from ringmaster.rpc.server import Server
from tests.fakes.handing import MORE, Image
from tests.fakes.rpc import OPERATOR, Number, make_method


class Executing(Image):
    """number: how many images there were before."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.is_told = trio.Event()


def tell_image(context: Context[Executing], params: Number) -> Number:
    return Number(n=context.services.number)


def execute(context: Context[Executing], params: Number) -> Number:
    context.services.is_told.set()
    return params


METHODS = (
    *MORE,
    make_method("test.image", Number, tell_image),
    make_method("test.exec", Number, execute, Right.READ),
)


async def serve(listener: socket.socket, handed: tuple[HandedConnection, ...], number: int) -> bytes:
    image = Executing(number)
    image.gate.set()
    server = image.server = Server(METHODS, image, lambda peer: OPERATOR)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener, handed)
        await image.is_told.wait()
        server.quiesce()
        await server.wait_settled()
        connections = server.hand_over()
        nursery.cancel_scope.cancel()
    for connection in connections:
        os.set_inheritable(connection.fd, True)
    return encode_handoff(connections)


def main(listener_fd: int, handoff_fd: int, number: int) -> None:
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(False)
    handed: tuple[HandedConnection, ...] = ()
    if handoff_fd >= 0:
        with open(handoff_fd, "rb") as file:
            handed = decode_handoff(file.read())
    document = trio.run(serve, listener, handed, number)
    memory = os.memfd_create("handoff", 0)
    with open(memory, "wb", closefd=False) as file:
        file.write(document)
    os.lseek(memory, 0, os.SEEK_SET)
    os.set_inheritable(listener_fd, True)
    argv = [sys.executable, "-m", "tests.fakes.reexec", str(listener_fd), str(memory), str(number + 1)]
    os.execve(sys.executable, argv, os.environ)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
