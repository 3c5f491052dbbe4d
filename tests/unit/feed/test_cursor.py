"""Cursors: what is encoded comes back, and nothing else is taken for one."""

from __future__ import annotations

import base64
import random
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringmaster.feed.cursor import Cursor, CursorError, Source, decode_cursor, encode_cursor
from ringmaster.protocol.feed import FeedOutput, SubscribeMessage
from ringmaster.stream.socket import MESSAGE_BYTES

sources = st.builds(
    Source,
    st.text(max_size=12),
    st.sampled_from(["agent", "setup", "gate-1", "gate-12"]),
    st.sampled_from(["steps", "stdout", "stderr", "setup", "gate"]),
)
cursors = st.builds(
    Cursor,
    st.text(max_size=16),
    st.integers(0, 2**62),
    st.dictionaries(sources, st.integers(0, 2**62), max_size=8),
)


@given(cursors)
def test_a_cursor_comes_back_as_it_was(cursor: Cursor):
    assert decode_cursor(encode_cursor(cursor)) == cursor


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused_in_words(text: str):
    with pytest.raises(CursorError):
        decode_cursor(text)


def packed(document: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(document)).decode()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'[2,"i",1,[]]', "another version"),
        (b'[1,"i",-1,[]]', "no cursor"),
        (b'[1,"i",1,[["a","agent","stdout",-1]]]', "no cursor"),
        (b'[1,"i",1,[["a","agent","passwords",1]]]', "no cursor"),
        (b"[" * 100_000, "no cursor"),
        (b" " * (5 << 20) + b'[1,"i",1,[]]', "cut off"),
    ],
)
def test_a_document_that_is_none_is_refused(document: bytes, words: str):
    with pytest.raises(CursorError, match=words):
        decode_cursor(packed(document))


def test_the_cursor_of_five_thousand_attempts_fits_into_a_clients_message():
    rng = random.Random(1)
    outputs: tuple[FeedOutput, ...] = ("steps", "stdout", "stderr")
    ids = [f"rm-{rng.randrange(36**5):05x}/{rng.randrange(1, 4)}" for _ in range(5000)]
    offsets = {Source(id, "agent", output): rng.randrange(5_000_000) for id in ids for output in outputs}
    cursor = Cursor("0123456789abcdef", 10_000_000, offsets)
    message = SubscribeMessage(cursor=encode_cursor(cursor))
    assert len(msgspec.json.encode(message)) < MESSAGE_BYTES
    assert decode_cursor(message.cursor) == cursor


def test_four_hundred_sources_fit_into_a_close_with_its_cursor():
    offsets = {Source(f"rm-{n:05x}/1", "agent", "steps"): n * 1_000_003 for n in range(400)}
    assert len(encode_cursor(Cursor("0123456789abcdef", 10_000_000, offsets))) < 12_000
