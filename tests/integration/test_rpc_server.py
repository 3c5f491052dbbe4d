"""The RPC server against clients that pipeline, flood, stall, hang up and send rubbish."""

from __future__ import annotations

import json
import random
import resource
import select
import socket

import pytest
import trio
import trio.testing

from ringmaster.protocol.codes import MAX_LINE_BYTES
from ringmaster.rpc import server
from ringmaster.rpc.calls import Limits
from tests.fakes.rpc import RawClient, open_server, request

SMALL = Limits(in_flight=4, output_bytes=64 * 1024, stall_s=0.05, mutation_grace_s=5.0)


async def test_errors_of_handlers_carry_kind_and_hint_also_out_of_a_group(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        for method in ("test.refuse", "test.refuse_in_group"):
            error = (await client.call(method))["error"]
            assert (error["code"], error["message"]) == (-32000, "task rm-1 is done")
            assert error["data"]["kind"] == "wrong_state"
            assert error["data"]["hint"] == "reopen it"
            assert error["data"]["retryable"] is False


@pytest.mark.parametrize("method", ["test.crash", "test.crash_in_group", "test.unencodable"])
async def test_an_unexpected_error_is_logged_under_an_id_and_ends_nothing(tmp_path, caplog, method):
    async with open_server(tmp_path) as running, await running.connect() as client:
        error = (await client.call(method))["error"]
        assert error["code"] == -32603
        assert "secret" not in json.dumps(error)
        error_id = error["message"].split()[2]
        record = next(record for record in caplog.records if error_id in record.getMessage())
        assert record.exc_info is not None
        assert (await client.call("test.echo", {"n": 4}))["result"] == {"n": 4}


@pytest.mark.parametrize("method", ["test.wait_in_group", "test.stream_in_group"])
async def test_a_client_that_hangs_up_on_what_waits_in_trio_tasks_of_its_own_is_no_error(tmp_path, caplog, method):
    async with open_server(tmp_path) as running:
        client = await running.connect()
        await client.send_json(request(method))
        await running.world.has_begun.wait()
        await trio.testing.wait_all_tasks_blocked()
        await client.stream.aclose()
        with trio.fail_after(10):
            await running.world.has_ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert len(running.world.cancelled) == 2
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_answers_overtake_a_call_that_waits(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send_json(request("test.read_gated", 1), request("test.echo", 2), request("test.later", 3))
        assert {(await client.answer())["id"], (await client.answer())["id"]} == {2, 3}
        running.world.gate.set()
        assert (await client.answer())["id"] == 1


async def test_mutations_of_one_connection_begin_in_order_and_together(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send_json(*(request("test.write_gated", n, n=n) for n in range(100)))
        await client.call("test.echo")
        await trio.testing.wait_all_tasks_blocked()
        assert running.world.begun == list(range(100))
        running.world.gate.set()
        assert sorted([(await client.answer())["id"] for _ in range(100)]) == list(range(100))


async def test_no_more_calls_are_taken_than_the_limit(tmp_path):
    async with open_server(tmp_path, limits=SMALL) as running, await running.connect() as client:
        await client.send_json(*(request("test.write_gated", n, n=n) for n in range(20)))
        await running.world.has_begun.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert running.world.begun == [0, 1, 2, 3]
        running.world.gate.set()
        answers = [(await client.answer())["id"] for _ in range(20)]
        assert sorted(answers) == list(range(20))
        assert running.world.begun == list(range(20))


async def test_a_mutation_goes_on_without_its_client_and_a_read_does_not(tmp_path):
    async with open_server(tmp_path) as running:
        world = running.world
        client = await running.connect()
        await client.send_json(request("test.write_gated", n=1), request("test.read_gated", n=2))
        await world.has_begun.wait()
        await trio.testing.wait_all_tasks_blocked()
        await client.stream.aclose()
        await world.has_ended.wait()
        assert (world.cancelled, world.ended) == ([2], [])
        world.has_ended = trio.Event()
        world.gate.set()
        await world.has_ended.wait()
        assert world.ended == [1]


async def test_a_mutation_is_cut_short_when_its_grace_is_over(tmp_path):
    limits = Limits(mutation_grace_s=0.01)
    async with open_server(tmp_path, limits=limits) as running:
        client = await running.connect()
        await client.send_json(request("test.write_gated", n=1))
        await running.world.has_begun.wait()
        await client.stream.aclose()
        await running.world.has_ended.wait()
        assert running.world.cancelled == [1]


async def test_a_notification_is_carried_out_though_its_sender_hangs_up_at_once(tmp_path):
    async with open_server(tmp_path) as running:
        running.world.gate.set()
        client = await running.connect()
        document = {"jsonrpc": "2.0", "method": "test.write_gated", "params": {"n": 5}}
        await client.send_json(document)
        await client.stream.aclose()
        await running.world.has_ended.wait()
        assert running.world.begun == [5]


async def test_a_client_that_only_stopped_sending_gets_its_answers(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send_json(request("test.read_gated"))
        await client.stream.send_eof()
        await running.world.has_begun.wait()
        running.world.gate.set()
        assert (await client.answer())["id"] == 1
        assert await client.line() == b""


async def test_half_a_line_is_never_carried_out(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send(json.dumps(request("test.write_gated")).encode())
        await client.stream.send_eof()
        answer = await client.answer()
        assert answer["error"]["code"] == -32700
        assert "newline" in answer["error"]["message"]
        assert running.world.begun == []


async def test_a_line_over_the_bound_is_one_error_and_the_connection_goes_on(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        huge = b'{"jsonrpc":"2.0","method":"test.echo","id":1,"params":{"n":"' + b"x" * 5_000_000 + b'"}}\n'
        assert len(huge) > MAX_LINE_BYTES
        await client.send(huge)
        error = (await client.answer())["error"]
        assert error["code"] == -32600
        assert "longer than 4194304 bytes" in error["message"]
        assert (await client.call("test.echo", {"n": 3}))["result"] == {"n": 3}


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"test.echo","params":' + b'{"n":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'\xff\xfe{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","id":1,"method":"test.echo\xff"}',
        b'{"jsonrpc":"2.0","id":"\xff","method":"test.echo"}',
        b'{"jsonrpc":"2.0","id":1,"method":"test.echo","params":{"\xff":1}}',
        b"\x00",
    ],
)
async def test_a_poisonous_line_is_one_clear_error(tmp_path, line):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send(line + b"\n")
        error = (await client.answer())["error"]
        assert error["code"] in (-32700, -32600)
        assert len(error["message"]) < 200
        assert (await client.call("test.echo", {"n": 3}))["result"] == {"n": 3}


async def test_random_bytes_and_disconnects_leave_the_server_whole(tmp_path):
    rng = random.Random(20)
    valid = json.dumps(request("test.later", n=1)).encode() + b"\n"
    async with open_server(tmp_path) as running:
        for _ in range(100):
            client = await running.connect()
            data = bytearray(valid * rng.randrange(1, 20))
            for _ in range(rng.randrange(5)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                await client.send(bytes(data[: rng.randrange(1, len(data))]))
            finally:
                await client.stream.aclose()
        async with await running.connect() as client:
            assert (await client.call("test.echo", {"n": 9}))["result"] == {"n": 9}


async def wait_hung_up(connection: socket.socket) -> None:
    """Wait until the other end is closed, without reading what it has sent."""
    poll = select.poll()
    poll.register(connection, 0)
    await trio.to_thread.run_sync(poll.poll, 10_000)
    assert poll.poll(0), "the server did not hang up"


async def test_a_client_that_reads_nothing_delays_nobody_and_is_dropped(tmp_path):
    async with open_server(tmp_path, limits=SMALL) as running:
        lazy = await running.connect()
        await lazy.send_json(*(request("test.big", n, n=60_000) for n in range(100)))
        async with await running.connect() as client:
            for number in range(50):
                assert (await client.call("test.echo", {"n": number}))["result"] == {"n": number}
        await wait_hung_up(lazy.socket)
        await lazy.stream.aclose()


async def test_a_slow_client_gets_everything_and_little_of_it_is_held(tmp_path):
    limits = Limits(output_bytes=64 * 1024)
    async with open_server(tmp_path, limits=limits) as running, await running.connect() as client:
        await client.send_json(*(request("test.big", n, n=50_000) for n in range(200)))
        await trio.testing.wait_all_tasks_blocked()
        (connection,) = running.server._connections
        assert connection._output.size < 200_000
        for number in range(200):
            answer = await client.answer()
            assert (answer["id"], len(answer["result"]["text"])) == (number, 50_000)


async def test_a_stream_follows_its_answer_and_says_when_it_is_over(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        number = (await client.call("test.count", {"n": 3}))["result"]["subscription"]
        messages = [await client.answer() for _ in range(4)]
        assert [m["params"] for m in messages[:3]] == [{"subscription": number, "item": n} for n in range(3)]
        assert {m["method"] for m in messages[:3]} == {"test.item"}
        assert messages[3]["method"] == "rpc.ended"
        assert messages[3]["params"] == {"subscription": number, "error": None}


async def test_a_stream_that_fails_says_why(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.call("test.count_and_fail")
        assert (await client.answer())["params"]["item"] == "only"
        error = (await client.answer())["params"]["error"]
        assert (error["message"], error["data"]["kind"]) == ("its log is gone", "not_found")


async def test_a_stream_waits_for_its_reader_and_ends_when_told(tmp_path):
    async with open_server(tmp_path, limits=Limits(output_bytes=64 * 1024)) as running:
        async with await running.connect() as client:
            number = (await client.call("test.count", {"n": -1}))["result"]["subscription"]
            await trio.testing.wait_all_tasks_blocked()
            sent = len(running.world.begun)
            await trio.testing.wait_all_tasks_blocked()
            assert 0 < len(running.world.begun) == sent
            await client.send_json(request("test.end_count", "end", subscription=number))
            seen: list[object] = []
            while len(seen) < 2:
                message = await client.answer()
                if message.get("method") == "rpc.ended" or message.get("id") == "end":
                    seen.append(message)
            assert {"jsonrpc": "2.0", "result": True, "id": "end"} in seen
            again = await client.call("test.end_count", {"subscription": number})
            assert again["result"] is False


async def test_a_stream_ends_with_its_connection(tmp_path):
    async with open_server(tmp_path) as running:
        client = await running.connect()
        await client.call("test.count", {"n": -1})
        await trio.testing.wait_all_tasks_blocked()
        assert not running.world.has_ended.is_set()
        await client.stream.aclose()
        with trio.fail_after(10):
            await running.world.has_ended.wait()


async def test_streams_of_a_batch_follow_its_answer(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send_json([request("test.count", 1, n=1), request("test.later", 2)])
        assert isinstance(await client.answer(), list)
        assert (await client.answer())["method"] == "test.item"


async def test_a_batch_over_the_bound_is_refused_whole(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        await client.send_json([request("test.write_gated", n) for n in range(1001)])
        assert (await client.answer())["error"]["code"] == -32600
        assert running.world.begun == []


async def test_a_thousand_connections_are_served_at_once(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2200:
        pytest.skip(f"needs 2200 open files, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    try:
        async with open_server(tmp_path) as running:
            clients = []
            for _ in range(1000):
                clients.append(await running.connect())
            for number, client in enumerate(clients):
                await client.send_json(request("test.later", number, n=number))
            for number, client in enumerate(clients):
                assert (await client.answer())["result"] == {"n": number}
            assert running.server.connections == 1000
            for client in clients:
                await client.stream.aclose()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_drain_answers_begun_mutations_and_begins_no_more(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        world = running.world
        await client.send_json(request("test.write_gated", 1, n=1))
        await world.has_begun.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.server.drain)
            await trio.testing.wait_all_tasks_blocked()
            await client.send_json(request("test.write_gated", 2, n=2))
            await trio.testing.wait_all_tasks_blocked()
            world.gate.set()
        assert (await client.answer())["id"] == 1
        assert world.begun == [1]


async def test_without_descriptors_clients_wait_until_one_is_free(tmp_path, caplog, monkeypatch):
    # Looking again by itself comes too late to pass for the descriptor that became free.
    monkeypatch.setattr(server, "ROOM_RETRY_S", 600.0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_server(tmp_path) as running:
        first = await running.connect()
        await first.call("test.echo")
        waiting = socket.socket(socket.AF_UNIX)
        waiting.settimeout(10)
        # The next free number is the limit: not one more descriptor can be opened.
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, limits[1]))
        try:
            waiting.connect(str(running.path))
            await trio.testing.wait_all_tasks_blocked()
            assert "cannot accept a connection" in caplog.text
            await first.stream.aclose()
            async with RawClient(trio.SocketStream(trio.socket.from_stdlib_socket(waiting))) as client:
                with trio.fail_after(20):
                    assert "result" in await client.call("test.echo")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_discover_describes_every_method(tmp_path):
    async with open_server(tmp_path) as running, await running.connect() as client:
        document = (await client.call("rpc.discover"))["result"]
        by_name = {method["name"]: method for method in document["methods"]}
        assert {"rpc.discover", "test.subtract", "test.write_gated"} <= set(by_name)
        subtract = by_name["test.subtract"]
        assert [(p["name"], p["required"]) for p in subtract["params"]] == [("minuend", True), ("subtrahend", False)]
        assert by_name["test.write_gated"]["x-right"] == "operate"
        assert by_name["test.write_gated"]["x-mutating"] is True
