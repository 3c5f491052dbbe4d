"""The wheel: built, installed into an empty environment, and at work from there in an empty home."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ringmaster import __version__
from tests.fakes.house import git, make_repository, steps, write_step

ROOT = Path(__file__).resolve().parents[2]
STATE = ".local/state/ringmaster/default"
# Where git, sh and the interpreter itself may come from.
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


class Installed:
    """The wheel in an environment of its own, called as a person would who has nothing else."""

    def __init__(self, root: Path, wheel: Path) -> None:
        self.prefix = root / "e"
        self.home = root / "h"
        self.elsewhere = root / "x"
        self.wheel = wheel
        self.home.mkdir()
        self.elsewhere.mkdir()
        # The directory of the call is no place to import from.
        for name in ("ringmaster.py", "trio.py", "click.py"):
            (self.elsewhere / name).write_text("raise SystemExit('imported from the directory of the call')\n")
        self.environ = {
            "HOME": str(self.home),
            "PATH": f"{self.prefix / 'bin'}:{SYSTEM_PATH}",
            **{name: value for name, value in os.environ.items() if name.startswith("RINGMASTER_TEST_")},
        }
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.prefix)], check=True)
        install = ["install", "--no-index", "--no-deps", "--no-compile", "--quiet", str(wheel)]
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.prefix / "bin" / "python"), *install],
            env=self.environ,
            cwd=self.elsewhere,
            check=True,
        )
        copy_requirements("ringmaster-daemon", wheel, self.site_packages)

    @property
    def site_packages(self) -> Path:
        return self.prefix / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"

    def run(self, program: str, *args: str) -> str:
        """Stdout of a program of the environment that must succeed."""
        done = subprocess.run(
            [self.prefix / "bin" / program, *args],
            env=self.environ,
            cwd=self.elsewhere,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout


def copy_requirements(name: str, wheel: Path, target: Path) -> None:
    """Copy what the wheel says that it requires, and what that requires, out of the running environment.

    So there is no network, and a requirement that is missing in the wheel is missing in the copy too.
    """
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(path for path in archive.namelist() if path.endswith("/METADATA"))).decode()
    waiting = re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)
    seen = {name}
    while waiting:
        wanted = Requirement(waiting.pop())
        if wanted.name in seen or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(wanted.name)
        found = importlib.metadata.distribution(wanted.name)
        assert found.version in wanted.specifier, (wanted, found.version)
        waiting += found.requires or []
        for path in found.files or ():
            if ".." not in path.parts and "__pycache__" not in path.parts:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(path.locate()), target / path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    root = tmp_path_factory.mktemp("w")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(root)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = root.glob("*.whl")
    made = Installed(root, wheel)
    yield made
    subprocess.run(
        [made.prefix / "bin" / "rmctl", "daemon", "stop"], env=made.environ, capture_output=True, check=False
    )


def test_it_carries_the_package_the_statements_and_the_license_and_nothing_else(installed: Installed) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "ringmaster").rglob("*.py")}
    statements = {f"ringmaster/_{path.relative_to(ROOT)}" for path in (ROOT / "sql").rglob("*.sql")}
    info = f"ringmaster_daemon-{__version__}.dist-info"
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
        text = archive.read(f"{info}/METADATA").decode()
    assert names == sources | statements | {"ringmaster/py.typed"} | about
    assert str(ROOT) not in text


def test_both_programs_say_their_version(installed: Installed) -> None:
    assert installed.run("rmctl", "--version") == f"rmctl {__version__}\n"
    assert installed.run("ringmasterd", "--version") == f"ringmasterd {__version__}\n"


def test_it_finds_its_statements_inside_of_itself(installed: Installed) -> None:
    code = "from ringmaster.store.queries import find_sql_dir; print(find_sql_dir())"
    assert installed.run("python", "-P", "-c", code).strip() == str(installed.site_packages / "ringmaster" / "_sql")


def test_the_main_job_runs_from_it_in_an_empty_home(installed: Installed) -> None:
    repository = make_repository(installed.home.parent / "toy")
    task = installed.home.parent / "task.md"
    task.write_text(steps(write_step("one.txt", "1\n"), {"do": "commit", "message": "Add one"}))
    installed.run("rmctl", "daemon", "start")
    pid = daemon_pid(installed)
    assert_of_the_prefix(installed, pid)
    installed.run("rmctl", "project", "add", str(repository), "--gate", "test -f README", "--update-checkout", "clean")
    installed.run("rmctl", "worker", "spawn", "--agent", "scripted")
    id = installed.run("rmctl", "-q", "add", "Add one", "-F", str(task)).strip()
    installed.run("rmctl", "wait", id, "--timeout", "30")
    assert '"done_by": "landed"' in installed.run("rmctl", "show", id, "-o", "json")
    assert git("log", "-1", "--format=%(trailers:key=Ringmaster-Task,valueonly)", cwd=repository).strip() == id
    assert (repository / "one.txt").read_text() == "1\n"
    assert_of_the_prefix(installed, pid)
    assert_kept_by_a_new_keeper(installed, pid)
    installed.run("rmctl", "daemon", "stop")
    assert [path.name for path in installed.home.iterdir()] == [STATE.partition("/")[0]]
    assert [path.name for path in (installed.home / STATE).parent.iterdir()] == ["default"]
    assert len(list(installed.elsewhere.iterdir())) == 3, "nothing was left where it was called"


def daemon_pid(installed: Installed) -> int:
    return int(json.loads(installed.run("rmctl", "daemon", "status", "-o", "json"))["pid"])


def assert_kept_by_a_new_keeper(installed: Installed, pid: int) -> None:
    """A keeper that was given to the running daemon knows what to start after it."""
    keeper = re.findall(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[0]
    os.kill(int(keeper), signal.SIGKILL)
    installed.run("rmctl", "daemon", "start")
    os.kill(pid, signal.SIGKILL)
    # The keeper holds the listener, so the question waits for the next daemon.
    assert installed.run("rmctl", "health")
    assert daemon_pid(installed) != pid


def assert_of_the_prefix(installed: Installed, pid: int) -> None:
    """The daemon has nothing of the checkout: not in its command line, not mapped, not open."""
    proc = Path("/proc", str(pid))
    argv = (proc / "cmdline").read_bytes().split(b"\0")
    assert argv[0] == os.fsencode(installed.prefix / "bin" / "python"), argv
    mapped = set(re.findall(r" (/\S+)", (proc / "maps").read_text()))
    opened = {os.readlink(path) for path in (proc / "fd").iterdir()}
    assert any(str(installed.site_packages) in path for path in mapped), "it runs from there"
    assert [path for path in mapped | opened if path.startswith(f"{ROOT}/")] == []
