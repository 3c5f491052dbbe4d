"""Round trips a second of a trivial method at 1, 8 and 64 clients, beside a plain trio echo of the same lines.

Every client is a process of its own with one connection, and sends a request only when the one before is
answered. Run: python tests/bench/rpc_roundtrip.py [SECONDS]
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

CLIENTS = (1, 8, 64)
ROUNDS = 5
LINE = b'{"jsonrpc":"2.0","id":1,"method":"bench.nothing","params":{}}\n'

CLIENT = """
import os, socket, sys, time
path, seconds = sys.argv[1], float(sys.argv[2])
line = sys.argv[3].encode() + b"\\n"
s = socket.socket(socket.AF_UNIX)
s.connect(path)
send, recv, clock = s.send, s.recv, time.monotonic
os.write(1, b"r")
os.read(0, 1)
began = clock()
end = began + seconds
count = 0
while clock() < end:
    for _ in range(20):
        send(line)
        recv(4096)
    count += 20
os.write(1, b"%f" % (count / (clock() - began)))
"""


class NoParams(msgspec.Struct):
    """No parameters."""


class Nothing(msgspec.Struct):
    """An answer without content."""


def make_listener(path: Path) -> socket.socket:
    """A listening Unix socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    listener.setblocking(False)
    return listener


async def serve_ringmaster(listener: socket.socket) -> None:
    """The RPC server with one trivial method."""
    from ringmaster.rpc.dispatch import Method
    from ringmaster.rpc.rights import Caller, CallerKind, Right
    from ringmaster.rpc.server import Server

    nothing = Nothing()
    method = Method(
        "bench.nothing",
        NoParams,
        Nothing,
        lambda context, params: nothing,
        Right.READ,
        is_mutating=False,
        summary="Nothing.",
    )
    await Server([method], None, lambda peer: Caller(CallerKind.OPERATOR, "bench")).serve(listener)


async def serve_echo(listener: socket.socket) -> None:
    """The yardstick: a trio task per connection that sends every line back."""

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    await trio.serve_listeners(echo, [trio.SocketListener(trio.socket.from_stdlib_socket(listener))])


def race(client: str, args: Sequence[str], clients: int) -> float:
    """The sum of what `clients` processes say of themselves, which all begin at once.

    client: a program that writes `r` when it is ready, reads a byte, and at its end writes a number.
    """
    argv = [sys.executable, "-I", "-S", "-c", client, *args]
    processes = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(clients)]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.read(1) == b"r"
        for process in processes:
            assert process.stdin
            process.stdin.write(b"g")
            process.stdin.flush()
        # Each by its own clock: the ends of 64 processes take as long as the run.
        return sum(float(process.communicate()[0]) for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(server: str, clients: int, seconds: float) -> float:
    """Round trips a second of `clients` processes against a server in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "s")
        with make_listener(path) as listener:
            daemon = os.fork()
            if daemon == 0:
                trio.run(serve_ringmaster if server == "ringmaster" else serve_echo, listener)
                os._exit(1)
        try:
            return race(CLIENT, (str(path), str(seconds), LINE.decode().strip()), clients)
        finally:
            os.kill(daemon, 9)
            os.waitpid(daemon, 0)


def main(seconds: float = 1.0) -> dict[int, tuple[float, float]]:
    """Print and return, for each number of clients, the medians (ringmaster, yardstick) in round trips a second."""
    medians: dict[int, tuple[float, float]] = {}
    for clients in CLIENTS:
        # Taken in turns, so that whatever else the machine does falls on both.
        pairs = [(measure("ringmaster", clients, seconds), measure("echo", clients, seconds)) for _ in range(ROUNDS)]
        ours, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
        medians[clients] = (ours, plain)
        print(
            f"rpc round trips, {clients:2d} clients: {ours:9,.0f}/s   plain trio echo {plain:9,.0f}/s"
            f"   ({ours / plain:.2f} x)",
            flush=True,
        )
    return medians


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
