"""No daemon, a dead one, one too many, a path too long: each is told apart, with the command that mends it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.operator import Operator, open_operator
from tests.fakes.daemon import ROOT, open_daemon
from tests.fakes.rmctl import Rmctl

DAEMON = str(ROOT / "bin" / "ringmasterd")


def start_another(state: Path) -> subprocess.CompletedProcess[str]:
    """A bare daemon that must not come up."""
    return subprocess.run([DAEMON, "-s", str(state)], capture_output=True, text=True, timeout=30, check=False)


def test_a_daemon_that_does_not_run_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    state = tmp_path / "s"
    with open_daemon(tmp_path / "other", is_started=False) as daemon:
        operator = Operator(daemon, tmp_path)
        for command in (("status",), ("add", "x"), ("ls",), ("task", "accept", "rm-1")):
            line = operator.refused(3, "-s", str(state), *command)
            assert line == (
                f"daemon not running: no socket at {state}/ringmaster.sock (start it: rmctl -s {state} daemon start)"
            )
    assert not state.exists()


def test_a_dead_daemons_socket_is_told_apart_and_the_next_start_serves_on_it(tmp_path: Path) -> None:
    with open_operator(tmp_path) as operator:
        project = operator.project()
        task = project.add("Stay")
        operator.daemon.kill()
        line = operator.refused(3, "show", task)
        assert line.startswith(f"the daemon has died: nobody answers its socket at {operator.daemon.socket} ")
        assert "daemon start)" in line
        operator.daemon.start()
        assert operator.json("show", task)["title"] == "Stay"


def test_a_second_daemon_on_the_state_says_who_holds_it(operator: Operator) -> None:
    daemon = operator.daemon
    assert daemon.process is not None
    with operator.nothing_changes():
        second = start_another(daemon.state)
        assert second.returncode == 2
        assert second.stderr == (
            f"ringmasterd: the state {daemon.state} is held by daemon {daemon.process.pid};"
            f" rmctl -s {daemon.state} daemon status\n"
        )
        assert f"held by daemon {daemon.process.pid}" in operator("daemon", "run").err
    assert operator.ok("health").startswith("ok")


@pytest.mark.parametrize("length", [100, 200])
def test_a_socket_path_too_long_is_refused_in_one_line_by_both(tmp_path: Path, length: int) -> None:
    state = tmp_path / ("x" * length) / "s"
    assert len(os.fsencode(state / "ringmaster.sock")) > 107
    started = start_another(state)
    assert started.returncode == 2
    assert started.stderr.count("\n") == 1
    for said in (started.stderr, Rmctl(None)("-s", str(state), "status").err):
        assert "bytes and the kernel takes 107" in said
        assert "use a shorter state directory" in said
        assert said.count("\n") == 1
    assert Rmctl(None)("-s", str(state), "daemon", "start").code == 2
    assert not state.parent.exists()


def test_settings_that_cannot_be_read_stop_the_start_in_one_line(tmp_path: Path) -> None:
    state = tmp_path / "s"
    state.mkdir()
    (state / "config.toml").write_text("[limits]\nwall_s = -1\n")
    started = start_another(state)
    assert started.returncode == 2
    assert started.stderr.count("\n") == 1
    assert f"{state}/config.toml" in started.stderr
    assert sorted(path.name for path in state.iterdir()) == ["config.toml"]
