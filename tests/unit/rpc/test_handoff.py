"""The document one image leaves for another, which may be of another release."""

from __future__ import annotations

import socket
from typing import Any

import msgspec
import pytest

from ringmaster.protocol.framing import LineReader, Overlong
from ringmaster.rpc.handoff import (
    HandedBatch,
    HandedConnection,
    HandedFrame,
    HandedStream,
    decode_handoff,
    encode_handoff,
)
from ringmaster.rpc.rights import Caller, CallerKind

CALLER = Caller(CallerKind.ATTEMPT, "below a shim", "rm-a/1", 7, is_weakened=True)
STREAM = HandedStream(subscription=3, method="events.subscribe", params=b'{"after":7}', note="gate-1")
WHOLE = HandedConnection(
    fd=9,
    caller=CALLER,
    partial=b'{"half',
    is_skipping=True,
    is_eof=True,
    frames=(HandedFrame(data=b"\xff{}", batch=0), HandedFrame(overlong=5)),
    batches=(HandedBatch(lines=(b"{}\n",), followers=(STREAM,)),),
    unsent=b"\x00\xffmore",
    streams=(STREAM,),
    last_subscription=3,
)


def change(document: bytes, **members: Any) -> bytes:
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(document), **members})


def test_every_byte_goes_over():
    assert decode_handoff(encode_handoff([WHOLE, WHOLE])) == (WHOLE, WHOLE)
    assert decode_handoff(encode_handoff(())) == ()


def test_members_that_a_newer_release_added_are_passed_over():
    newer = change(msgspec.msgpack.encode(WHOLE), mood="calm")
    document = change(encode_handoff(()), connections=[newer], weather={"rain": 1})
    assert decode_handoff(document) == (WHOLE,)


def test_a_connection_that_cannot_be_read_is_hung_up_on_and_costs_no_other(caplog):
    ours, theirs = socket.socketpair()
    with theirs:
        strange = change(msgspec.msgpack.encode(WHOLE), fd=ours.detach(), caller={"kind": "robot", "words": ""})
        document = change(
            encode_handoff(()), connections=[b"\xc1", strange, msgspec.msgpack.encode(WHOLE), b"\x80", b""]
        )
        assert decode_handoff(document) == (WHOLE,)
        assert theirs.recv(1) == b""
    assert caplog.text.count("it was hung up on") == 4


@pytest.mark.parametrize("document", [b"", b"\xc1", b"{}", change(encode_handoff(()), format=2)])
def test_what_cannot_be_understood_at_all_is_said_so(document):
    with pytest.raises(ValueError, match="handoff"):
        decode_handoff(document)


@pytest.mark.parametrize("bound", [5, 100])
def test_a_line_may_be_cut_anywhere_and_more_than_once(bound):
    data = b'{"a":1}\n\n   \nlonger than five\nx\n' * 2
    whole = described(LineReader(bound).feed(data))
    for first in range(len(data)):
        for second in range(first, len(data), 3):
            reader = LineReader(bound)
            lines = reader.feed(data[:first])
            for piece in (data[first:second], data[second:]):
                next_reader = LineReader(bound)
                next_reader.go_on(reader.partial, reader.is_skipping)
                lines += next_reader.feed(piece)
                reader = next_reader
            assert described(lines) == whole


def described(lines: list[bytes | Overlong]) -> list[bytes | None]:
    return [None if isinstance(line, Overlong) else line for line in lines]
