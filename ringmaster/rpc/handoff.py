"""What one image of the daemon tells the next of its clients, so that none of them notices an exec in place.

The record holds all that is neither in the kernel's buffers nor in the database: bytes that were read and not
carried out, bytes that were not sent, and where streams are. A call that changes something is in it only when it
has not begun; one that only reads may be in it though it has begun, and is begun again.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence

import msgspec

from ringmaster.rpc.rights import Caller

log = logging.getLogger("ringmaster.rpc")

FORMAT = 1
"""Raised only by a change that an older reader would misunderstand; one that adds members leaves it as it is."""


class HandedStream(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stream of notifications. method, params (JSON): the call that goes on where it is. note: the producer's own."""

    subscription: int
    method: str
    params: bytes = b"{}"
    note: str = ""


class HandedFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document that waits. batch: index of the batch it is a member of, -1 for none.

    overlong: not 0 in the place of a line that was longer than so many bytes.
    """

    data: bytes = b""
    batch: int = -1
    overlong: int = 0


class HandedBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answers that a batch has already, and the streams that begin when it is answered."""

    lines: tuple[bytes, ...] = ()
    followers: tuple[HandedStream, ...] = ()


class HandedConnection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One client.

    fd: its socket, open and the holder's. caller: who it is, decided at accept. partial: what was read of a line
    that has no end yet; is_skipping: that line is overlong, and was reported. frames: read and to be carried out,
    in order. unsent: bytes of answers and notifications. last_subscription: the newest number given to a stream.
    is_eof: the client has shut down its sending side.
    """

    fd: int
    caller: Caller
    partial: bytes = b""
    is_skipping: bool = False
    is_eof: bool = False
    frames: tuple[HandedFrame, ...] = ()
    batches: tuple[HandedBatch, ...] = ()
    unsent: bytes = b""
    streams: tuple[HandedStream, ...] = ()
    last_subscription: int = 0


class Handoff(msgspec.Struct, frozen=True, kw_only=True):
    """All clients. connections: each as a document of its own, so that one that cannot be read costs no other."""

    format: int = FORMAT
    connections: tuple[bytes, ...] = ()


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A descriptor among the connections that is none, and that somebody else takes up.

    It is told of in this form because an image that knows nothing of it takes it for a connection that it cannot read,
    and closes it.
    """

    fd: int
    is_other: bool = True


class _Descriptor(msgspec.Struct):
    fd: int
    is_other: bool = False


def encode_handoff(connections: Sequence[HandedConnection], others: Sequence[Other] = ()) -> bytes:
    """The document for another image."""
    documents = tuple(msgspec.msgpack.encode(one) for one in (*connections, *others))
    return msgspec.msgpack.encode(Handoff(connections=documents))


def decode_handoff(document: bytes) -> tuple[HandedConnection, ...]:
    """What another image, older or newer, wrote. A connection that cannot be read is hung up on, with a log line.

    Raises ValueError when nothing of the document can be understood.
    """
    try:
        handoff = msgspec.msgpack.decode(document, type=Handoff)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the handoff cannot be read: {error}") from None
    if handoff.format != FORMAT:
        raise ValueError(f"the handoff has format {handoff.format}, this code reads {FORMAT}")
    connections: list[HandedConnection] = []
    for one in handoff.connections:
        try:
            connections.append(msgspec.msgpack.decode(one, type=HandedConnection))
        except msgspec.MsgspecError as error:
            if _is_other(one):
                continue
            log.warning("cannot go on with a connection that was handed over: %s; it was hung up on", error)
            _hang_up(one)
    return tuple(connections)


def _is_other(document: bytes) -> bool:
    try:
        return msgspec.msgpack.decode(document, type=_Descriptor).is_other
    except msgspec.MsgspecError:
        return False


def _hang_up(document: bytes) -> None:
    try:
        opened = open_handed(msgspec.msgpack.decode(document, type=_Descriptor).fd)
    except msgspec.MsgspecError:
        return
    if opened is not None:
        opened.close()


def open_handed(fd: int) -> socket.socket | None:
    """The socket behind a number, not inherited any further; None, with a log line, when that is not one of ours."""
    try:
        opened = socket.socket(fileno=fd)
    except OSError as error:
        log.warning("descriptor %d was handed over as a connection and is none: %s", fd, error.strerror)
        return None
    if opened.family != socket.AF_UNIX or opened.type != socket.SOCK_STREAM:
        # Not closed: it belongs to something else.
        opened.detach()
        log.warning("descriptor %d was handed over as a connection and is another kind of socket", fd)
        return None
    os.set_inheritable(fd, False)
    opened.setblocking(False)
    return opened
