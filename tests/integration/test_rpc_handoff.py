"""Clients whose server is replaced under them: each answer comes once, and nobody is hung up on."""

from __future__ import annotations

import json
import os
import random
import socket
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.protocol.codes import MAX_LINE_BYTES
from ringmaster.rpc.calls import Limits
from ringmaster.rpc.handoff import decode_handoff, encode_handoff
from ringmaster.rpc.rights import Caller, CallerKind
from tests.fakes.handing import Client, Image, open_images
from tests.fakes.rpc import OPERATOR, request


def open_gate(image: Image) -> None:
    image.gate.set()


def notification(method: str, **params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def test_requests_cut_in_two_by_the_switch_are_answered_once_and_in_order(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        lines = b"".join(json.dumps(request("test.echo", n, n=n)).encode() + b"\n" for n in range(9))
        client.send(lines[:250])
        images.run()
        client.send(lines[250:400])
        images.run()
        # Nobody serves, and nobody is refused: a new client waits as well.
        client.send(lines[400:])
        with Client(images) as late:
            late.send_json(request("test.echo", 7))
            images.run()
            assert late.answer()["id"] == 7
        assert [answer["id"] for answer in client.answers(9)] == list(range(9))
        assert not client.has_more()


def test_a_mutation_that_has_begun_is_answered_by_who_began_it_and_the_next_one_elsewhere(tmp_path):
    async def script(image: Image) -> None:
        await trio.testing.wait_all_tasks_blocked()
        image.server.quiesce()
        client.send_json(request("test.write_gated", 3, n=3))
        await trio.testing.wait_all_tasks_blocked()
        assert image.server.unsettled() == ("test.write_gated", "test.deferred")
        with pytest.raises(RuntimeError, match=r"test\.write_gated, test\.deferred"):
            image.server.hand_over()
        with trio.move_on_after(0.01) as scope:
            await image.server.wait_settled()
        assert scope.cancelled_caught
        image.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert image.server.unsettled() == ("test.deferred",)
        image.answers[0]()
        assert image.server.unsettled() == ()

    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.write_gated", 1, n=1), request("test.deferred", 2, n=2))
        assert images.run(script).begun == [1, 2]
        assert images.run(prepare=open_gate).begun == [3]
        assert [answer["id"] for answer in client.answers(3)] == [1, 2, 3]
        assert not client.has_more()


def test_what_was_taken_and_has_not_begun_is_begun_by_the_next_image_in_order(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(
            request("test.write_gated", 1, n=1),
            notification("test.write_gated", n=2),
            request("test.quiesce", 3),
            request("test.deferred", 4, n=4),
        )
        assert images.run().begun == []
        assert client.answer()["id"] == 3

        async def script(image: Image) -> None:
            await trio.testing.wait_all_tasks_blocked()
            image.answers[0]()

        assert images.run(script, prepare=open_gate).begun == [1, 2, 4]
        images.run()
        assert sorted(answer["id"] for answer in client.answers(2)) == [1, 4]
        assert not client.has_more()


def test_resuming_undoes_a_quiesce(tmp_path):
    async def script(image: Image) -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert image.begun == []
        late.append(Client(images))
        late[0].send_json(request("test.echo", 9))
        client.send_json(request("test.echo", 4))
        await trio.testing.wait_all_tasks_blocked()
        assert not late[0].has_more()
        image.server.resume()
        await trio.testing.wait_all_tasks_blocked()
        assert image.begun == [1, 2]
        assert late[0].answer()["id"] == 9
        assert client.answer()["id"] == 3
        assert client.answer()["id"] == 4
        image.gate.set()
        assert sorted(answer["id"] for answer in [await trio.to_thread.run_sync(client.answer) for _ in "12"]) == [1, 2]

    late: list[Client] = []
    with open_images(tmp_path) as images, Client(images) as client:
        first = (request("test.write_gated", 1, n=1), request("test.read_gated", 2, n=2), request("test.quiesce", 3))
        client.send_json(*first)
        images.run(script)
        late[0].socket.close()


def test_a_read_under_way_is_begun_again_and_answered_once(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.read_gated", 1, n=1), notification("test.read_gated", n=2))
        client.send_json(request("test.wait_in_group", 3, n=3))
        first = images.run()
        assert (first.begun[:2], sorted(first.cancelled)) == ([1, 2], [1, 2, 3, 3])
        second = images.run(prepare=open_gate)
        assert second.begun == [1, 3, 3]
        assert sorted(answer["id"] for answer in client.answers(2)) == [1, 3]
        assert not client.has_more()


def test_a_batch_half_done_is_one_answer_and_its_stream_follows(tmp_path):
    batch = [
        request("test.echo", 1),
        request("test.read_gated", 2, n=2),
        request("test.count", 3, n=2),
        notification("test.deferred", n=4),
        notification("test.read_gated", n=5),
        request("test.nothing", 6),
    ]
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(batch, [notification("test.read_gated", n=7), request("test.later", 8)])

        async def script(image: Image) -> None:
            await trio.testing.wait_all_tasks_blocked()
            # The mutation of the batch ends here, its reads elsewhere.
            image.answers[0]()

        first = images.run(script)
        assert sorted(first.begun) == [2, 4, 5, 7]
        images.run(prepare=open_gate)
        answered = [client.answer(), client.answer()]
        (whole,) = [a for a in answered if len(a) > 1]
        assert sorted(answer["id"] for answer in whole) == [1, 2, 3, 6]
        follows = client.answers(3)
        assert [m["params"].get("item", "end") for m in follows] == [0, 1, "end"]
        assert not client.has_more()


def test_a_batch_that_waits_for_a_notification_that_only_reads_is_answered_without_it(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json([request("test.count", 1, n=1), notification("test.read_gated", n=2)])
        assert images.run().cancelled == [2]
        assert images.run().begun == [1]
        assert client.answer()[0]["id"] == 1
        assert [m["params"].get("item", "end") for m in client.answers(2)] == [0, "end"]


def test_megabytes_for_a_slow_reader_arrive_whole(tmp_path):
    async def read_some(image: Image) -> None:
        for _ in range(20):
            texts.append(await trio.to_thread.run_sync(client.answer))

    texts: list[Any] = []
    with open_images(tmp_path, Limits(output_bytes=4_000_000)) as images, Client(images) as client:
        client.send_json(*(request("test.big", n, n=150_000) for n in range(60)))
        images.run()
        (handed,) = decode_handoff(images.document)
        assert len(handed.unsent) > 3_000_000
        assert len(handed.frames) > 20
        for _ in range(3):
            images.run(read_some)
            images.run()
    assert [(a["id"], len(a["result"]["text"])) for a in texts] == [(n, 150_000) for n in range(60)]


def test_a_stream_goes_on_after_the_last_number_it_sent(tmp_path):
    async def read_some(image: Image) -> None:
        for _ in range(500):
            items.append(await trio.to_thread.run_sync(client.answer))

    items: list[Any] = []
    with open_images(tmp_path, Limits(output_bytes=20_000)) as images, Client(images) as client:
        client.send_json(request("test.echo", 1), request("test.ticks", 2, n=100))
        images.run()
        assert client.answer()["id"] == 1
        assert client.answer()["result"] == {"subscription": 1}
        begun = [images.run(read_some).begun[0] for _ in range(4)]
        assert begun == sorted(set(begun))
        assert [m["params"] for m in items] == [{"subscription": 1, "item": n} for n in range(100, 2100)]
        # Numbers go on, and a stream that another image began can be ended.
        client.send_json(request("test.ticks", "more", n=5), request("test.end_count", "end", subscription=1))
        seen: list[Any] = []

        async def read_to_end(image: Image) -> None:
            while len(seen) < 3:
                message = await trio.to_thread.run_sync(client.answer)
                if "id" in message or message["method"] == "rpc.ended":
                    seen.append(message.get("result", message.get("params")))

        images.run(read_to_end)
        assert {"subscription": 2} in seen
        assert True in seen
        assert {"subscription": 1, "error": None} in seen


def test_a_stream_that_was_asked_for_and_not_begun_runs_once(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.ticks", 1, n=1))
        images.run()
        client.send_json(request("test.quiesce", 2), request("test.count", 3, n=2))
        images.run()
        client.send_json(request("test.end_count", 4, subscription=1))

        async def read(image: Image) -> None:
            while sum("method" in m and m["method"] == "rpc.ended" for m in messages) < 2:
                messages.append(await trio.to_thread.run_sync(client.answer))

        messages: list[Any] = []
        images.run(read)
        of_second = [m["params"] for m in messages if m.get("params", {}).get("subscription") == 2]
        assert [params.get("item", "end") for params in of_second] == [0, 1, "end"]


def test_the_end_of_a_stream_that_was_told_to_end_is_told_once(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.stream_in_group", 1))
        documents: list[bytes] = []

        async def end_and_leave(image: Image) -> None:
            await trio.testing.wait_all_tasks_blocked()
            image.server.quiesce()
            (connection,) = image.server._connections
            # Its trio task has not noticed yet when the connection is handed over.
            assert connection.end_stream(1)
            documents.append(encode_handoff(image.server.hand_over()))

        images.run(end_and_leave)
        images.document = documents[0]
        images.run()
        assert client.answer()["id"] == 1
        assert client.answer()["params"] == {"subscription": 1, "error": None}
        assert not client.has_more()


def test_a_line_that_is_too_long_is_one_error_through_two_switches(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.socket.setblocking(True)
        huge = b'{"n":"' + b"x" * (MAX_LINE_BYTES + 100_000)

        async def send(image: Image) -> None:
            await trio.to_thread.run_sync(client.send, huge)
            await trio.testing.wait_all_tasks_blocked()

        images.run(send)
        client.send(b"y" * 1000)
        images.run()
        client.send(b'"}\n')
        client.send_json(request("test.echo", 5))
        images.run()
        assert client.answer()["error"]["code"] == -32600
        assert client.answer()["id"] == 5


def test_a_client_that_only_stopped_sending_gets_its_answers_from_the_next_image(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.read_gated", 1))
        client.send(b'{"no":"newline"}')
        client.socket.shutdown(socket.SHUT_WR)
        images.run()
        images.run(prepare=open_gate)
        # What is said about the end is said once.
        assert "newline" in client.answer()["error"]["message"]
        assert client.answer()["id"] == 1
        assert client.line() == b""


def test_what_a_client_sent_before_it_hung_up_is_carried_out_by_the_next_image(tmp_path):
    async def hang_up(image: Image) -> None:
        await trio.testing.wait_all_tasks_blocked()
        client.send_json(*(notification("test.deferred", n=n) for n in range(2, 60)))
        client.socket.close()
        await trio.testing.wait_all_tasks_blocked()
        assert image.server.connections == 1

    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(notification("test.write_gated", n=1), request("test.quiesce", 1))
        assert images.run(hang_up).begun == []

        async def answer_all(image: Image) -> None:
            await trio.testing.wait_all_tasks_blocked()
            while image.answers:
                image.answers.pop()()
                await trio.testing.wait_all_tasks_blocked()

        last = images.run(answer_all, prepare=open_gate)
        assert last.begun == list(range(1, 60))
        assert last.server.connections == 0


def test_a_client_keeps_the_rights_it_was_accepted_with(tmp_path):
    with open_images(tmp_path) as images, Client(images) as client:
        images.caller = Caller(CallerKind.ATTEMPT, "it runs below the shim of attempt rm-a/1", "rm-a/1", 7)
        images.run()
        images.caller = OPERATOR
        images.run()
        client.send_json(request("test.write_gated", 1))
        assert images.run(prepare=open_gate).begun == []
        error = client.answer()["error"]
        assert error["data"]["kind"] == "permission"
        assert "rm-a/1" in error["message"]


def test_a_descriptor_that_is_no_connection_any_more_costs_no_other(tmp_path, caplog):
    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.read_gated", 1))
        images.run()
        (handed,) = decode_handoff(images.document)
        with (tmp_path / "file").open("wb") as file, socket.socket(socket.AF_INET) as other:
            free = os.dup(0)
            os.close(free)
            fds = (file.fileno(), other.fileno(), free)
            strangers = [type(handed)(fd=fd, caller=handed.caller) for fd in fds]
            images.document = encode_handoff([*strangers, handed])
            images.run(prepare=open_gate)
            os.fstat(file.fileno())
            other.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        assert client.answer()["id"] == 1
        for fd in fds:
            assert f"descriptor {fd} was handed over" in caplog.text


@pytest.mark.parametrize("seed", range(6))
def test_wherever_requests_are_cut_every_answer_comes_once(tmp_path, seed):
    rng = random.Random(seed)
    methods = ["test.echo", "test.later", "test.read_gated", "test.write_gated", "test.big", "test.refuse", "test.gone"]
    clients: list[Client] = []
    wanted: list[list[int]] = []
    streams: list[bytes] = []
    with open_images(tmp_path, Limits(output_bytes=50_000, in_flight=8)) as images:
        for _ in range(5):
            count = rng.randrange(20, 60)
            documents: list[object] = [
                request(rng.choice(methods), number, n=rng.randrange(3000)) for number in range(count)
            ]
            begin = rng.randrange(count - 12)
            documents[begin : begin + 8] = [documents[begin : begin + 8]]
            streams.append(b"".join(json.dumps(document).encode() + b"\n" for document in documents))
            wanted.append(list(range(count)))
            clients.append(Client(images))
        while any(streams):
            for number, client in enumerate(clients):
                cut = rng.randrange(len(streams[number]) // 3 + 60)
                client.send(streams[number][:cut])
                streams[number] = streams[number][cut:]
            is_open = rng.random() < 0.7
            # Mutations that have begun are waited for, so they may not be held back.
            images.run(_some_passes(rng.randrange(12), is_open=is_open))
        images.run(prepare=open_gate)
        for client, numbers in zip(clients, wanted, strict=True):
            got: list[int] = []
            while len(got) < len(numbers):
                answer = client.answer()
                got += [one["id"] for one in (answer if isinstance(answer, list) else [answer])]
            assert sorted(got) == numbers
            assert not client.has_more()
            client.socket.close()


def _some_passes(count: int, *, is_open: bool):
    async def script(image: Image) -> None:
        if is_open:
            image.gate.set()
        for _ in range(count):
            await trio.lowlevel.checkpoint()
        image.server.quiesce()
        # Opened only now: reads that are under way may end or be begun again, whichever comes first.
        image.gate.set()

    return script
