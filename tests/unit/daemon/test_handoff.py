"""What one image tells the next: read as it was written, and refused in words where it is none."""

from __future__ import annotations

import os

import msgspec
import pytest

from ringmaster.daemon.handoff import FORMAT, Document, put_document, read_document, settings_of
from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.measure import Measured
from ringmaster.settings import DaemonSettings, Settings


def put(data: bytes) -> int:
    fd = os.memfd_create("handoff", os.MFD_CLOEXEC)
    os.write(fd, data)
    return fd


def test_it_is_read_as_it_was_written_as_often_as_one_likes() -> None:
    # Longer than a pipe or one write of the kernel takes at once.
    document = Document(connections=bytes(range(256)) * 20_000, words="newer", measures=Measured(), refused="no")
    fd = put_document(document)
    try:
        assert os.get_inheritable(fd)
        assert [read_document(fd), read_document(fd)] == [document, document]
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the handoff cannot be read: "),
        (b"\xc1", "the handoff cannot be read: "),
        (msgspec.msgpack.encode({"format": FORMAT, "connections": 3}), "the handoff cannot be read: "),
        (msgspec.msgpack.encode({"format": FORMAT + 1}), f"the handoff has format {FORMAT + 1}, this release reads"),
    ],
)
def test_what_is_none_is_refused_in_words(data: bytes, words: str) -> None:
    fd = put(data)
    try:
        with pytest.raises(RingmasterError, match=words):
            read_document(fd)
    finally:
        os.close(fd)


def test_what_a_newer_image_adds_is_left_out() -> None:
    fd = put(msgspec.msgpack.encode({"format": FORMAT, "words": "newer", "colour": "red"}))
    try:
        assert read_document(fd) == Document(words="newer")
    finally:
        os.close(fd)


def test_settings_of_another_image_hold_where_they_can_be_read() -> None:
    settings = Settings(daemon=DaemonSettings(drain_s=3.0))
    assert settings_of(Document(settings=msgspec.to_builtins(settings))) == settings
    assert settings_of(Document()) is None
    assert settings_of(Document(settings={"daemon": {"colour": "red"}})) is None
