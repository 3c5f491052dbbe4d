"""The feed over real websockets: what is asked for, what is refused, and how it ends."""

from __future__ import annotations

import contextlib
import json
import socket as sockets
import struct
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ringmaster.feed import position as positions
from ringmaster.stream import socket as sessions
from tests.integration.rpc.harness import Table
from tests.integration.rpc.jobs import Job, claim_task
from tests.integration.stream.port import open_port, receive


async def receive_for_ever(ws: WebSocketConnection) -> None:
    while True:
        await ws.get_message()


async def closing_of(ws: WebSocketConnection) -> tuple[int, str]:
    """The code and the reason that a connection is closed with, after whatever still comes."""
    with trio.fail_after(20), pytest.raises(ConnectionClosed) as closed:
        await receive_for_ever(ws)
    reason = closed.value.reason
    assert reason is not None
    return reason.code, reason.reason or ""


async def send_for_ever(stream: trio.SocketStream, data: bytes) -> None:
    while True:
        await stream.send_all(data)


async def test_events_and_lines_come_in_frames_of_json_lines(table: Table):
    claim = await claim_task(table)
    async with open_port(table) as port, port.following(output=["stdout"]) as follower:
        assert follower.messages[0]["kind"] == "hello"
        agent = await Job(table, claim).begin()
        agent.append("one\ntwo\n")
        await agent.end()
        await follower.until(lambda f: f.ended)
        assert follower.texts == {(claim.attempt.id, "agent", "stdout"): "one\ntwo\n"}
        assert follower.types() == ["attempt.job_started", "attempt.job_ended"]


async def test_what_is_wrong_is_said_and_changes_nothing(table: Table):
    claim = await claim_task(table)
    async with open_port(table) as port, port.connect() as ws:
        wrong: tuple[str | bytes, ...] = (
            "nonsense",
            '{"kind": "subscribe", "task_id": "rm-none"}',
            '{"kind": "subscribe", "taks_id": "rm-none"}',
            b"\x00",
            "[" * 5000,
        )
        for one in wrong:
            await ws.send_message(one)
            (refused,) = await receive(ws)
            assert refused["kind"] == "refused"
            assert refused["message"]
        await ws.send_message(json.dumps({"kind": "subscribe", "output": ["stdout"]}))
        assert (await receive(ws))[0]["kind"] == "hello"
        await ws.send_message('{"kind": "subscribe", "type": ["no.such"]}')
        while (message := (await receive(ws))[0])["kind"] == "mark":
            pass
        assert message["kind"] == "refused"
        await Job(table, claim).begin()
        assert (await receive(ws))[0]["event"]["type"] == "attempt.job_started"


async def test_another_subscription_takes_the_place_of_the_first(table: Table):
    mine, other = await claim_task(table), await claim_task(table, "Another")
    jobs = [await Job(table, claim).begin() for claim in (mine, other)]
    async with open_port(table) as port, port.connect() as ws:
        await ws.send_message(json.dumps({"kind": "subscribe", "task_id": mine.task.id, "output": ["stdout"]}))
        assert (await receive(ws))[0]["kind"] == "hello"
        for job in jobs:
            job.append("first\n")
        while (message := (await receive(ws))[0])["kind"] != "lines":
            pass
        await ws.send_message(json.dumps({"kind": "subscribe", "output": ["stdout"]}))
        # Of what stays nothing is lost or told twice; what is new begins at its end.
        texts: dict[str, str] = {message["attempt_id"]: message["text"]}
        while len(texts) < 2 or "second" not in texts[mine.attempt.id]:
            for job in jobs:
                job.append("second\n")
            for message in await receive(ws):
                assert message["kind"] in ("lines", "mark")
                if message["kind"] == "lines":
                    texts[message["attempt_id"]] = texts.get(message["attempt_id"], "") + message["text"]
        assert texts[mine.attempt.id].startswith("first\nsecond\n")
        assert "first" not in texts[other.attempt.id]


async def test_a_subscription_that_is_replaced_at_once_hides_neither_the_beginning_nor_a_gap(table: Table):
    await claim_task(table)
    async with open_port(table) as port, port.connect() as ws:
        await ws.send_message('{"kind": "subscribe", "cursor": "nonsense"}')
        await ws.send_message('{"kind": "subscribe"}')
        kinds: list[str] = []
        while "snapshot" not in kinds:
            kinds += [message["kind"] for message in await receive(ws)]
        assert kinds[:3] == ["hello", "cursor_expired", "snapshot"]


async def test_who_says_nothing_is_let_go(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "OPENING_S", 0.05)
    async with open_port(table) as port, port.connect() as ws:
        code, reason = await closing_of(ws)
        assert (code, "no subscription" in reason) == (1008, True)


async def test_a_message_that_is_too_big_ends_the_connection(table: Table):
    async with open_port(table) as port, port.connect() as ws:
        # Part of it is on its way when the close comes, so the sender may see either first.
        with contextlib.suppress(ConnectionClosed):
            await ws.send_message("x" * (8 << 20))
        assert (await closing_of(ws))[0] in (1009, 1006)
        # The others, and the next, are served.
        async with port.following() as follower:
            assert follower.mark


async def test_empty_frames_without_end_are_not_kept_without_end(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ringmaster.stream.replayed.UNFINISHED_BYTES", 10_000)
    async with open_port(table) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port.number)
        async with stream:
            await stream.send_all(
                b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await stream.send_all(b"\x01\x80\x00\x00\x00\x00")
            with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
                await send_for_ever(stream, b"\x00\x80\x00\x00\x00\x00" * 1000)


@pytest.mark.parametrize(("reason", "code"), [("reload", 1012), ("stop", 1001)])
async def test_a_client_is_told_why_the_daemon_leaves_and_where_to_go_on(table: Table, reason: str, code: int):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    source = (claim.attempt.id, "agent", "stdout")
    async with open_port(table) as port, port.connect() as ws:
        await ws.send_message(json.dumps({"kind": "subscribe", "output": ["stdout"]}))
        await receive(ws)
        agent.append("seen\n")
        while (await receive(ws))[0]["kind"] != "lines":
            pass
        port.leave(reason)  # type: ignore[arg-type]
        bye = (await receive(ws))[-1]
        assert (bye["kind"], bye["reason"]) == ("bye", reason)
        assert (await closing_of(ws))[0] == code
    agent.append("meanwhile\n")
    async with open_port(table) as port, port.following(output=["stdout"], cursor=bye["cursor"]) as follower:
        await follower.until(lambda f: f.texts)
        assert follower.texts == {source: "meanwhile\n"}


async def test_a_slow_reader_is_put_right_and_holds_up_nobody(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(positions, "BEHIND_BYTES", 2 << 20)
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    source = (claim.attempt.id, "agent", "stdout")
    block = "".join(f"{number:07} and something behind it\n" for number in range(5_000))
    async with open_port(table) as port, port.connect() as slow:
        await slow.send_message(json.dumps({"kind": "subscribe", "output": ["stdout"]}))
        await receive(slow)
        agent.append("up to date\n")
        while (await receive(slow))[0]["kind"] != "lines":
            pass
        # From here on it reads nothing, and more comes than its queue and the kernel hold for it.
        total = len("up to date\n")
        async with port.following(output=["stdout"]) as quick:
            for _ in range(100):
                agent.append(block)
                total += len(block)
                await quick.until(lambda f, total=total: f.offsets.get(source, 0) == total)
        gaps = []
        at = 0
        seen: list[Any] = []
        while at < total:
            for message in await receive(slow):
                if message["kind"] == "resync":
                    gaps += message["gaps"]
                    at = message["gaps"][0]["next_offset"]
                elif message["kind"] == "lines":
                    assert message["offset"] == at or not seen
                    at = message["next_offset"]
                    seen.append(message)
        assert len(gaps) == 1
        assert gaps[0]["next_offset"] - gaps[0]["offset"] > 2 << 20
        # What is left out is left out by whole lines.
        assert seen[-1]["text"].endswith(block[-40:])


async def test_half_a_frame_does_not_keep_the_daemon_from_leaving(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    async with open_port(table) as port:
        with sockets.socket() as raw:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", port.number))
            raw.sendall(
                b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            text = json.dumps({"kind": "subscribe", "output": ["stdout"]}).encode()
            raw.sendall(struct.pack(">BBI", 0x81, 0x80 | len(text), 0) + text)
            # Another client sees that the output has gone out: this one takes none of it.
            async with port.following(output=["stdout"]) as follower:
                for _ in range(40):
                    agent.append("x" * 199 + "\n" * 1)
                    agent.append(("y" * 199 + "\n") * 1000)
                await agent.end()
                await follower.until(lambda f: f.ended)
            with trio.fail_after(5):
                port.leave("reload")
                await trio.testing.wait_all_tasks_blocked(0.05)


async def test_a_port_of_an_attempt_shows_its_own_task_alone(table: Table):
    mine, other = await claim_task(table), await claim_task(table, "Another")
    async with open_port(table, own_task=mine.task.id) as port, port.connect() as ws:
        await ws.send_message(json.dumps({"kind": "subscribe", "task_id": other.task.id}))
        (refused,) = await receive(ws)
        assert refused["kind"] == "refused"
        await ws.send_message(json.dumps({"kind": "subscribe", "output": ["stdout"]}))
        await receive(ws)
        for claim in (other, mine):
            (await Job(table, claim).begin()).append("line\n")
        seen: list[str] = []
        while "lines" not in seen:
            for message in await receive(ws):
                seen.append(message["kind"])
                assert message.get("attempt_id", mine.attempt.id) == mine.attempt.id
                assert message.get("event", {}).get("task_id", mine.task.id) == mine.task.id


@pytest.mark.parametrize("is_subscribed", [True, False])
async def test_a_client_whose_login_is_over_is_told_so_at_once(table: Table, is_subscribed: bool):
    async with open_port(table) as port, port.connect() as ws, port.connect() as another:
        for one in (ws, another) if is_subscribed else ():
            await one.send_message('{"kind": "subscribe"}')
            assert (await receive(one))[0]["kind"] == "hello"
        port.is_over.set()
        assert await closing_of(ws) == (1008, "the login is over")
        assert await closing_of(another) == (1008, "the login is over")
