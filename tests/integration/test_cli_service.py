"""`rmctl service …` beside a systemctl that only writes down what it was asked."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from ringmaster.cli.service_system import find_closed
from tests.fakes.rmctl import Rmctl

SYSTEMCTL = """\
#!/bin/sh
echo "systemctl $*" >> "$CALLS"
case "$*" in
*Version*) echo 252 ;;
*ActiveState*) printf '%s\\n' ActiveState=active UnitFileState=enabled NRestarts=2 'StatusText=3 running' ;;
*"$BREAKS"*) echo "no such luck" >&2; exit 1 ;;
esac
"""
LOGINCTL = '#!/bin/sh\necho "$LINGER"\n'


class Person:
    """Somebody with a home of their own and, unless taken away, a user manager."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.programs = home / "bin"
        self.programs.mkdir(parents=True)
        for name, text in (("systemctl", SYSTEMCTL), ("loginctl", LOGINCTL)):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)
        self.calls_file = home / "calls"
        self.rmctl = Rmctl(
            None,
            {
                "HOME": str(home),
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "CALLS": str(self.calls_file),
                "BREAKS": "nothing of it",
                "LINGER": "no",
                "XDG_CONFIG_HOME": "",
                "XDG_STATE_HOME": "",
                # Short, as a real one is: the socket's path must fit into an address.
                "XDG_RUNTIME_DIR": str(home),
                "RINGMASTER_STATE": "",
                "RMCTL_SOCKET": "",
            },
        )
        self.units = home / ".config" / "systemd" / "user"
        self.environment_file = home / ".config" / "ringmaster" / "ringmaster.env"

    def calls(self) -> list[str]:
        """The commands that changed something."""
        said = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in said if " show " not in line]

    def files(self) -> set[str]:
        """What lies in the configuration."""
        return {path.name for path in (self.home / ".config").rglob("*") if path.is_file()}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path / "h")


def test_install_writes_three_files_says_each_command_and_warns_of_logging_out(person: Person) -> None:
    person.rmctl.environ["SOME_KEY"] = 'se"cret'
    done = person.rmctl("service", "install", "--env", "SOME_KEY")
    assert done.code == 0, done
    assert person.calls() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now ringmaster.socket ringmaster.service",
    ]
    for call in person.calls():
        assert f"$ {call}\n" in done.err
    assert "loginctl enable-linger" in done.err
    text = (person.units / "ringmaster.service").read_text()
    assert "ringmasterd -s default\n" in text
    assert f"EnvironmentFile=-{person.environment_file}\n" in text
    listen = f"ListenStream={person.home}/ringmaster/default.sock\n"
    assert listen in (person.units / "ringmaster.socket").read_text()
    assert stat.S_IMODE(person.environment_file.stat().st_mode) == 0o600
    recorded = person.environment_file.read_text()
    assert f'PATH="{person.programs}:' in recorded
    assert 'SOME_KEY="se\\"cret"\n' in recorded
    assert "se" + "cret" not in text + done.err + done.out


def test_with_linger_nothing_is_said_of_logging_out(person: Person) -> None:
    person.rmctl.environ["LINGER"] = "yes"
    assert "enable-linger" not in person.rmctl("service", "install").err


def test_status_is_what_systemd_says(person: Person) -> None:
    assert person.rmctl("service", "status").code == 3
    person.rmctl("service", "install")
    done = person.rmctl("service", "status", "-o", "json")
    assert done.code == 0, done
    found = json.loads(done.out)
    assert (found["state"], found["words"], found["restarts"], found["linger"]) == ("active", "3 running", 2, "no")
    assert "3 running" in person.rmctl("service", "status").out


def test_uninstall_takes_away_what_install_wrote_and_nothing_else(person: Person) -> None:
    person.rmctl("service", "install")
    (person.units / "other.service").write_text("[Service]\n")
    person.calls_file.unlink()
    assert person.rmctl("service", "uninstall").code == 0
    assert person.files() == {"other.service"}
    assert person.calls() == [
        "systemctl --user disable --now ringmaster.socket ringmaster.service",
        "systemctl --user daemon-reload",
    ]
    assert person.rmctl("service", "uninstall").err == "not installed\n"


def test_a_unit_by_another_hand_is_left(person: Person) -> None:
    person.units.mkdir(parents=True)
    (person.units / "ringmaster.service").write_text("[Service]\nExecStart=/mine\n")
    assert person.rmctl("service", "uninstall").err == "not installed\n"
    assert person.files() == {"ringmaster.service"}


def test_without_a_user_manager_one_line_says_what_to_do_and_nothing_is_written(person: Person) -> None:
    (person.programs / "systemctl").write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")
    done = person.rmctl("service", "install")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert "no systemd user manager answers here" in done.err
    assert "rmctl daemon start" in done.err
    assert person.files() == set()


def test_a_dry_run_prints_the_texts_hides_values_and_changes_nothing(person: Person) -> None:
    person.rmctl.environ["SOME_KEY"] = "secret"
    done = person.rmctl("service", "install", "--dry-run", "--env", "SOME_KEY")
    assert done.code == 0, done
    assert "KillMode=process" in done.out
    assert 'SOME_KEY="…"' in done.out
    assert "secret" not in done.out
    system = json.loads(person.rmctl("service", "install", "-n", "--system", "worker", "-o", "json").out)["files"]
    assert "User=worker\n" in system["/etc/systemd/system/ringmaster.service"]
    assert person.files() == set()
    assert person.calls() == []


def test_what_systemctl_refuses_is_said_in_a_line(person: Person) -> None:
    person.rmctl.environ["BREAKS"] = "enable --now"
    done = person.rmctl("service", "install")
    assert done.code == 1
    assert done.err.endswith(
        "rmctl: systemctl --user enable --now ringmaster.socket ringmaster.service: no such luck "
        "(journalctl --user -u ringmaster.service)\n"
    )


def test_the_systems_unit_has_nothing_of_the_callers_but_the_path(person: Person) -> None:
    person.rmctl.environ["XDG_STATE_HOME"] = str(person.home / "state")
    done = person.rmctl("service", "install", "-n", "--system", "nobody", "-o", "json")
    files = json.loads(done.out)["files"]
    assert "XDG_" not in files["/etc/ringmaster.env"]
    assert 'PATH="' in files["/etc/ringmaster.env"]
    group = grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name
    socket = files["/etc/systemd/system/ringmaster.socket"]
    assert f"SocketUser=nobody\nSocketGroup={group}\n" in socket
    assert f"-o nobody -g {group} /var/lib/ringmaster\n" in socket
    assert " -s /var/lib/ringmaster\n" in files["/etc/systemd/system/ringmaster.service"]


def test_the_systems_manager_is_asked_about_the_systems_units(person: Person) -> None:
    assert person.rmctl("service", "status", "--system").code == 3
    assert person.rmctl("service", "uninstall", "--system").err == "not installed\n"
    said = person.calls_file.read_text()
    assert "systemctl show" in said
    assert "--user" not in said


def test_a_program_that_the_account_cannot_reach_is_found_before_systemd_tries() -> None:
    others, own = 12345, Path(tempfile.mkdtemp(prefix="closed-"))
    try:
        assert find_closed(Path("/usr/bin/env"), others, []) is None
        program = own / "ringmasterd"
        program.write_text("")
        program.chmod(0o755)
        # Made for its owner alone, as a home often is.
        assert find_closed(program, others, []) in (own, *own.parents)
        assert find_closed(program, 0, []) is None
        program.chmod(0o644)
        own.chmod(0o755)
        assert find_closed(program, others, []) in (program, *own.parents)
    finally:
        shutil.rmtree(own)


@pytest.mark.parametrize(
    "args",
    [
        ["--env", "NOT_SET_HERE"],
        ["--system", "no-such-account"],
        ["--system", "worker\nUser=root"],
        ["--system", ""],
        ["--env", "A=B"],
    ],
)
def test_what_cannot_be_installed_is_a_usage_error(person: Person, args: list[str]) -> None:
    assert person.rmctl("service", "install", *args).code == 2
    assert person.files() == set()


def test_no_keeper_is_started_where_the_units_are(person: Person) -> None:
    person.rmctl("service", "install")
    done = person.rmctl("daemon", "start")
    assert done.code == 6
    assert "systemctl --user start ringmaster.socket ringmaster.service" in done.err
