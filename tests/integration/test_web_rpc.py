"""`/rpc`: the methods of the socket in one request, mutations that outlive their client, and leaving."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.rpc import single
from ringmaster.web.connection import Limits
from tests.fakes.door import TOKEN, UPGRADE, Visitor, open_door, until


async def post(visitor: Visitor, document: Any) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await visitor.ask("POST", "/rpc", body, authorization=f"Bearer {TOKEN}")


def member(method: str, number: object = 1, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": number}


def note(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


async def test_documents_are_answered_as_on_the_socket(tmp_path: Path):
    documents: list[Any] = [
        member("test.echo", n=2),
        member("test.refuse"),
        member("test.nothing"),
        member("test.echo", n="x"),
        member("test.echo", "an id", m=1),
        b"{",
        b"[]",
        b"7",
        b'{"jsonrpc":"2.0","id":5}',
        [member("test.echo", 1, n=1), note("test.echo", n=2), 7, member("test.nothing", 3)],
    ]
    async with open_door(tmp_path) as door, door.visit() as visitor, await door.rpc.connect() as client:
        for document in documents:
            said = await post(visitor, document)
            assert said.status == 200
            await client.send(
                document + b"\n" if isinstance(document, bytes) else json.dumps(document).encode() + b"\n"
            )
            assert said.json == await client.answer()


async def test_notifications_are_carried_out_and_not_answered(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        door.rpc.world.gate.set()
        for document in (note("test.write_gated", n=4), [note("test.write_gated", n=5), note("test.nothing")]):
            said = await post(visitor, document)
            assert (said.status, said.body) == (204, b"")
        assert door.rpc.world.ended == [4, 5]


async def test_a_stream_is_refused_in_words(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        error = (await post(visitor, member("test.count", n=3))).json["error"]
        assert error["data"]["kind"] == "refused"
        assert "a stream needs a connection that stays" in error["message"]
        assert "/stream" in error["data"]["hint"]


async def test_a_batch_is_answered_whole_with_deferred_and_slow_members(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor, trio.open_nursery() as nursery:
        said: list[Any] = []

        async def ask() -> None:
            batch = [member("test.deferred", 0, n=1), *(member("test.later", n, n=n) for n in range(1, 400))]
            said.append(await post(visitor, batch))

        nursery.start_soon(ask)
        await until(lambda: door.rpc.world.answers)
        door.rpc.world.answers.pop()()
        await until(lambda: said)
        assert sorted(one["id"] for one in said[0].json) == list(range(400))


async def test_a_batch_with_too_long_an_answer_says_what_was_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(single, "ANSWER_BYTES", 10_000)
    async with open_door(tmp_path) as door, door.visit() as visitor:
        said = await post(visitor, [member("test.big", n, n=6000) for n in range(4)])
        assert [("result" in one, one["id"]) for one in said.json] == [(True, 0), (True, 1), (False, 2), (False, 3)]
        assert "was not begun" in said.json[2]["error"]["message"]


async def test_a_mutation_goes_on_without_its_client_and_a_read_does_not(tmp_path: Path):
    async with open_door(tmp_path, limits=Limits(half_closed_s=0)) as door:
        world = door.rpc.world
        for method, n in (("test.read_gated", 1), ("test.write_gated", 2)):
            world.has_begun = trio.Event()
            world.has_ended = trio.Event()
            async with door.visit() as visitor:
                body = json.dumps(member(method, n=n))
                head = f"POST /rpc HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\nauthorization: Bearer {TOKEN}\r\n"
                head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                await visitor.send((head + body).encode())
                await world.has_begun.wait()
            if n == 1:
                with trio.fail_after(5):
                    await world.has_ended.wait()
        await until(lambda: not door.door.connections)
        assert (world.cancelled, door.rpc.server.unsettled()) == ([1], ("test.write_gated",))
        world.gate.set()
        with trio.fail_after(5):
            await world.has_ended.wait()
        assert (world.begun, world.ended) == ([1, 2], [2])


async def test_who_shuts_only_its_sending_side_gets_its_answer(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        body = json.dumps(member("test.later", n=3))
        head = f"POST /rpc HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\nauthorization: Bearer {TOKEN}\r\n"
        await visitor.send(
            f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        await visitor.stream.send_eof()
        assert (await visitor.answer()).json["result"]["n"] == 3


async def test_a_switch_waits_for_what_changes_something_and_cuts_what_only_reads(tmp_path: Path):
    async with open_door(tmp_path) as door, trio.open_nursery() as nursery:
        server, world = door.rpc.server, door.rpc.world
        said: dict[str, Any] = {}

        async def ask(name: str, method: str) -> None:
            async with door.visit() as visitor:
                said[name] = await visitor.call(method)

        nursery.start_soon(ask, "writes", "test.write_gated")
        nursery.start_soon(ask, "reads", "test.read_gated")
        await until(lambda: len(world.begun) == 2)
        server.quiesce()
        assert server.unsettled() == ("test.write_gated",)
        assert server.lasting(0.0) == ("test.write_gated",)
        await ask("late", "test.echo")
        assert (said["late"].status, said["late"].headers["retry-after"]) == (503, "1")
        with pytest.raises(RuntimeError, match=r"test\.write_gated"):
            server.hand_over()
        # The same gate lets the read go: what is looked at here is the mutation.
        async with door.visit() as idle:
            assert (await idle.ask("GET", "/health")).status == 200
            world.gate.set()
            with trio.fail_after(5):
                await server.wait_settled()
            server.hand_over()
            with trio.fail_after(5):
                await door.door.drain()
            assert await idle.ends(), "a kept connection is closed at a switch"
        assert said["writes"].status == 200
        assert said["reads"].status in (200, 503)


async def test_what_only_reads_is_told_to_ask_again(tmp_path: Path):
    async with open_door(tmp_path) as door, trio.open_nursery() as nursery:
        said: list[Any] = []

        async def ask() -> None:
            async with door.visit() as visitor:
                said.append(await visitor.call("test.read_gated"))

        nursery.start_soon(ask)
        await door.rpc.world.has_begun.wait()
        with trio.fail_after(5):
            await door.rpc.server.drain()
            await door.door.drain()
        await until(lambda: said)
        assert (said[0].status, said[0].headers["connection"]) == (503, "close")
        assert said[0].json["error"]["kind"] == "stopping"


async def test_who_has_just_connected_is_told_before_the_door_closes(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor, trio.open_nursery() as nursery:
        await until(lambda: door.door.connections)
        nursery.start_soon(door.door.drain)
        await trio.testing.wait_all_tasks_blocked()
        said = await visitor.ask("GET", "/health")
        assert (said.status, said.headers["connection"]) == (200, "close")


async def test_a_door_that_parts_and_resumes_keeps_who_comes_meanwhile_waiting(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as idle, door.visit() as following, door.visit() as busy:
        door.is_following = True
        assert (await idle.ask("GET", "/health")).status == 200
        given = UPGRADE | {"authorization": f"Bearer {TOKEN}"}
        assert (await following.ask("GET", "/stream", None, **given)).status == 101
        said: list[Any] = []

        async def ask(visitor: Visitor, method: str) -> None:
            said.append(await visitor.call(method))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, busy, "test.read_gated")
            await door.rpc.world.has_begun.wait()
            with trio.fail_after(5):
                await door.door.part()
            assert await following.ends()
            assert await idle.ends()
            async with door.visit() as late, trio.open_nursery() as asking:
                asking.start_soon(ask, late, "test.echo")
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert said == []
                door.door.resume()
                await until(lambda: said)
                assert said.pop().status == 200
                door.rpc.world.gate.set()
                await until(lambda: said)
                assert (said[0].status, said[0].headers["connection"]) == (200, "close")


async def test_who_is_told_to_leave_while_it_takes_its_answer_is_not_waited_for(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor, trio.open_nursery() as nursery:
        (door.folder / "long.txt").write_bytes(b"x" * (8 << 20))
        await visitor.send(f"GET /long.txt HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n\r\n".encode())
        await trio.lowlevel.wait_readable(visitor.stream.socket)
        await trio.testing.wait_all_tasks_blocked(0.01)
        # Its answer is half out, and says that the connection stays.
        nursery.start_soon(door.door.drain)
        await trio.testing.wait_all_tasks_blocked(0.01)
        said = await visitor.answer()
        assert (len(said.body), said.headers.get("connection")) == (8 << 20, None)
        assert await visitor.ends()
