"""What the service manager is told, read from a real datagram socket."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster.systemd.notify import LONGEST_STATUS, Notifier, take_notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening manager and its address as `NOTIFY_SOCKET` spells it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        if request.param == "path":
            listener.bind(str(tmp_path / "notify"))
            yield listener, str(tmp_path / "notify")
        else:
            listener.bind("\0" + str(tmp_path / "notify"))
            yield listener, "@" + str(tmp_path / "notify")


def test_every_message_arrives_at_a_path_and_at_an_abstract_address(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    notifier = take_notifier({"NOTIFY_SOCKET": address})
    assert notifier.is_listened_to
    notifier.ready()
    notifier.status("2 running,\n1 ready")
    notifier.status("2 running, 1 ready")
    notifier.alive()
    notifier.stopping()
    said = [listener.recv(4096) for _ in range(4)]
    assert said == [b"READY=1", b"STATUS=2 running, 1 ready", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_reload_is_said_with_its_moment_in_one_message(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(address).reloading()
    first, _, second = listener.recv(4096).partition(b"\n")
    assert first == b"RELOADING=1"
    assert before <= int(second.removeprefix(b"MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_the_variables_are_taken_out_and_half_of_the_watchdog_is_the_beat() -> None:
    environ = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/h"}
    assert take_notifier(environ).watchdog_s == 15.0
    assert environ == {"HOME": "/h"}


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/n"},
    ],
)
def test_a_watchdog_of_another_or_of_nobody_is_not_answered(environ: dict[str, str]) -> None:
    assert take_notifier(environ).watchdog_s == 0.0


@pytest.mark.parametrize("address", ["", "@", "relative", "vsock:2:1"])
def test_an_address_that_is_none_is_nobody(address: str) -> None:
    assert not take_notifier({"NOTIFY_SOCKET": address}).is_listened_to


def test_a_manager_that_is_away_or_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "nobody")).ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier(str(tmp_path / "deaf"))
        for _ in range(5000):
            notifier.alive()
        taken = 0
        while select.select([deaf], [], [], 0)[0]:
            deaf.recv(100)
            taken += 1
        assert 0 < taken < 5000, "it was full, and the rest was let go"


def test_a_status_line_is_one_short_line(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    Notifier(address).status("x" * 1000)
    assert listener.recv(4096) == b"STATUS=" + b"x" * LONGEST_STATUS
