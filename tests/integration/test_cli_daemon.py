"""`rmctl daemon …` and `estop` with a real keeper, real shims, and a daemon that is only kept."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ringmaster.cli import daemon as daemon_commands
from ringmaster.cli.instance import open_holders, open_process, wait_gone
from ringmaster.cli.main import main
from tests.fakes import kept_daemon
from tests.fakes.rmctl import Rmctl

SHIM = Path(daemon_commands.PACKAGE) / "proc" / "shim.py"


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state whose daemon is a fake; whatever keeper is left at the end is stopped."""
    directory = tmp_path / "s"
    argv = [sys.executable, kept_daemon.__file__]
    monkeypatch.setattr(daemon_commands, "daemon_argv", lambda session: argv)
    yield directory
    holders = open_holders(directory)
    for holder in holders:
        holder.send(signal.SIGTERM)
    wait_gone(holders, 10)
    for holder in holders:
        holder.close()


@pytest.mark.parametrize("gone", [["ringmaster.sock"], ["ringmaster.sock", "lock"]])
def test_a_deleted_socket_or_lock_is_said_and_a_restart_mends_it(state, capsys, monkeypatch, gone):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert main(["-s", str(state), "daemon", "start"]) == 0
    keeper, kept = open_holders(state)
    for name in gone:
        (state / name).unlink()
    capsys.readouterr()
    assert main(["-s", str(state), "daemon", "start"]) == 3
    words = f"there is keeper {keeper.pid} and daemon {kept.pid}, but the socket {state}/ringmaster.sock was deleted"
    assert capsys.readouterr().err == (f"rmctl: {words} (agents go on meanwhile: rmctl -s {state} daemon restart)\n")
    assert main(["-s", str(state), "daemon", "restart"]) == 0
    assert wait_gone([keeper, kept], 0) == []
    for process in (keeper, kept):
        process.close()
    assert main(["-s", str(state), "daemon", "status"]) == 0


def test_settings_that_cannot_be_read_leave_the_daemon_running_at_a_restart(state, capsys):
    assert main(["-s", str(state), "daemon", "start"]) == 0
    keeper, kept = open_holders(state)
    (state / "config.toml").mkdir()
    capsys.readouterr()
    assert main(["-s", str(state), "daemon", "restart"]) != 0
    hint = f"mend it, then: rmctl -s {state} config check"
    assert capsys.readouterr() == ("", f"rmctl: cannot read {state}/config.toml: Is a directory ({hint})\n")
    assert wait_gone([keeper, kept], 0) == [keeper, kept]
    for process in (keeper, kept):
        process.close()


def test_an_estop_that_cannot_be_cleared_is_told_in_one_line(state, capsys):
    (state / "ESTOP").mkdir(parents=True)
    assert main(["-s", str(state), "estop", "--clear"]) == 1
    said = f"rmctl: cannot remove {state}/ESTOP: Is a directory (nothing starts before it is gone)\n"
    assert capsys.readouterr() == ("", said)


def test_start_status_stop(state, capsys):
    assert main(["-s", str(state), "daemon", "start"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{state}  ok\n")
    assert err == "started\n"
    assert main(["-s", str(state), "daemon", "start"]) == 0
    assert capsys.readouterr().err == "already running\n"
    assert main(["-s", str(state), "daemon", "status", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is_kept"]
    keeper, kept = open_holders(state)
    assert (keeper.role, kept.role, kept.pid) == ("keeper", "daemon", found["pid"])
    assert main(["-s", str(state), "daemon", "stop"]) == 0
    # Both are gone when stop returns, not some time after.
    assert wait_gone([keeper, kept], 0) == []
    keeper.close()
    kept.close()
    assert capsys.readouterr().err == "2 attempts go on without it; the next start takes them up\nstopped\n"
    assert main(["-s", str(state), "daemon", "status"]) == 3
    assert "next          rmctl -s" in capsys.readouterr().out
    assert main(["-s", str(state), "daemon", "stop"]) == 0
    assert capsys.readouterr().err == "not running\n"


def test_a_daemon_that_dies_at_every_start_is_told_with_its_last_words(state, capsys, monkeypatch):
    monkeypatch.setattr(daemon_commands, "daemon_argv", lambda _: [sys.executable, kept_daemon.__file__, "die"])
    monkeypatch.setattr(daemon_commands, "LOOK_S", 0.5)
    monkeypatch.setattr(daemon_commands, "ANSWER_S", 0.2)
    assert main(["-s", str(state), "daemon", "start"]) == 3
    err = capsys.readouterr().err
    assert "the daemon dies at every start: no disk, no hope" in err
    assert str(state / "daemon.log") in err
    # The keeper tries on; status says so, and stop ends it although no daemon answers.
    assert main(["-s", str(state), "daemon", "status"]) == 3
    assert "but nobody answers" in capsys.readouterr().out
    assert main(["-s", str(state), "daemon", "stop"]) == 0
    assert capsys.readouterr().err == "stopped\n"
    assert open_holders(state) == []


def test_bad_settings_are_refused_before_anything_starts(state, capsys):
    state.mkdir()
    (state / "config.toml").write_text("[daemon]\ndrain_s = -1\n")
    assert main(["-s", str(state), "daemon", "start"]) == 2
    assert "config.toml" in capsys.readouterr().err
    assert not (state / "lock").exists()


def test_config_check_needs_no_daemon(state, capsys):
    state.mkdir()
    (state / "config.toml").write_text("[limits]\nwall_s = 60\n")
    assert main(["-s", str(state), "config", "check"]) == 0
    assert capsys.readouterr().out == f"{state}/config.toml\tsound\n"
    (state / "config.toml").write_text("[limits]\nwal_s = 60\n")
    assert main(["-s", str(state), "config", "check"]) == 2
    assert "wal_s" in capsys.readouterr().err


def test_no_socket_and_a_dead_daemons_socket_are_told_apart(tmp_path, capsys):
    state = tmp_path / "s"
    state.mkdir()
    assert main(["-s", str(state), "status"]) == 3
    none = capsys.readouterr().err
    assert "no socket" in none
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state / "ringmaster.sock"))
    assert main(["-s", str(state), "status"]) == 3
    dead = capsys.readouterr().err
    assert "has died" in dead
    for line in (none, dead):
        assert f"rmctl -s {state} daemon start" in line


def test_the_one_other_instance_that_is_up_is_named(tmp_path):
    rmctl = Rmctl(None, {"XDG_RUNTIME_DIR": str(tmp_path)})
    (tmp_path / "ringmaster").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ringmaster" / "selfhost.sock"))
        listener.listen()
        ended = rmctl("status")
    assert ended.code == 3
    assert "selfhost is up: rmctl -s selfhost" in ended.err


def test_a_socket_path_that_is_too_long_is_one_line(tmp_path):
    ended = Rmctl(None)("-s", str(tmp_path / ("x" * 120)), "status")
    assert ended.code == 2
    assert "kernel takes 107" in ended.err
    assert ended.err.count("\n") == 1


def make_job(state: Path, name: str) -> Path:
    """A job whose child would run for an hour, with its spec written."""
    directory = state / "attempts" / "rm-abc12" / "1" / name
    directory.mkdir(parents=True)
    spec = {
        "format": 1,
        "argv": ["/bin/sleep", "3600"],
        "cwd": "/",
        "env": {"PATH": "/usr/bin:/bin"},
        "nonce": "n",
        "grace_s": 0.1,
        "estop": str(state / "ESTOP"),
    }
    (directory / "spec.json").write_text(json.dumps(spec))
    return directory


def start_shim(directory: Path) -> subprocess.Popen[bytes]:
    """A shim; returns when its child runs."""

    process = subprocess.Popen([sys.executable, "-I", "-S", SHIM, directory, "-"], stdin=subprocess.DEVNULL)

    watch = select.poll()
    while not (directory / "run.json").exists():
        watch.poll(5)
    return process


def test_estop_ends_agents_without_a_daemon_and_clear_lets_them_start(state, capsys):
    directory = make_job(state, "agent")
    ended = make_job(state, "setup")
    (ended / "run.json").write_text(json.dumps({"shim": {"pid": os.getpid(), "start_time": 1, "boot_id": "x"}}))
    with start_shim(directory) as shim:
        child = json.loads((directory / "run.json").read_text())["child"]
        assert main(["-s", str(state), "estop"]) == 0
        assert shim.wait(10) == 0
    out, err = capsys.readouterr()
    assert out == "ended\t1\n"
    assert "estop --clear" in err
    assert json.loads((directory / "exit.json").read_text())["reason"] == "estop"
    assert open_process(child["pid"], child["start_time"], "child") is None
    assert (state / "ESTOP").exists()
    assert main(["-s", str(state), "estop", "--clear"]) == 0
    assert not (state / "ESTOP").exists()


def test_estop_ends_a_shim_that_somebody_stopped(state, capsys):
    directory = make_job(state, "agent")
    with start_shim(directory) as shim:
        shim.send_signal(signal.SIGSTOP)
        assert main(["-s", str(state), "estop"]) == 0
        assert shim.wait(10) == 0


def test_estop_without_a_state_says_so(tmp_path, capsys):
    assert main(["-s", str(tmp_path / "none"), "estop"]) == 4
    assert not (tmp_path / "none").exists()
