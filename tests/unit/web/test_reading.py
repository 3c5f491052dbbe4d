"""A head, however its bytes come: what is refused at once is refused in pieces, and no byte is looked at for ever."""

from __future__ import annotations

import random
import time

import pytest

from ringmaster.web.message import HEAD_BYTES, HEAD_LINES, Refusal
from ringmaster.web.reading import cut_head

HEADS = (
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nrest",
    b"GET / HTTP/1.1\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\n\r\n\r\n",
    b"GET / HTTP/1.1\rhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\n\tb\r\n\r\n",
    b"\nGET / HTTP/1.1\r\n\r\n",
    b"\r\rGET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * HEAD_LINES + b"\r\n",
    b"GET / HTTP/1.1\r\nx: " + b"y" * HEAD_BYTES,
)


def read(pieces: list[bytes]) -> tuple[str, bytes, bytes]:
    """What came of it: a head, a refusal or nothing yet; and what is left."""
    buffer, looked = bytearray(), 0
    try:
        for piece in pieces:
            buffer += piece
            head = cut_head(buffer, looked)
            if head is not None:
                return "head", head, b""
            looked = len(buffer)
    except Refusal as refusal:
        return refusal.words, b"", b""
    return "", b"", bytes(buffer)


@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_same_in_whatever_pieces_it_comes(head: bytes):
    whole = read([head])
    assert read([head[at : at + 1] for at in range(len(head))]) == whole
    rng = random.Random(len(head))
    for _ in range(200):
        cuts = sorted(rng.choices(range(len(head) + 1), k=rng.randrange(6)))
        pieces = [head[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(head)], strict=True)]
        assert read(pieces) == whole, cuts


def test_what_is_behind_a_head_stays():
    buffer = bytearray(HEADS[1])
    assert cut_head(buffer) == HEADS[0]
    assert buffer == b"rest"


def test_a_head_that_comes_byte_by_byte_costs_no_more_than_its_length():
    def seconds(count: int) -> float:
        pieces = [b"GET / HTTP/1.1\r\nx: ", *([b"y"] * count)]
        began = time.process_time()
        assert read(pieces)[0] == ""
        return time.process_time() - began

    # Looking at all of it for each byte was over a hundred times as much for sixteen times the bytes.
    assert min(seconds(16_000) for _ in range(3)) < 64 * min(seconds(1_000) for _ in range(3))
