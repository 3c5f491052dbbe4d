"""Who may connect to the RPC server, who it takes them for, and what they may then ask for."""

from __future__ import annotations

import os

import pytest

from ringmaster.proc.identity import PeerCredentials
from ringmaster.rpc.rights import Caller, CallerKind
from tests.fakes.rpc import open_server


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (CallerKind.OPERATOR, {"test.echo", "test.anyone", "test.report", "test.write_gated"}),
        (CallerKind.ATTEMPT, {"test.echo", "test.anyone", "test.report"}),
        (CallerKind.NONE, {"test.anyone"}),
    ],
)
async def test_a_caller_is_held_to_its_rights_in_words(tmp_path, kind, allowed):
    caller = Caller(kind, "it was said to be so")
    async with open_server(tmp_path, caller=caller) as running, await running.connect() as client:
        running.world.gate.set()
        for method in ("test.echo", "test.anyone", "test.report", "test.write_gated"):
            answer = await client.call(method)
            if method in allowed:
                assert "result" in answer
            else:
                assert answer["error"]["data"]["kind"] == "permission"
                assert "it was said to be so" in answer["error"]["message"]
        assert bool(running.world.begun) == ("test.write_gated" in allowed)


async def test_who_calls_is_asked_of_the_kernel_once_a_connection(tmp_path):
    asked = []

    def identify(peer):
        asked.append((peer.pid, peer.uid))
        return Caller(CallerKind.OPERATOR, "")

    async with open_server(tmp_path, identify=identify) as running, await running.connect() as client:
        await client.call("test.echo")
        await client.call("test.echo")
    assert asked == [(os.getpid(), os.getuid())]


async def test_another_user_is_turned_away_in_words(tmp_path, monkeypatch):
    stranger = PeerCredentials(1, os.geteuid() + 1, 0)
    monkeypatch.setattr("ringmaster.rpc.server.peer_credentials", lambda connection: stranger)
    async with open_server(tmp_path) as running, await running.connect() as client:
        error = (await client.answer())["error"]
        assert error["data"]["kind"] == "permission"
        assert str(stranger.uid) in error["message"]
        assert await client.line() == b""


async def test_a_client_that_cannot_be_identified_is_hung_up_on_alone(tmp_path, caplog):
    def identify(peer):
        if len(caplog.records) == 0:
            raise RuntimeError("no /proc")
        return Caller(CallerKind.OPERATOR, "")

    async with open_server(tmp_path, identify=identify) as running:
        async with await running.connect() as client:
            assert await client.line() == b""
        async with await running.connect() as client:
            assert "result" in await client.call("test.echo")
