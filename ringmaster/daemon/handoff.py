"""What an image leaves to the one that is executed in its place: a document in a file in memory."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.measure import Measured
from ringmaster.settings import Settings

FORMAT = 1


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Versioned: a reader takes what it knows, and an older image may read what a newer one wrote, and the reverse.

    connections: as `ringmaster.rpc.handoff` encodes them. settings: the ones that hold, for the case that the file
    has been broken since. measures: what the old image had measured of itself, for probation. words: why there was a
    switch. refused: why an `exec` of it failed, for the image that took it up again itself.
    door: a descriptor in which `ringmaster.daemon.passing` packed the listener of the page; -1 for none.
    """

    format: int = FORMAT
    connections: bytes = b""
    settings: dict[str, Any] = {}
    measures: Measured | None = None
    words: str = ""
    refused: str = ""
    door: int = -1


def put_document(document: Document) -> int:
    """A descriptor of a file in memory that holds the document; inheritable, the caller's to close.

    In memory, because a full disk is no reason to drop clients. Raises OSError.
    """
    fd = os.memfd_create("handoff", os.MFD_CLOEXEC)
    try:
        data = memoryview(msgspec.msgpack.encode(document))
        while data:
            data = data[os.write(fd, data) :]
        os.set_inheritable(fd, True)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_document(fd: int) -> Document:
    """The document; the descriptor stays open, for an image that takes this one's place before it has taken anything.

    Raises RingmasterError INTERNAL for what is none, or of a format that is not known here.
    """
    size = os.fstat(fd).st_size
    try:
        document = msgspec.msgpack.decode(os.pread(fd, size, 0), type=Document)
    except msgspec.DecodeError as error:
        raise RingmasterError(ErrorKind.INTERNAL, f"the handoff cannot be read: {error}") from error
    if document.format != FORMAT:
        raise RingmasterError(
            ErrorKind.INTERNAL, f"the handoff has format {document.format}, this release reads {FORMAT}"
        )
    return document


def settings_of(document: Document) -> Settings | None:
    """The settings the old image ran with; None where this one cannot read them."""
    try:
        return msgspec.convert(document.settings, Settings) if document.settings else None
    except msgspec.ValidationError:
        return None
