"""`rmctl doctor` without a daemon, beside a scripted one, and with the real one."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from ringmaster.cli.doctor import COLOURS
from ringmaster.protocol.codes import PROTOCOL_VERSION
from ringmaster.protocol.daemon import Version
from ringmaster.protocol.doctor import Examination, Finding, Mended
from tests.fakes.daemon import open_daemon
from tests.fakes.rmctl import Ended, Rmctl
from tests.fakes.rpc_results import make_health
from tests.fakes.rpc_server import RpcServer

VERSION = Version(version="0.0.1", protocol=PROTOCOL_VERSION, schema=1, python="3", sqlite="3", git="2")


@pytest.fixture
def rmctl(tmp_path: Path) -> Rmctl:
    home = tmp_path / "h"
    home.mkdir()
    names = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "RINGMASTER_STATE", "RMCTL_SOCKET")
    return Rmctl(None, {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), **dict.fromkeys(names, "")})


def findings_of(ended: Ended) -> dict[str, dict]:
    return {found["check"]: found for found in json.loads(ended.out)["findings"]}


def test_without_a_daemon_it_says_how_to_start_one_and_ends_with_3(rmctl: Rmctl):
    ended = rmctl("doctor")
    assert ended.code == 3, ended
    first, mend, *_ = ended.out.splitlines()
    assert first.startswith("error    daemon")
    assert mend.strip() == "-> rmctl daemon start"
    assert ended.err == "1 error\n"
    found = findings_of(rmctl("doctor", "--json"))
    assert {"git", "settings", "disk of state", "inotify", "unit", "lock", "database"} <= set(found)
    assert not Path(rmctl.environ["HOME"], ".local").exists(), "it looks and makes nothing"
    # The command speaks to the instance that was asked about.
    named = rmctl("-s", "night", "doctor", "-o", "json")
    assert findings_of(named)["daemon"]["mend"] == "rmctl -s night daemon start"


def test_a_dead_daemons_socket_and_lock_are_told_from_none(rmctl: Rmctl, tmp_path: Path):
    state = tmp_path / "s"
    state.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(state / "ringmaster.sock"))
    (state / "lock").write_text('{"format": 1, "role": "daemon", "pid": 4194304, "start_time": 1}')
    found = findings_of(rmctl("-s", str(state), "doctor", "--json"))
    assert "has died" in found["daemon"]["words"]
    assert found["daemon"]["mend"] == f"rmctl -s {state} daemon start"
    assert "4194304, which has ended" in found["lock"]["words"]


def test_without_a_daemon_modes_are_mended_and_settings_and_database_looked_at(rmctl: Rmctl, tmp_path: Path):
    state = tmp_path / "s"
    state.mkdir(mode=0o755)
    state.chmod(0o755)
    (state / "ringmaster.db").write_text("no database\n" * 100)
    (state / "ringmaster.db").chmod(0o600)
    (state / "config.toml").write_text("[daemon]\nnonsense = 1\n")
    found = findings_of(rmctl("-s", str(state), "doctor", "--json"))
    assert found["state directory"]["mend"] == f"chmod 700 {state}"
    assert found["settings"]["level"] == found["database"]["level"] == "error"
    ended = rmctl("-s", str(state), "doctor", "--fix")
    assert f"done: chmod 700 {state}\n" in ended.err
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "ringmaster.db").read_text().startswith("no database"), "what it is, a person must see"


def answer(findings: tuple[Finding, ...]) -> dict:
    return {"daemon.health": make_health(), "daemon.version": VERSION, "doctor.examine": Examination(findings=findings)}


def test_the_daemons_findings_come_with_rmctls_own(rmctl: Rmctl, tmp_path: Path):
    state = tmp_path / "s"
    keeper = Finding(check="keeper", level="warning", words="nobody", mend="rmctl daemon start", is_safe=True)
    with RpcServer(state / "ringmaster.sock", answer((keeper,))) as daemon:
        ended = rmctl("-s", str(state), "doctor")
        assert ended.code == 0, "a warning is no error"
        assert "the daemon is 0.0.1, this rmctl" in ended.out
        assert ended.err == f"2 warnings; some of it is mended by: rmctl -s {state} doctor --fix\n"
        daemon.answers["doctor.examine"] = Examination(
            findings=(Finding(check="git", level="error", words="none", mend="sudo apt install git"),)
        )
        assert rmctl("-s", str(state), "doctor").code == 1
        daemon.answers["doctor.mend"] = Mended(done=("removed x",), failed=("y: no",))
        ended = rmctl("-s", str(state), "doctor", "--fix", "-o", "json")
        assert json.loads(ended.out)["done"] == ["removed x"]
        assert "not done: y: no\n" in ended.err
        assert "done: removed x\n" in ended.err


SYSTEMCTL = """\
#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
*Version*) echo 252 ;;
*UnitFileState*) echo enabled ;;
esac
"""


@pytest.fixture
def installed(rmctl: Rmctl, tmp_path: Path) -> Rmctl:
    """With a user manager that does nothing, and the units installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("loginctl", "#!/bin/sh\necho no\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    rmctl.environ |= {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "KEY": "x"}
    assert rmctl("service", "install", "--env", "KEY").code == 0
    return rmctl


def test_where_systemd_starts_the_daemon_its_commands_are_named(installed: Rmctl, tmp_path: Path):
    found = findings_of(installed("doctor", "--json"))
    assert found["daemon"]["mend"] == "systemctl --user start ringmaster.socket ringmaster.service"
    socket_path = Path(installed.environ["HOME"]) / "ringmaster" / "default.sock"
    answers = answer(()) | {"daemon.health": make_health(unit="ringmaster.service", is_user_unit=False)}
    with RpcServer(socket_path, answers):
        found = findings_of(installed("doctor", "--json"))
    assert found["versions"]["mend"] == "sudo systemctl restart ringmaster.service"


def test_units_of_an_older_version_are_brought_up_to_date_and_variables_kept(installed: Rmctl, tmp_path: Path):
    rmctl = installed
    assert findings_of(rmctl("doctor", "--json"))["unit"]["mend"] == "loginctl enable-linger"
    home = Path(rmctl.environ["HOME"])
    unit = home / ".config/systemd/user/ringmaster.service"
    variables = home / ".config/ringmaster/ringmaster.env"
    wanted = unit.read_text()
    unit.write_text(wanted.replace("Restart=always", "Restart=no"))
    variables.chmod(0o644)
    (tmp_path / "calls").unlink()
    before = variables.read_text()
    assert "not what this version would install" in rmctl("doctor").out
    ended = rmctl("doctor", "--fix")
    assert "is as this version writes it" in ended.err
    assert unit.read_text() == wanted
    assert (variables.read_text(), variables.stat().st_mode & 0o777) == (before, 0o600)
    changes = [line for line in (tmp_path / "calls").read_text().splitlines() if " show " not in line]
    assert changes == ["--user daemon-reload"], "the daemon that runs is left to run"


def test_a_real_daemon_looks_itself_over(rmctl: Rmctl, tmp_path: Path):
    with open_daemon(tmp_path / "s") as daemon:
        where = ("-s", str(daemon.state))
        found = findings_of(rmctl(*where, "doctor", "--json"))
        assert found["keeper"]["level"] == "warning", "it was started without one"
        assert found["daemon"]["level"] == found["database"]["level"] == found["clock"]["level"] == "ok"
        daemon.state.chmod(0o755)
        ended = rmctl(*where, "doctor", "--fix")
        assert ended.code == 0, ended
        assert f"done: chmod 700 {daemon.state}" in ended.err
        assert "looks after the daemon now" in ended.err
        found = findings_of(rmctl(*where, "doctor", "--json"))
        assert (found["keeper"]["level"], found["state directory"]["level"]) == ("ok", "ok")
        assert "nothing to mend" in rmctl(*where, "doctor", "--fix").err
        assert rmctl(*where, "daemon", "stop").code == 0
        assert daemon.process is not None
        daemon.process.wait(20)


def test_a_person_sees_colours_by_level(rmctl: Rmctl):
    shown = rmctl.on_terminal("doctor").out
    assert "\x1b[31merror" in shown
    assert "\x1b[32mok" in shown
    assert set(COLOURS) == {"ok", "warning", "error"}
