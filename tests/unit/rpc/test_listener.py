"""Where the daemon listens: who may connect, what is replaced, what is refused."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.rpc.listener import LISTENER_FD_VARIABLE, bind_listener, open_listener


def make_stale_socket(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


def test_only_the_owner_may_connect_and_the_umask_is_put_back(tmp_path):
    before = os.umask(0o022)
    try:
        with bind_listener(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_dead_daemons_socket_is_replaced(tmp_path):
    path = tmp_path / "s"
    make_stale_socket(path)
    with bind_listener(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_live_daemons_socket_is_left_alone(tmp_path):
    path = tmp_path / "s"
    with bind_listener(path), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(RingmasterError) as caught:
            bind_listener(path)
        assert caught.value.kind is ErrorKind.CONFLICT
        client.connect(str(path))


def test_a_file_in_the_way_is_never_removed(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(RingmasterError) as caught:
        bind_listener(path)
    assert "not a socket" in caught.value.message
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_refused_in_one_line(tmp_path):
    path = tmp_path / ("x" * 108)
    with pytest.raises(RingmasterError) as caught:
        bind_listener(path)
    assert caught.value.kind is ErrorKind.USAGE
    assert "Unix allows 107" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_directory_is_said_so(tmp_path):
    with pytest.raises(RingmasterError, match="No such file"):
        bind_listener(tmp_path / "missing" / "s")


def test_an_inherited_listener_is_taken_once_and_not_passed_on(tmp_path):
    bound = bind_listener(tmp_path / "s")
    fd = bound.detach()
    os.set_inheritable(fd, True)
    environ = {LISTENER_FD_VARIABLE: str(fd)}
    with open_listener(tmp_path / "other", environ) as listener:
        assert listener.getsockname() == str(tmp_path / "s")
        assert not listener.get_inheritable()
        assert listener.getblocking() is False
    assert environ == {}
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("make", [lambda: socket.socket(socket.AF_UNIX), lambda: socket.socket(socket.AF_INET)])
def test_what_is_no_unix_listener_is_not_adopted(tmp_path, make):
    number = str(make().detach())
    with pytest.raises(RingmasterError, match="is not a listening Unix socket"):
        open_listener(tmp_path / "s", {LISTENER_FD_VARIABLE: number})


@pytest.mark.parametrize("number", ["none", "987654"])
def test_a_descriptor_that_is_not_there_is_said_so(tmp_path, number):
    with pytest.raises(RingmasterError, match="is no open socket"):
        open_listener(tmp_path / "s", {LISTENER_FD_VARIABLE: number})
