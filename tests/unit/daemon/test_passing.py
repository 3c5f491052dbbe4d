"""The listener of the page, from one image to the next: nobody who connects meanwhile is refused."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest

from ringmaster.daemon.passing import bind, pack_listener, unpack_listener
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.rpc.handoff import HandedConnection, Other, decode_handoff, encode_handoff
from tests.fakes.rpc import OPERATOR


def test_who_connects_while_nobody_has_the_listener_is_served_by_who_takes_it_up():
    with bind(StreamSettings(), 0) as listener:
        place = listener.getsockname()
        fd = pack_listener(listener)
    assert not os.get_inheritable(fd)
    with socket.create_connection(place) as client:
        taken = unpack_listener(fd)
        assert taken is not None
        with taken:
            assert not taken.getblocking()
            assert not os.get_inheritable(taken.fileno())
            accepted, _ = taken.accept()
            with accepted:
                assert accepted.getpeername() == client.getsockname()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_an_image_that_does_not_know_it_closes_it_with_what_it_cannot_read():
    """As every release before did: a document that is no connection is hung up on, and so nobody listens any more."""
    with bind(StreamSettings(), 0) as listener:
        place = listener.getsockname()
        fd = pack_listener(listener)
    unknown = msgspec.msgpack.encode({"fd": fd})
    document = msgspec.msgpack.encode({"format": 1, "connections": (unknown,)})
    assert decode_handoff(document) == ()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place)


def test_it_is_no_connection_to_who_knows_it():
    with bind(StreamSettings(), 0) as listener:
        fd = pack_listener(listener)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = HandedConnection(fd=ours.fileno(), caller=OPERATOR)
        assert decode_handoff(encode_handoff([connection], [Other(fd=fd)])) == (connection,)
    taken = unpack_listener(fd)
    assert taken is not None
    taken.close()


def test_what_holds_no_listener_is_none_and_closed():
    ours, theirs = socket.socketpair()
    theirs.close()
    fd = ours.detach()
    assert unpack_listener(fd) is None
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    assert unpack_listener(fd) is None


def test_the_port_of_last_time_is_tried_first_and_another_taken_where_it_is_not_free():
    with bind(StreamSettings(), 0) as first:
        port = first.getsockname()[1]
        with bind(StreamSettings(), port) as second:
            assert second.getsockname()[1] not in (0, port)
        with pytest.raises(OSError, match="in use"):
            bind(StreamSettings(port=port), 0)
    with bind(StreamSettings(), port) as again:
        assert again.getsockname()[1] == port
