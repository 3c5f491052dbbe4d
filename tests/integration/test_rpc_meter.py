"""Every answered call is counted once, with its time and how it went."""

from __future__ import annotations

import trio
import trio.testing

from ringmaster.rpc.server import Server
from tests.fakes.listening import open_listener
from tests.fakes.rpc import METHODS, OPERATOR, RawClient, World, request


class Noting:
    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []
        self.longest_s = 0.0

    def note(self, method: str, wall_s: float, fault_kind: str) -> None:
        self.notes.append((method, fault_kind))
        self.longest_s = max(self.longest_s, wall_s)


async def test_each_answer_is_noted_once(tmp_path):
    meter, world = Noting(), World()
    server = Server(METHODS, world, lambda peer: OPERATOR, meter=meter)
    calls = {
        "test.echo": "",
        "test.later": "",
        "test.count": "",
        "test.refuse": "wrong_state",
        "test.crash": "internal",
        "test.unencodable": "internal",
        "test.subtract": "usage",
        "test.write_gated": "",
        "test.deferred": "stopping",
    }
    with open_listener(tmp_path / "s") as listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, listener)
            async with RawClient(await trio.open_unix_socket(tmp_path / "s")) as client:
                # What is no method of ours is counted nowhere: a client may make names up.
                await client.send_json([request(method, n) for n, method in enumerate([*calls, "test.made_up"])])
                await client.send_json(request("test.deferred", n=-1), {"jsonrpc": "2.0"}, [])
                await trio.testing.wait_all_tasks_blocked()
                world.answers[0]()
                world.gate.set()
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert sorted(meter.notes) == sorted([*calls.items(), ("test.deferred", "wrong_state")])
    assert 0 < meter.longest_s < 60
