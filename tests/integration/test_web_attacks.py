"""What is sent to the door to hurt it: refused or bounded with one line, and everybody else is answered."""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.web.connection import Limits
from tests.fakes.door import TOKEN, RunningDoor, Visitor, open_door, until

AUTHORIZED = f"authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "test.echo", "params": {"n": 1}})


async def check_well(door: RunningDoor) -> None:
    """Others are answered, on both wires."""
    async with door.visit() as visitor:
        assert (await visitor.call("test.echo", n=5)).json["result"]["n"] == 5
    async with await door.rpc.connect() as client:
        assert (await client.call("test.echo", {"n": 6}))["result"]["n"] == 6


SMUGGLED = {
    "two lengths": "content-length: 2\r\ncontent-length: 3\r\n",
    "two equal lengths": "content-length: 2\r\ncontent-length: 2\r\n",
    "lengths in a list": "content-length: 2, 2\r\n",
    "length and chunks": "content-length: 2\r\ntransfer-encoding: chunked\r\n",
    "chunks and length": "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
    "chunks twice": "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    "another coding": "transfer-encoding: gzip, chunked\r\n",
    "hidden coding": "transfer-encoding: \x0bchunked\r\n",
    "folded": "transfer-encoding:\r\n chunked\r\n",
    "folded value": "x-one: 1\r\n\ttransfer-encoding: chunked\r\n",
    "space before the colon": "content-length : 2\r\n",
    "signed": "content-length: +2\r\n",
    "negative": "content-length: -2\r\n",
    "not decimal": "content-length: 0x2\r\n",
    "bare LF": "x-one: 1\ncontent-length: 2\r\n",
    "bare CR": "x-one: 1\rcontent-length: 2\r\n",
    "NUL": "x-one: 1\x00\r\n",
    "two hosts": "host: evil.test\r\n",
    "two tokens": f"authorization: Bearer {TOKEN}\r\n",
    "no name": ": 2\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_what_two_readers_would_read_in_two_ways_is_refused(tmp_path: Path, name: str):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        head = f"POST /rpc HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n{AUTHORIZED}{SMUGGLED[name]}\r\n"
        await visitor.send(head.encode("latin-1") + b"{}" + f"GET /health HTTP/1.1\r\n\r\n{CALL}".encode())
        said = await visitor.answer()
        assert said.status in (400, 501), said.body
        assert said.headers["connection"] == "close"
        assert said.words
        assert await visitor.ends(), "what was behind it was read as another request"
        await check_well(door)


@pytest.mark.parametrize(
    "line",
    [
        "GET http://127.0.0.1/ HTTP/1.1", "GET * HTTP/1.1", "CONNECT evil.test:80 HTTP/1.1", "GET  / HTTP/1.1",
        "GET / HTTP/2.0", "GET /", "\x16\x03\x01\x02\x00\x01", "GET /\x00 HTTP/1.1", "PRI * HTTP/2.0", "{}",
    ],
)  # fmt: skip
async def test_what_is_no_request_gets_one_line(tmp_path: Path, line: str):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        await visitor.send(f"{line}\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode("latin-1"))
        assert (await visitor.answer()).status in (400, 405, 505)
        await check_well(door)


async def test_a_head_and_a_body_without_end_are_cut_off(tmp_path: Path):
    async with open_door(tmp_path) as door:
        host = f"host: 127.0.0.1:{door.port}\r\n"
        for begin, status in (
            (f"GET / HTTP/1.1\r\n{host}x: ", 431),
            (f"POST /rpc HTTP/1.1\r\n{host}{AUTHORIZED}transfer-encoding: chunked\r\n\r\n", 413),
            (f"POST /rpc HTTP/1.1\r\n{host}{AUTHORIZED}content-length: 104857600\r\n\r\n", 413),
            (f"POST /login HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 5000\r\n\r\n", 413),
        ):
            async with door.visit() as visitor:
                sent = await pour(visitor, begin.encode(), 100 << 20)
                assert sent < 20 << 20
                assert (await visitor.answer()).status == status
            await check_well(door)


async def pour(visitor: Visitor, begin: bytes, most: int) -> int:
    """Send without end, until there is an answer or nobody takes it; how much was."""
    sent = 0
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if b"chunked" in begin else b"x" * 65536
    with trio.move_on_after(10) as scope:
        await visitor.send(begin)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await trio.lowlevel.wait_readable(visitor.stream.socket)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            while sent < most:
                await visitor.send(piece)
                sent += len(piece)
    assert not scope.cancelled_caught, "there was no answer"
    return sent


async def test_who_says_half_of_it_and_falls_silent_is_told_so_and_hung_up_on(tmp_path: Path):
    limits = Limits(idle_s=0.3, head_s=0.1, body_s=0.1, linger_s=0.01)
    async with open_door(tmp_path, limits=limits) as door:
        host = f"host: 127.0.0.1:{door.port}\r\n"
        for half in (
            b"G",
            f"POST /rpc HTTP/1.1\r\n{host}x-".encode(),
            f"POST /rpc HTTP/1.1\r\n{host}{AUTHORIZED}content-length: 100\r\n\r\n{{".encode(),
            f"POST /rpc HTTP/1.1\r\n{host}{AUTHORIZED}transfer-encoding: chunked\r\n\r\n5\r\n{{".encode(),
        ):
            async with door.visit() as visitor:
                await visitor.send(half)
                said = await visitor.answer()
                assert (said.status, said.headers["connection"]) == (408, "close")
                assert await visitor.ends()
        async with door.visit() as silent:
            assert await silent.ends()
        await check_well(door)


async def test_one_byte_at_a_time_does_not_make_the_time_longer(tmp_path: Path, autojump_clock: Any):
    async with open_door(tmp_path, limits=Limits(head_s=10, linger_s=0)) as door, door.visit() as visitor:
        began = trio.current_time()
        while door.door.connections or trio.current_time() == began:
            assert trio.current_time() - began < 15
            await visitor.send(b"x")
            await trio.sleep(1)


async def test_who_is_idle_longest_gives_way(tmp_path: Path):
    async with open_door(tmp_path, bound=3) as door, door.visit() as first, door.visit() as second:
        for one in (second, first):
            assert (await one.ask("GET", "/health")).status == 200
        async with door.visit() as busy, trio.open_nursery() as nursery:
            nursery.start_soon(busy.call, "test.read_gated")
            await door.rpc.world.has_begun.wait()
            async with door.visit() as third:
                assert (await third.ask("GET", "/health")).status == 200
                assert await second.ends()
                assert (await first.ask("GET", "/health")).status == 200
                assert door.door.connections == 3
            door.rpc.world.gate.set()


async def test_where_nobody_is_idle_a_new_one_is_told_so(tmp_path: Path):
    async with open_door(tmp_path, bound=1) as door, door.visit() as busy, trio.open_nursery() as nursery:
        nursery.start_soon(busy.call, "test.read_gated")
        await door.rpc.world.has_begun.wait()
        async with door.visit() as visitor:
            said = await visitor.answer()
            assert (said.status, said.words) == (503, "1 connections are open, which is the limit")
        door.rpc.world.gate.set()


async def test_who_takes_none_of_its_answer_gives_way_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ringmaster.web.connection.STALLED_S", 0.0)
    async with open_door(tmp_path, bound=2) as door, door.visit() as slow, door.visit() as busy:
        (door.folder / "long.txt").write_bytes(b"x" * (8 << 20))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(busy.call, "test.read_gated")
            await door.rpc.world.has_begun.wait()
            await slow.send(f"GET /long.txt HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode())
            await trio.lowlevel.wait_readable(slow.stream.socket)
            await trio.testing.wait_all_tasks_blocked(0.01)
            async with door.visit() as third:
                assert (await third.ask("GET", "/health")).status == 200
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await slow.answer()
            door.rpc.world.gate.set()


async def test_where_descriptors_run_out_it_waits_for_one_says_so_once_and_the_socket_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_door(tmp_path) as door, await door.rpc.connect() as client, door.visit() as leaving:
        assert (await leaving.ask("GET", "/health")).status == 200
        # Connected in the kernel, and not accepted yet: nothing has run since.
        late = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(3)]
        try:
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
            with trio.fail_after(5):
                # It would never be blocked if it asked again and again.
                await trio.testing.wait_all_tasks_blocked(0.02)
            assert (await client.call("test.echo", {"n": 6}))["result"]["n"] == 6
            assert door.door.connections == 1
            # Its end and the door's end of it are free then.
            await leaving.stream.aclose()
            await until(lambda: door.door.connections == 2)
            with trio.fail_after(5):
                await trio.testing.wait_all_tasks_blocked(0.02)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for one in late:
                one.close()
        await until(lambda: not door.door.connections)
        await check_well(door)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["cannot accept a connection: Too many open files; waiting for one to close"]


@pytest.mark.parametrize("is_full", [True, False])
async def test_who_has_gone_again_before_it_is_let_in_or_refused_ends_nothing(tmp_path: Path, is_full: bool):
    async with open_door(tmp_path, bound=1 if is_full else 9) as door, door.visit() as busy:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(busy.call, "test.read_gated")
            await door.rpc.world.has_begun.wait()
            for _ in range(3):
                gone = socket.create_connection(("127.0.0.1", door.port))
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.close()
            await trio.testing.wait_all_tasks_blocked(0.01)
            door.rpc.world.gate.set()
        assert (await busy.ask("GET", "/health")).status == 200
        await check_well(door)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[1], 4096), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_descriptors")
async def test_a_thousand_who_say_nothing_keep_nobody_out(tmp_path: Path):
    async with open_door(tmp_path, bound=200) as door:
        idle = [await trio.open_tcp_stream("127.0.0.1", door.port) for _ in range(1000)]
        try:
            await check_well(door)
            assert door.door.connections <= 200
        finally:
            for one in idle:
                await one.aclose()


async def test_requests_that_come_at_once_are_answered_in_their_order(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        requests = []
        for n in range(20):
            body = json.dumps({"jsonrpc": "2.0", "id": n, "method": "test.later", "params": {"n": n}})
            head = (
                f"POST /rpc HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n{AUTHORIZED}content-length: {len(body)}\r\n\r\n"
            )
            requests.append(head + body)
        await visitor.send("".join(requests).encode())
        assert [(await visitor.answer()).json["result"]["n"] for _ in range(20)] == list(range(20))


async def test_http_10_is_answered_once_and_only_with_a_host(tmp_path: Path):
    async with open_door(tmp_path) as door:
        async with door.visit() as visitor:
            await visitor.send(f"GET /health HTTP/1.0\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode())
            said = await visitor.answer()
            assert (said.status, said.headers["connection"]) == (200, "close")
            assert await visitor.ends()
        async with door.visit() as visitor:
            await visitor.send(b"GET /health HTTP/1.0\r\n\r\n")
            assert (await visitor.answer()).status == 400


async def test_a_long_body_is_asked_for_only_when_it_may_come(tmp_path: Path):
    async with open_door(tmp_path) as door:
        head = f"POST /rpc HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\nexpect: 100-continue\r\n"
        async with door.visit() as visitor:
            await visitor.send(f"{head}{AUTHORIZED}content-length: {len(CALL)}\r\n\r\n".encode())
            assert (await visitor.answer()).status == 100
            await visitor.send(CALL.encode())
            assert (await visitor.answer()).json["result"]["n"] == 1
        async with door.visit() as visitor:
            await visitor.send(f"{head}content-type: application/json\r\ncontent-length: 99999\r\n\r\n".encode())
            assert (await visitor.answer()).status == 401


async def test_chunks_are_put_together(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        head = f"POST /rpc HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n{AUTHORIZED}transfer-encoding: chunked\r\n\r\n"
        await visitor.send(head.encode())
        for byte in CALL.encode():
            await visitor.send(b"1\r\n%c\r\n" % byte)
        await visitor.send(b"0\r\n\r\n")
        assert (await visitor.answer()).json["result"]["n"] == 1
        assert (await visitor.ask("GET", "/health")).status == 200
