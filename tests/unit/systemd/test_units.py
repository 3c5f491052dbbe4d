"""The units' texts: what they must hold, that nothing in them is expanded, and what systemd itself says of them."""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from ringmaster.systemd.units import (
    Service,
    base_name,
    command_line,
    environment_text,
    service_text,
    socket_text,
)

USER = Service(
    base="ringmaster",
    state="default",
    argv=("/bin/true", "-s", "default"),
    socket="/run/user/1000/ringmaster/default.sock",
    environment_file="/home/me/.config/ringmaster/ringmaster.env",
)
SYSTEM = replace(USER, socket="/var/lib/ringmaster/ringmaster.sock", account=getpass.getuser())
EXPOSURE = 60
"""Of 100, as `systemd-analyze security` counts it; what is left is what agents need."""


@pytest.mark.parametrize("service", [USER, SYSTEM], ids=["user", "system"])
def test_the_service_holds_what_the_promises_need(service: Service) -> None:
    lines = service_text(service).splitlines()
    for wanted in (
        "Type=notify",
        "WatchdogSec=30",
        "KillMode=process",
        "Delegate=yes",
        "OOMPolicy=continue",
        "Restart=always",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Requires=ringmaster.socket",
        f"Environment=RINGMASTER_UNIT={'system' if service.account else 'user'}:%n",
    ):
        assert wanted in lines
    assert f"ListenStream={service.socket}" in socket_text(service).splitlines()
    assert "FileDescriptorName=rpc" in socket_text(service).splitlines()


@pytest.mark.parametrize("service", [USER, SYSTEM], ids=["user", "system"])
def test_every_restriction_has_its_reason_above_it(service: Service) -> None:
    text = service_text(service)
    lines = text[text.index("EnvironmentFile=") : text.index("[Install]")].splitlines()[1:]
    settings = [index for index, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    assert len(settings) >= 5
    for index in settings:
        assert lines[index - 1].startswith("#")


def test_nothing_in_a_command_line_is_expanded_or_split() -> None:
    words = ("/opt/my tools/d", "-s", '/a%b$c"d\\e')
    assert command_line(words) == '"/opt/my tools/d" -s "/a%%b$$c\\"d\\\\e"'
    assert "ListenStream=/a%%b c" in socket_text(replace(USER, socket="/a%b c")).splitlines()


def test_an_environment_file_keeps_every_character() -> None:
    text = environment_text({"PATH": "/a b:/c", "KEY": 'x"$`\\y\nz'})
    assert text.startswith("# Written by `rmctl service install`")
    assert text.endswith('PATH="/a b:/c"\nKEY="x\\"\\$\\`\\\\y\nz"\n')


def test_units_of_two_states_never_share_a_name() -> None:
    states = ("default", "selfhost", "/a/s", "/b/s", "/a/s t")
    names = [base_name(state) for state in states]
    assert names[:2] == ["ringmaster", "ringmaster-selfhost"]
    assert len(set(names)) == len(states)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)


@pytest.fixture
def analyze(left_out: Callable[[str, str], NoReturn]) -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        left_out("systemd-analyze", "it is not installed")
    return found


def write_units(directory: Path, service: Service) -> list[str]:
    paths = [directory / service.service_name, directory / service.socket_name]
    for path, text in zip(paths, (service_text(service), socket_text(service)), strict=True):
        path.write_text(text)
    return [str(path) for path in paths]


@pytest.mark.parametrize("service", [USER, SYSTEM], ids=["user", "system"])
def test_systemd_understands_every_line(service: Service, analyze: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "units").mkdir()
    scope = [] if service.account else ["--user"]
    done = subprocess.run(
        [analyze, *scope, "--man=no", "verify", *write_units(tmp_path / "units", service)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_counts_the_system_unit_among_the_restricted(analyze: str, tmp_path: Path) -> None:
    service, _ = write_units(tmp_path, SYSTEM)
    command = [analyze, "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE}", service]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "--offline" in done.stderr:
        pytest.skip("systemd-analyze security: this version has no --offline")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
