"""A real systemd, booted in a container of its own, runs the installed wheel by the units that Ringmaster writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.fakes.wheel import build_wheel, install_wheel

ROOT = Path(__file__).resolve().parents[2]
BOOT_S = 240
WATCHDOG = "[Service]\nWatchdogSec=10\n"
SCENARIO = """\
[Unit]
Requires=basic.target
After=basic.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
WorkingDirectory=/scenario
Environment=HOME=/root GIT_AUTHOR_NAME=toy GIT_AUTHOR_EMAIL=toy@localhost
Environment=GIT_COMMITTER_NAME=toy GIT_COMMITTER_EMAIL=toy@localhost
StandardError=file:/results/stderr
ExecStart={prefix}/bin/python -m tests.system.scenario /results
"""

PERSON = """\
[Service]
Type=notify
Delegate=yes
RuntimeDirectory=user/0
RuntimeDirectoryMode=0700
Environment=HOME=/root XDG_RUNTIME_DIR=/run/user/0
ExecStart=/usr/lib/systemd/systemd --user
"""
"""A user's manager, without the log-in that usually starts it."""


def find_obstacle() -> str:
    """Why no system can be booted here; empty when one can be tried."""
    if os.geteuid() != 0:
        return "it needs root"
    if shutil.which("systemd-nspawn") is None:
        return "it is not installed: apt install systemd-container"
    if not Path(sys.executable).resolve().is_relative_to("/usr"):
        return f"only /usr comes along, and python is {Path(sys.executable).resolve()}"
    return ""


def boot(work: Path) -> subprocess.CompletedProcess[str]:
    """Boot a system that has /usr, the installed wheel and the tests, all read-only, and run the scenario in it."""
    prefix = work / "e"
    install_wheel(build_wheel(work), prefix)
    units = {
        "ringmaster.service.d/watchdog.conf": WATCHDOG,
        "person.service": PERSON,
        "scenario.service": SCENARIO.format(prefix=prefix),
    }
    # Of the checkout only the tests: what runs is what the wheel carries.
    binds = [f"--bind-ro={prefix}", f"--bind-ro={ROOT / 'tests'}:/scenario/tests"]
    binds += [f"--bind={work / 'results'}:/results"]
    for name, text in units.items():
        path = work / "units" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        binds.append(f"--bind-ro={path}:/etc/systemd/system/{name}")
    argv = ["systemd-nspawn", "--directory=/", "--volatile=yes", "--private-network", "--register=no", "--keep-unit"]
    argv += ["--quiet", "--console=pipe", f"--machine=ringmaster-{os.getpid()}", *binds, "--boot"]
    argv += ["systemd.unit=scenario.service", "systemd.show_status=no"]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BOOT_S, check=False, errors="replace"
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scenario saw. Left out by name where no system can be booted."""
    obstacle = find_obstacle()
    if obstacle:
        pytest.skip(f"systemd-nspawn: {obstacle}")
    work = tmp_path_factory.mktemp("boot")
    (work / "results").mkdir()
    done = boot(work)
    found = work / "results" / "seen.json"
    if not found.exists():
        said = (done.stdout + done.stderr)[-2000:]
        if "Operation not permitted" in said or "Permission denied" in said:
            pytest.skip(f"systemd-nspawn: this machine does not let it boot: {said.strip().splitlines()[-1]}")
        raise AssertionError(f"the system did not come up ({done.returncode}):\n{said}")
    error = work / "results" / "stderr"
    words = error.read_text() if error.exists() else ""
    assert not words, words + (work / "results" / "journal").read_text()[-6000:]
    return dict(json.loads(found.read_text()))


def test_it_is_the_installed_wheel_on_the_systems_interpreter(seen: dict[str, Any]) -> None:
    program = seen["program"]
    # By way of the release that the first start made of it.
    assert program["argv"][0].startswith("/var/lib/ringmaster/envs/")
    assert program["exe"].startswith("/usr/bin/python3")
    assert f"path={program['prefix']}/bin/python " in program["start"]
    assert program["package"].startswith(f"{program['prefix']}/lib/")


def test_root_installs_it_for_the_system_and_takes_it_away_again(seen: dict[str, Any]) -> None:
    install = seen["installed"]["install"]
    assert install["code"] == 0, install
    assert "$ systemctl enable --now ringmaster.socket ringmaster.service" in install["err"]
    status = json.loads(seen["installed"]["status"]["out"])
    assert (status["state"], status["enabled"], status["words"]) == ("active", "enabled", "nothing to do")
    assert seen["uninstalled"]["code"] == 0, seen["uninstalled"]
    assert seen["left"] == []


def test_another_account_has_the_daemon_its_state_and_its_socket(seen: dict[str, Any]) -> None:
    account = seen["account"]
    assert account["install"]["code"] == 0, account["install"]
    assert account["asked"]["code"] == 0, account["asked"]
    assert json.loads(account["asked"]["out"])["unit"] == "ringmaster.service"
    assert account["owner"] == account["runs_as"] == account["uid"] > 0


def test_the_first_call_starts_the_daemon(seen: dict[str, Any]) -> None:
    start = seen["start"]
    assert start["before"] == "inactive"
    assert start["health"]["unit"] == "ringmaster.service"
    assert start["health"]["is_kept"]
    assert start["after"]["ActiveState"] == "active"
    assert start["after"]["MainPID"] == str(start["health"]["pid"])


def test_a_reload_reaches_the_daemon_that_runs(seen: dict[str, Any]) -> None:
    reload = seen["reload"]
    assert reload["before"] == reload["after"]
    assert reload["line"].endswith("from now on agents.lately")
    assert reload["state"] == ["active", "running"]
    assert reload["is_agent_there"]


def test_newer_code_comes_in_the_same_process_and_systemd_sees_it_alive_throughout(seen: dict[str, Any]) -> None:
    code = seen["code"]
    assert code["ended"] == "generation.good", code["data"]
    assert code["version"] == "9.9"
    assert len(set(code["pids"])) == 1
    # Longer than systemd's patience, and it was never started again.
    assert code["took_s"] > 12
    assert len(set(code["restarts"])) == 1
    assert code["state"] == ["active", "running"]
    assert code["is_agent_there"]
    names = {line.partition("=")[0] for line in code["gate"]}
    assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "INVOCATION_ID"}
    assert not {name for name in names if name.startswith("RINGMASTER_") and name.endswith("_FD")}
    assert int(code["gate"][-1].split()[1], 16) == 0


def test_a_killed_agent_takes_neither_the_daemon_nor_another_agent_with_it(seen: dict[str, Any]) -> None:
    memory = seen["memory"]
    assert memory["outcome"] == "failed"
    assert memory["is_same_daemon"]
    assert memory["is_agent_there"]
    assert memory["is_limited"] or memory["reason"] == "died of SIGKILL"


def test_want_of_memory_is_named(seen: dict[str, Any], left_out: Callable[[str, str], NoReturn]) -> None:
    if not seen["memory"]["is_limited"]:
        left_out("out of memory", "cgroup v2 has no memory controller for the unit here; killed instead")
    assert seen["memory"]["reason"] == "killed by signal 9 (out of memory?)"


@pytest.mark.parametrize("step", ["restart", "stop"])
def test_agents_live_on_when_the_daemon_is_stopped(seen: dict[str, Any], step: str) -> None:
    assert seen[step]["is_gone"]
    assert seen[step]["is_agent_there"]


def test_a_loop_that_stands_still_is_killed_and_started_again(seen: dict[str, Any]) -> None:
    assert seen["watchdog"] == {"is_killed": True, "is_another": True, "restarts": 1, "is_agent_there": True}


def test_the_work_of_all_that_time_is_adopted_and_lands_once(seen: dict[str, Any]) -> None:
    assert seen["work"] == {"done_by": "landed", "outcomes": ["succeeded"]}


def test_a_person_installs_it_and_takes_it_away_again(seen: dict[str, Any]) -> None:
    person = seen["person"]
    assert [person[verb]["code"] for verb in ("install", "status", "stop", "uninstall", "after")] == [0, 0, 6, 0, 3]
    assert "$ systemctl --user enable --now ringmaster.socket ringmaster.service" in person["install"]["err"]
    assert person["health"]["is_user_unit"]
    found = json.loads(person["status"]["out"])
    assert (found["state"], found["enabled"], found["words"]) == ("active", "enabled", "nothing to do")
    assert "systemctl --user stop ringmaster.socket ringmaster.service" in person["stop"]["err"]
    assert person["is_gone"]
