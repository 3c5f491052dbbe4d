"""The units' texts: what they must hold, and that nothing in them is expanded. systemd's own view: bin/check-units."""

from __future__ import annotations

import getpass
import re
from dataclasses import replace

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


def test_the_first_line_names_the_edit_of_the_manager_that_reads_the_unit() -> None:
    for text in (service_text, socket_text):
        assert "`systemctl --user edit`" in text(USER).splitlines()[0]
        assert "`systemctl edit`" in text(replace(USER, account="ada")).splitlines()[0]
