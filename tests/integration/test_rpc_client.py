"""The blocking client and the server, together over a real socket."""

from __future__ import annotations

import pytest
import trio

from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.rpc.calls import Limits
from tests.fakes.rpc import Number, open_server


async def in_thread(path, work):
    def run():
        with Client(str(path), timeout_s=10.0) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


async def test_calls_errors_and_streams_come_through(tmp_path):
    def work(client):
        assert client.call("test.later", Number(n=3), Number) == Number(n=3)
        with pytest.raises(RingmasterError) as caught:
            client.call("test.refuse")
        assert (caught.value.kind, caught.value.hint) == (ErrorKind.WRONG_STATE, "reopen it")
        with pytest.raises(RingmasterError) as caught:
            client.call("test.nothing")
        assert caught.value.exit_code == 8
        assert list(client.stream("test.count", {"n": 5})) == [0, 1, 2, 3, 4]
        with pytest.raises(RingmasterError) as caught:
            list(client.stream("test.count_and_fail", {}))
        assert caught.value.kind is ErrorKind.NOT_FOUND

    async with open_server(tmp_path) as running:
        await in_thread(running.path, work)


async def test_many_calls_with_large_answers_pass_a_server_that_holds_little(tmp_path):
    def work(client):
        return client.call_many([("test.big", {"n": 20_000}), ("test.later", {"n": 1})] * 500)

    async with open_server(tmp_path, limits=Limits(output_bytes=64 * 1024)) as running:
        results = await in_thread(running.path, work)
    assert [len(found.get("text", "")) for found in results] == [20_000, 0] * 500


async def test_a_client_that_was_hung_up_on_finds_the_next_server(tmp_path):
    def call() -> object:
        return client.call("test.echo", {"n": 1}, is_repeatable=True)

    with Client(str(tmp_path / "s"), timeout_s=10.0) as client:
        async with open_server(tmp_path):
            assert await trio.to_thread.run_sync(call) == {"n": 1}
        async with open_server(tmp_path):
            assert await trio.to_thread.run_sync(call) == {"n": 1}
