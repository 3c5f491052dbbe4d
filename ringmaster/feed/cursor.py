"""Where in every source a subscriber is: opaque to clients, and an old form is expired, not misread."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ringmaster.protocol.feed import FeedOutput

FORMAT = 1
DOCUMENT_BYTES = 4 << 20
"""A cursor with ten thousand sources is a tenth of that; what unpacks to more was not made here."""


class Source(NamedTuple):
    """What has an order of its own: one output of one job of an attempt."""

    attempt_id: str
    job: str
    output: FeedOutput

    @property
    def channel(self) -> str:
        """The job's file that it is read from."""
        return "stderr" if self.output == "stderr" else "stdout"


class Cursor(msgspec.Struct, frozen=True):
    """All events up to `seq` were sent, and of each source all bytes before its offset. A source whose end was sent
    is not in it."""

    instance: str
    seq: int
    offsets: Mapping[Source, int]


class CursorError(Exception):
    """A cursor that cannot be gone on from; the words are for the client."""


class _Document(msgspec.Struct, frozen=True, array_like=True):
    format: int
    instance: str
    seq: int
    offsets: tuple[tuple[str, str, FeedOutput, int], ...]


_decoder = msgspec.json.Decoder(_Document)


def encode_cursor(cursor: Cursor) -> str:
    """The cursor as clients keep it."""
    offsets = tuple((*source, offset) for source, offset in cursor.offsets.items())
    document = msgspec.json.encode(_Document(FORMAT, cursor.instance, cursor.seq, offsets))
    # Packed at its fastest: the same few ids come over and over.
    return base64.urlsafe_b64encode(zlib.compress(document, 1)).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """The cursor that `encode_cursor` made. Raises `CursorError`."""
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(packed, DOCUMENT_BYTES)
        if not unpacking.eof:
            raise CursorError("it is cut off")
        document = _decoder.decode(plain)
    except (ValueError, binascii.Error, zlib.error, msgspec.MsgspecError, UnicodeError, RecursionError):
        raise CursorError("it is no cursor of this feed") from None
    if document.format != FORMAT:
        raise CursorError("it is of another version of the feed")
    if document.seq < 0 or any(offset < 0 for *_, offset in document.offsets):
        raise CursorError("it is no cursor of this feed")
    offsets = {Source(attempt_id, job, output): offset for attempt_id, job, output, offset in document.offsets}
    return Cursor(document.instance, document.seq, offsets)
