"""Calls that are answered by a callback: their order, their errors, their place among the others."""

from __future__ import annotations

import trio
import trio.testing

from ringmaster.rpc.calls import Limits
from tests.fakes.rpc import open_server, request

SMALL = Limits(in_flight=4)


async def test_a_deferred_answer_keeps_the_order_of_beginnings_and_is_sent_when_told(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        world = running.world
        methods = ["test.deferred", "test.write_gated", "test.deferred", "test.write_gated", "test.deferred"]
        await client.send_json(*(request(method, n, n=n) for n, method in enumerate(methods, 1)))
        await client.call("test.echo")
        await trio.testing.wait_all_tasks_blocked()
        assert world.begun == [1, 2, 3, 4, 5]
        for answer in reversed(world.answers):
            answer()
        assert [(await client.answer())["result"]["n"] for _ in range(3)] == [5, 3, 1]
        world.gate.set()
        assert {(await client.answer())["id"] for _ in range(2)} == {2, 4}


async def test_a_deferred_call_that_fails_or_cannot_begin_is_refused_in_words(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send_json([request("test.deferred", 1, n=-1), request("test.deferred", 2, n=0)])
        await client.call("test.echo", number=3)
        running.world.answers.pop()()
        answers = {answer["id"]: answer["error"]["data"]["kind"] for answer in await client.answer()}
        assert answers == {1: "wrong_state", 2: "stopping"}


async def test_deferred_answers_count_among_the_calls_that_are_taken(tmp_path):
    async with open_server(tmp_path, limits=SMALL) as running, await running.connect() as client:
        world = running.world
        await client.send_json(*(request("test.deferred", n, n=n) for n in range(1, 11)))
        got: list[int] = []
        while len(got) < 10:
            await trio.testing.wait_all_tasks_blocked()
            assert len(world.answers) == min(4, 10 - len(got))
            world.answers.pop(0)()
            got.append((await client.answer())["id"])
        assert got == list(range(1, 11))


async def test_a_drain_waits_for_a_deferred_answer_and_a_client_that_left_harms_nothing(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        gone = await running.connect()
        await client.send_json(request("test.deferred", n=1))
        await gone.send_json(request("test.deferred", n=2))
        await trio.testing.wait_all_tasks_blocked()
        await gone.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        drained = trio.Event()

        async def drain() -> None:
            await running.server.drain()
            drained.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await trio.testing.wait_all_tasks_blocked()
            assert not drained.is_set()
            for answer in running.world.answers:
                answer()
        assert (await client.answer())["result"]["n"] == 1
