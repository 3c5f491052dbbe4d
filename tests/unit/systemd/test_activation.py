"""What systemd hands over is taken when it is meant for this process and is the listener that clients look for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster.systemd import activation
from ringmaster.systemd.activation import ListenerError, Unit, take_listener, take_unit


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listener whose descriptor stands for the first that systemd hands over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "s.sock"))
        listener.listen()
        listener.set_inheritable(True)
        monkeypatch.setattr(activation, "FIRST_FD", listener.fileno())
        yield listener


def environ_of(**changes: str) -> dict[str, str]:
    return {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "rpc", **changes}


def test_the_listener_is_taken_and_no_child_gets_it(handed: socket.socket, tmp_path: Path) -> None:
    environ = environ_of()
    assert take_listener(environ, str(tmp_path / "s.sock")) == handed.fileno()
    assert environ == {}
    assert not os.get_inheritable(handed.fileno())


def test_one_socket_needs_no_name(handed: socket.socket, tmp_path: Path) -> None:
    environ = environ_of(LISTEN_FDNAMES="ringmaster.socket")
    assert take_listener(environ, str(tmp_path / "s.sock")) == handed.fileno()


@pytest.mark.parametrize("changes", [{"LISTEN_PID": "1"}, {"LISTEN_FDS": ""}, {"LISTEN_FDS": "0", "LISTEN_PID": ""}])
def test_what_is_meant_for_another_is_left_alone_and_not_handed_on(changes: dict[str, str]) -> None:
    environ = environ_of(**changes)
    assert take_listener(environ, "/s.sock") == -1
    assert environ == {}


def test_a_listener_elsewhere_is_refused_with_both_places(handed: socket.socket, tmp_path: Path) -> None:
    with pytest.raises(ListenerError, match=r"s\.sock.*clients of this state look at /elsewhere"):
        take_listener(environ_of(), "/elsewhere")


def test_a_socket_that_does_not_listen_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "s.sock"))
        monkeypatch.setattr(activation, "FIRST_FD", datagrams.fileno())
        with pytest.raises(ListenerError, match="no listening Unix stream socket"):
            take_listener(environ_of(), str(tmp_path / "s.sock"))


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("user:ringmaster.service", Unit("ringmaster.service", is_user=True)),
        ("system:ringmaster.service", Unit("ringmaster.service", is_user=False)),
        ("ringmaster.service", None),
        ("", None),
    ],
)
def test_the_unit_is_known_by_its_variable_and_children_by_none_of_systemds(value: str, unit: Unit | None) -> None:
    environ = {"RINGMASTER_UNIT": value, "INVOCATION_ID": "1", "JOURNAL_STREAM": "8:1", "HOME": "/h"}
    assert take_unit(environ) == unit
    assert environ == {"HOME": "/h"}
