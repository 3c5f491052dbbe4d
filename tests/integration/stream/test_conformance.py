"""What a websocket takes and answers, byte by byte (RFC 6455): what is none ends with a code, and without a fuss."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import struct
from collections.abc import Iterator

import pytest
import trio

from ringmaster.stream import socket as sessions
from tests.integration.rpc.harness import Table
from tests.integration.stream.port import open_port
from tests.integration.stream.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    SUBSCRIBE,
    TEXT,
    RawClient,
    frame,
    open_raw,
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is worth more than a line about it."""
    with caplog.at_level(logging.INFO):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert [record for record in caplog.records if record.exc_info] == []
    assert len(caplog.records) <= 1


async def refused_words(client: RawClient) -> str:
    """What a subscription that is none is told: the next frame that is no mark."""
    while (said := json.loads((await client.next_frame()).payload.split(b"\n")[0]))["kind"] == "mark":
        pass
    assert said["kind"] == "refused"
    return str(said["message"])


WRONG = {
    "unmasked": (frame(TEXT, SUBSCRIBE, is_masked=False), 1002),
    "compressed, which was not agreed on": (frame(TEXT, SUBSCRIBE, flags=0x40), 1002),
    "second reserved bit": (frame(TEXT, SUBSCRIBE, flags=0x20), 1002),
    "third reserved bit": (frame(PING, flags=0x10), 1002),
    "unknown opcode": (frame(3, b"x"), 1002),
    "unknown control opcode": (frame(11), 1002),
    "ping in two": (frame(PING, is_last=False), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "nothing to go on from": (frame(CONTINUATION, b"x"), 1002),
    "another within the first": (frame(TEXT, b"{", is_last=False) + frame(TEXT, b"}"), 1002),
    "length with its first bit set": (b"\x81\xff" + b"\xff" * 8 + MASK, 1002),
    "length that is longer than it need be": (b"\x81\xfe\x00\x05" + MASK + b"abcde", 1002),
    "no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "half a letter at the end": (frame(TEXT, b"\xe2\x82"), 1007),
    "letter that is torn and does not go on": (
        frame(TEXT, b"\xe2\x82", is_last=False) + frame(CONTINUATION, b"x"),
        1007,
    ),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close with a code that is none": (frame(CLOSE, struct.pack("!H", 999)), 1002),
    "close with a code that is never sent": (frame(CLOSE, struct.pack("!H", 1006)), 1002),
    "close with a reason that is no UTF-8": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "too long": (frame(TEXT, b"x" * (sessions.MESSAGE_BYTES + 1)), 1009),
    "a hundred megabytes": (b"\x81\xff" + struct.pack("!Q", 100 << 20) + MASK + b"x" * 300_000, 1009),
    "too long in pieces": (
        frame(TEXT, b"x" * 100_000, is_last=False) + frame(CONTINUATION, b"x" * 100_000, is_last=False) * 2,
        1009,
    ),
}


@pytest.mark.parametrize("is_followed", [False, True])
async def test_what_is_no_message_ends_with_its_code(table: Table, is_followed: bool):
    found: dict[str, int] = {}
    async with open_port(table) as port:
        for name, (sent, _) in WRONG.items():
            async with open_raw(port.number) as client:
                # What is behind it is not read any more, and does not keep the word about it from coming.
                around = (frame(TEXT, SUBSCRIBE), b"x" * 5000) if is_followed else (b"", b"")
                await client.send(around[0], sent, around[1])
                found[name], reason = await client.closing()
                assert reason, name
    assert found == {name: code for name, (_, code) in WRONG.items()}


async def test_who_does_not_wait_for_the_word_about_it_is_no_fault_of_the_daemons(table: Table):
    async with open_port(table) as port:
        for sent, _ in WRONG.values():
            for is_reset in (True, False):
                async with open_raw(port.number) as client:
                    if is_reset:
                        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    await client.send(sent)
        async with open_raw(port.number) as client:
            await client.send(frame(TEXT, SUBSCRIBE))
            assert b"hello" in (await client.next_frame()).payload


async def test_compression_is_not_agreed_to(table: Table):
    async with open_port(table) as port, open_raw(port.number) as client:
        assert client.head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.head
        assert b"extensions" not in client.head.lower()


async def test_a_message_may_come_in_pieces_with_pings_between_them(table: Table):
    async with open_port(table) as port, open_raw(port.number) as client:
        await client.send(frame(TEXT, SUBSCRIBE[:5], is_last=False))
        await client.send(frame(PING, b"one"), frame(CONTINUATION, is_last=False), frame(PONG, b"nobody asked"))
        assert await client.next_frame() == (0x80 | PONG, b"one")
        await client.send(frame(CONTINUATION, SUBSCRIBE[5:7], is_last=False), frame(PING, b"x" * 125))
        assert await client.next_frame() == (0x80 | PONG, b"x" * 125)
        await client.send(frame(CONTINUATION, SUBSCRIBE[7:]))
        assert b'"hello"' in (await client.next_frame()).payload
        letters = frame(TEXT, b'"\xe2\x82', is_last=False), frame(CONTINUATION, b'\xac"')
        await client.send(*letters)
        assert "no subscription" in await refused_words(client)
        await client.send(frame(BINARY, SUBSCRIBE[:5], is_last=False), frame(CONTINUATION, SUBSCRIBE[5:]))
        assert "binary" in await refused_words(client)


async def test_a_close_is_answered_and_the_connection_ended(table: Table):
    payloads = b"", struct.pack("!H", 1000), struct.pack("!H", 1002), struct.pack("!H", 4999) + "ü".encode()
    async with open_port(table) as port:
        for payload, begun in itertools.product(payloads, (b"", frame(TEXT, SUBSCRIBE))):
            async with open_raw(port.number) as client:
                await client.send(begun, frame(CLOSE, payload), frame(PING, b"late"))
                while (answered := await client.next_frame()).first != 0x80 | CLOSE:
                    pass
                assert answered.payload[:2] == payload[:2]
                assert await client.is_at_end()


async def test_who_sends_no_more_is_hung_up_on(table: Table):
    async with open_port(table) as port:
        for begun in (b"", frame(TEXT, SUBSCRIBE), frame(TEXT, SUBSCRIBE[:5], is_last=False), b"\x81", b"\x81\xfe\xff"):
            async with open_raw(port.number) as client:
                await client.send(begun)
                await client.stream.send_eof()
                with pytest.raises((EOFError, trio.BrokenResourceError)):
                    await client.closing()


async def test_what_comes_behind_the_daemons_close_is_no_fault(table: Table):
    async with open_port(table) as port, open_raw(port.number) as client:
        await client.send(frame(TEXT, SUBSCRIBE))
        await client.next_frame()
        port.is_over.set()
        while (found := await client.next_frame()).first != 0x80 | CLOSE:
            pass
        assert found.closing == (1008, "the login is over")
        # None of these may be answered any more.
        await client.send(frame(PING, b"x"), frame(TEXT, SUBSCRIBE), frame(TEXT, b"\xff"), frame(PING, b"y"))
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await client.next_frame()


async def test_an_idle_client_is_pinged_and_let_go_when_it_does_not_answer(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sessions, "IDLE_S", 0.01)
    monkeypatch.setattr(sessions, "PONG_S", 0.1)
    async with open_port(table) as port, open_raw(port.number) as client:
        await client.send(frame(TEXT, SUBSCRIBE))
        answered = 0
        while answered < 3:
            found = await client.next_frame()
            if found.first == 0x80 | PING:
                await client.send(frame(PONG, found.payload))
                answered += 1
        code, reason = await client.closing()
        assert (code, "no answer to a ping" in reason) == (1001, True)


async def test_who_asks_on_and_on_and_takes_no_answer_is_hung_up_on(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "IDLE_S", 0.05)
    monkeypatch.setattr(sessions, "STALL_S", 0.1)
    # It may just be that it is pinged when it takes its last.
    monkeypatch.setattr(sessions, "PONG_S", 0.1)
    async with open_port(table) as port, open_raw(port.number) as client:
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await client.send(frame(TEXT, b'{"kind": "subscribe", "type": ["attempt."]}'))
        await client.next_frame()
        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
            await client.send(*[frame(PING, b"x" * 125) * 1000] * 100)
