"""Durable task creations a second over the socket at 1, 8 and 64 clients, beside a bare row and event.

Every client is a process of its own with one connection, and sends a `task.add` only when the one before is
answered, which is when it is durable. The yardstick is the same server and store with a method that inserts one
row and one event.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import trio

from ringmaster.rpc.dispatch import Context, Method
from ringmaster.rpc.rights import Caller, CallerKind, Right
from ringmaster.rpc.server import Server
from ringmaster.store.connection import Connection
from ringmaster.store.thread import ThreadStore, open_store
from tests.bench.figures import Report
from tests.bench.instance import PROJECT, open_instance
from tests.bench.rpc_roundtrip import make_listener, race

CLIENTS = (1, 8, 64)
AIM_PER_S = {64: 10_000}

CLIENT = """
import os, socket, sys, time
path, seconds, before, after = sys.argv[1], float(sys.argv[2]), sys.argv[3].encode(), sys.argv[4].encode() + b"\\n"
s = socket.socket(socket.AF_UNIX)
s.connect(path)
send, recv, clock = s.send, s.recv, time.monotonic
os.write(1, b"r")
os.read(0, 1)
began = clock()
end = began + seconds
count = 0
while clock() < end:
    send(b"%s%d%s" % (before, count, after))
    answer = recv(65536)
    while not answer.endswith(b"\\n"):
        answer += recv(65536)
    if b'"error"' in answer[:40]:
        raise SystemExit(answer)
    count += 1
os.write(1, b"%f" % (count / (clock() - began)))
"""


class RowParams(msgspec.Struct):
    """The text of a row."""

    title: str


class Row(msgspec.Struct):
    """Its number."""

    seq: int


def insert_row(conn: Connection, title: str) -> Row:
    """One row and one event."""
    conn.execute("INSERT INTO bench_rows (title) VALUES (?)", (title,))
    conn.emit("bench.row", data={"title": title})
    return Row(conn.events[-1].seq)


async def add_row(context: Context[ThreadStore], params: RowParams) -> Row:
    """The handler of the yardstick."""
    return await context.services.write(insert_row, params.title)


async def serve_rows(directory: Path, listener: object) -> None:
    """The server with the yardstick's method."""
    method = Method("bench.row", RowParams, Row, add_row, Right.OPERATE, is_mutating=True, summary="A row.")
    async with open_store(directory / "rows.db", reserve_bytes=4096) as store:
        await store.write(lambda conn: conn.execute("CREATE TABLE bench_rows (id INTEGER PRIMARY KEY, title TEXT)"))
        await Server([method], store, lambda peer: Caller(CallerKind.OPERATOR, "bench")).serve(listener)  # type: ignore[arg-type]


def creations_per_s(socket: Path, clients: int, seconds: float, method: str, params: str) -> float:
    """Answered requests a second of `clients` processes; `params` holds a % where a number goes."""
    before, after = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}'.split("%")
    return race(CLIENT, (str(socket), str(seconds), before, after), clients)


def bare_rows_per_s(clients: int, seconds: float) -> float:
    """The yardstick."""
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        path = Path(directory, "s")
        with make_listener(path) as listener:
            server = os.fork()
            if server == 0:
                trio.run(serve_rows, Path(directory), listener)
                os._exit(1)
        try:
            # The listener is there already; the first answer comes once the store is open.
            return creations_per_s(path, clients, seconds, "bench.row", '{"title":"Mend finding %"}')
        finally:
            os.kill(server, 9)
            os.waitpid(server, 0)


def run(figures: Report) -> None:
    """Ours and the yardstick in turns."""
    figures.head("durable task creations over the socket, clients in processes of their own")
    seconds, rounds = (0.5, 3) if figures.is_quick else (1.5, 5)
    params = f'{{"title":"Mend finding %","project_id":"{PROJECT}"}}'
    with open_instance() as daemon:
        for clients in CLIENTS:
            ours, bare = [], []
            for number in range(rounds):
                figures.under_way(f"{clients} clients, round {number + 1} of {rounds}")
                ours.append(creations_per_s(daemon.socket, clients, seconds, "task.add", params))
                bare.append(bare_rows_per_s(clients, seconds))
            figures.figure(
                f"{clients} clients",
                ours,
                "/s",
                yardstick=("a bare row and event", bare),
                at_least=AIM_PER_S.get(clients),
            )
