"""The wheel: built, installed into an empty environment, and at work from there in an empty home."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster import __version__
from ringmaster.reload.release import hash_files, package_files
from tests.fakes.house import git, make_repository, steps, write_step
from tests.fakes.wheel import build_newer_wheel, build_wheel, install_wheel, site_packages_of, upgrade_wheel

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
        install_wheel(wheel, self.prefix)

    @property
    def site_packages(self) -> Path:
        return site_packages_of(self.prefix)

    def run(self, program: str, *args: str) -> str:
        """Stdout of a program of the environment that must succeed."""
        done = subprocess.run(
            [self.prefix / "bin" / program, *args],
            env=self.environ,
            cwd=self.elsewhere,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    # The suite may lie in /dev/shm, and an agent's walls hide all of /dev.
    with tempfile.TemporaryDirectory(prefix="rm-", dir="/tmp") as place:
        root = Path(place)
        made = Installed(root, build_wheel(root))
        yield made
        subprocess.run(
            [made.prefix / "bin" / "rmctl", "daemon", "stop"], env=made.environ, capture_output=True, check=False
        )


def test_it_carries_the_package_the_statements_the_page_and_the_license_and_nothing_else(installed: Installed) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "ringmaster").rglob("*.py")}
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "ringmaster/web/page").rglob("*") if path.is_file()}
    statements = {f"ringmaster/_{path.relative_to(ROOT)}" for path in (ROOT / "sql").rglob("*.sql")}
    info = f"ringmaster_daemon-{__version__}.dist-info"
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
        text = archive.read(f"{info}/METADATA").decode()
    assert names == sources | page | statements | {"ringmaster/py.typed", "ringmaster/_bin/ringmasterd"} | about
    assert str(ROOT) not in text


def test_both_programs_say_their_version(installed: Installed) -> None:
    assert installed.run("rmctl", "--version") == f"rmctl {__version__}\n"
    assert installed.run("ringmasterd", "--version") == f"ringmasterd {__version__}\n"


def test_it_finds_its_statements_inside_of_itself(installed: Installed) -> None:
    code = "from ringmaster.store.queries import find_sql_dir; print(find_sql_dir())"
    assert installed.run("python", "-P", "-c", code).strip() == str(installed.site_packages / "ringmaster" / "_sql")


def test_it_is_the_same_release_as_the_checkout_but_for_the_lock(installed: Installed) -> None:
    digest = "hash_files(file for file in package_files() if file.path != 'requirements.lock')"
    code = f"from ringmaster.reload.release import hash_files, package_files; print({digest})"
    own = hash_files(file for file in package_files() if file.path != "requirements.lock")
    assert installed.run("python", "-P", "-c", code).strip() == own


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
    assert_usable_inside_of_walls(installed, task)
    assert_kept_by_a_new_keeper(installed, pid)
    installed.run("rmctl", "daemon", "stop")
    assert [path.name for path in installed.home.iterdir()] == [STATE.partition("/")[0]]
    assert [path.name for path in (installed.home / STATE).parent.iterdir()] == ["default"]
    assert len(list(installed.elsewhere.iterdir())) == 3, "nothing was left where it was called"


@pytest.mark.timeout(150)
@pytest.mark.storm
def test_a_newer_wheel_is_a_candidate_with_the_libraries_that_came_with_it(installed: Installed) -> None:
    installed.run("rmctl", "daemon", "start")
    state = installed.home / STATE
    (state / "config.toml").write_text("[self]\nprobation_s = 0.5\n")
    pid, envs = daemon_pid(installed), {place.name for place in (state / "envs").iterdir()}
    newer = installed.home.parent / "newer"
    newer.mkdir()
    upgrade_wheel(build_newer_wheel(newer, "9.9"), installed.prefix)
    (about,) = installed.site_packages.glob("click-*.dist-info/METADATA")
    about.write_text(re.sub(r"^Version: .*$", "Version: 99.0", about.read_text(), count=1, flags=re.MULTILINE))
    assert "generation 2 is live" in installed.run("rmctl", "--timeout", "100", "reload", "--wait")
    version = json.loads(installed.run("rmctl", "version", "-o", "json"))
    assert (version["version"], version["daemon"]["version"], version["daemon"]["generation"]) == ("9.9", "9.9", 2)
    assert daemon_pid(installed) == pid
    (added,) = {place.name for place in (state / "envs").iterdir() if not place.name.startswith(".")} - envs
    (linked,) = (state / "envs" / added).glob("lib/*/site-packages/click/core.py")
    assert linked.samefile(installed.site_packages / "click" / "core.py")
    assert_of_the_prefix(installed, pid)
    installed.run("rmctl", "daemon", "stop")


def daemon_pid(installed: Installed) -> int:
    return int(json.loads(installed.run("rmctl", "daemon", "status", "-o", "json"))["pid"])


def assert_usable_inside_of_walls(installed: Installed, task: Path) -> None:
    """Where the home and what else is hidden hold the environment, agents have rmctl all the same."""
    probe = ["bwrap", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    if shutil.which("bwrap") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        return
    say = {"do": "run", "argv": ["sh", "-c", "rmctl show $RM_TASK -q > two.txt"]}
    task.write_text(steps(say, {"do": "commit", "message": "Add two"}))
    installed.run("rmctl", "project", "edit", "toy", "--sandbox", "bwrap")
    id = installed.run("rmctl", "-q", "add", "Add two", "-F", str(task)).strip()
    installed.run("rmctl", "wait", id, "--timeout", "30")
    assert git("show", "main:two.txt", cwd=installed.home.parent / "toy").splitlines()[0] == id


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
    environments = installed.home / ".local" / "state" / "ringmaster" / "default" / "envs"
    assert Path(os.fsdecode(argv[0])).is_relative_to(environments), argv
    mapped = set(re.findall(r" (/\S+)", (proc / "maps").read_text()))
    opened = {os.readlink(path) for path in (proc / "fd").iterdir()}
    assert any(path.startswith(f"{environments}/") for path in mapped), "it runs from there"
    assert [path for path in mapped | opened if path.startswith(f"{ROOT}/")] == []
