"""What is waited for before a server is quiesced, and how much is left of a wait that another image goes on with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from ringmaster.reload.meter import Meter
from ringmaster.rpc.dispatch import Context
from ringmaster.rpc.rights import Right
from tests.fakes.handing import MORE, Client, Image, open_images
from tests.fakes.rpc import make_method, request


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """n: any number. timeout_s: how long it waits."""

    n: int = 0
    timeout_s: float | None = None


def use_meter(image: Image) -> None:
    image.meter = Meter(lambda: 0.0)


def test_a_long_mutation_is_waited_for_while_everything_else_goes_on(tmp_path):
    async def script(image: Image) -> None:
        server, gate = image.server, image.gate
        await image.has_begun.wait()
        assert server.lasting(60.0) == ()
        await server.wait_lasting(60.0)
        assert server.lasting(0.0) == ("test.write_gated",)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.wait_lasting, 0.0)
            await trio.testing.wait_all_tasks_blocked()
            # It is not quiesced: others are served, and what they begin takes as long as it takes.
            client.send_json(request("test.deferred", 2, n=2), request("test.echo", 3))
            assert (await trio.to_thread.run_sync(client.answer))["id"] == 3
            assert server.lasting(0.0) == ("test.write_gated", "test.deferred")
            gate.set()
            await trio.testing.wait_all_tasks_blocked()
            assert server.lasting(0.0) == ("test.deferred",)
            image.answers[0]()
        assert server.lasting(0.0) == ()

    with open_images(tmp_path) as images, Client(images) as client:
        client.send_json(request("test.write_gated", 1))
        images.run(script, prepare=use_meter)
        assert [answer["id"] for answer in client.answers(2)] == [1, 2]


@pytest.mark.parametrize("params", [{"n": 7, "timeout_s": 100.0}, [7, 100.0]])
def test_a_wait_goes_on_in_another_image_for_what_is_left_of_it(tmp_path, params: Any):
    asked: list[Timed] = []

    async def wait(context: Context[Image], params: Timed) -> Timed:
        asked.append(params)
        if len(asked) == 1:
            await trio.sleep_forever()
        return params

    methods = (*MORE, make_method("test.wait", Timed, wait, Right.READ))
    with open_images(tmp_path, methods=methods) as images, Client(images) as client:
        client.send_json({"jsonrpc": "2.0", "id": 1, "method": "test.wait", "params": params})
        images.run(prepare=use_meter)
        images.run(prepare=use_meter)
        assert client.answer()["id"] == 1
    first, second = asked
    assert (first.n, first.timeout_s, second.n) == (7, 100.0, 7)
    assert second.timeout_s is not None
    assert 40.0 < second.timeout_s < 100.0
