"""The real daemon as a service: what it tells its manager, the listener it is handed, and what its children see."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.operator import CONFIG, Operator, open_operator, write_step
from tests.fakes.daemon import open_daemon

UNIT = "user:ringmaster.service"
HAND_OVER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "rpc"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does with a socket unit: it listens, and the daemon inherits the listener as descriptor 3."""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket on which a service manager listens, `notify` in the test's directory."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        yield listener


def hear(manager: socket.socket, wanted: bytes) -> list[bytes]:
    """What the daemon says up to and with the first message that is wanted."""
    said = []
    while wanted not in said:
        said.append(manager.recv(4096))
    return said


def as_service(operator: Operator, **more: str) -> None:
    operator.daemon.environ |= {"NOTIFY_SOCKET": f"{operator.root}/notify", "RINGMASTER_UNIT": UNIT, **more}


def test_the_manager_hears_ready_life_counts_and_the_end(tmp_path: Path, manager: socket.socket) -> None:
    with open_operator(tmp_path, is_started=False) as operator:
        as_service(operator, WATCHDOG_USEC="200000")
        operator.daemon.start()
        said = hear(manager, b"READY=1")
        assert b"STOPPING=1" not in said
        assert b"STATUS=starting: migration 0001 base" in said
        hear(manager, b"STATUS=nothing to do")
        for _ in range(3):
            hear(manager, b"WATCHDOG=1")
        health = operator.daemon.call("daemon.health")
        assert (health["unit"], health["is_user_unit"], health["is_kept"]) == ("ringmaster.service", True, True)
        assert operator.daemon.stop() == 0
        assert b"READY=1" not in hear(manager, b"STOPPING=1")
        assert hear_status(manager).startswith(b"STATUS=it stops; agents go on")


def test_a_hangup_has_the_settings_read_again_and_the_manager_told(tmp_path: Path, manager: socket.socket) -> None:
    with open_operator(tmp_path, is_started=False) as operator:
        as_service(operator)
        operator.daemon.start()
        hear(manager, b"STATUS=nothing to do")
        config = operator.daemon.state / "config.toml"
        process = operator.daemon.process
        assert process is not None

        def reload(text: str) -> list[bytes]:
            config.write_text(text)
            process.send_signal(signal.SIGHUP)
            said = hear(manager, b"READY=1")
            assert [line.partition(b"=")[0] for line in said if b"STATUS" not in line] == [b"RELOADING", b"READY"]
            return said

        reload(CONFIG + "reserve_bytes = 4096\n[agents.lately]\nargv = ['true']\n")
        # In force at once: a worker may have it now.
        operator.daemon.call("worker.spawn", id="late", agent="lately")
        reload("[limits]\nwall_s = 'long'\n")
        assert b"STATUS=the settings stay as they are" in hear_status(manager)
        operator.daemon.call("worker.spawn", id="later", agent="lately")
        assert operator.daemon.stop() == 0
        log = "".join(operator.daemon.log)
        assert "from now on agents.lately; only after a restart daemon.reserve_bytes" in log
        assert "ERROR ringmaster.settings: the settings stay as they are: " in log


def hear_status(manager: socket.socket) -> bytes:
    """The next status line."""
    while not (said := manager.recv(4096)).startswith(b"STATUS="):
        pass
    return said


def test_no_child_gets_what_is_the_services(tmp_path: Path, manager: socket.socket) -> None:
    with open_operator(tmp_path, is_started=False) as operator:
        as_service(operator, WATCHDOG_USEC="60000000", INVOCATION_ID="1", JOURNAL_STREAM="8:1")
        operator.daemon.start()
        project = operator.project(gate=f"env > {tmp_path}/gate", setup=[f"env > {tmp_path}/setup"])
        show = {"do": "run", "shell": f"env > {tmp_path}/agent"}
        operator.landed(project.add("Show", show, write_step("one.txt", "1\n")))
        for program in ("setup", "agent", "gate"):
            given = (tmp_path / program).read_text()
            assert "HOME=" in given
            for name in ("NOTIFY_SOCKET", "WATCHDOG_", "RINGMASTER_UNIT", "INVOCATION_ID", "JOURNAL_STREAM"):
                assert name not in given


def test_no_keeper_is_put_beside_the_unit_and_stopping_is_systemctls(tmp_path: Path, manager: socket.socket) -> None:
    with open_operator(tmp_path, is_started=False) as operator:
        as_service(operator)
        operator.daemon.start()
        assert "unit" in operator.ok("daemon", "status")
        assert operator("daemon", "start").err == "already running\n"
        assert operator.json("daemon", "status")["is_kept"]
        for verb in (["stop"], ["stop", "--abort", "-y"]):
            said = operator.refused(6, "daemon", *verb)
            assert "systemctl --user stop ringmaster.socket ringmaster.service" in said
        said = operator.refused(6, "daemon", "restart")
        assert "systemctl --user restart ringmaster.service" in said
        assert operator.daemon.call("daemon.health")["state"] == "ok"


def test_the_listener_is_systemds_and_stays(tmp_path: Path) -> None:
    state = tmp_path / "s"
    with open_daemon(state, is_started=False) as daemon:
        (state / "config.toml").write_text(CONFIG)
        by_hand = daemon.argv
        daemon.argv = [sys.executable, "-c", HAND_OVER, str(daemon.socket), *by_hand]
        daemon.start()
        assert daemon.call("daemon.health")["is_kept"] is False
        # The lock is the daemon's own all the same: nobody else can have the state.
        operator = Operator(daemon, tmp_path)
        assert "daemon" in (state / "lock").read_text()
        assert operator.ok("status")
        assert daemon.stop(signal.SIGTERM) == 0
        assert daemon.socket.is_socket()


def test_a_listener_elsewhere_is_refused_in_a_line(tmp_path: Path) -> None:
    with open_daemon(tmp_path / "s", is_started=False) as daemon:
        argv = [sys.executable, "-c", HAND_OVER, str(tmp_path / "other.sock"), *daemon.argv]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert f"systemd listens on '{tmp_path}/other.sock'" in done.stderr
