"""What holds for every test: an environment of its own, nothing left behind, nothing skipped unsaid.

The suite lives in one temporary directory. Each test process gets an empty HOME and an empty TMPDIR
there, and looks after each file of tests for processes, threads and files that outlived it: the offender
is named, the processes are killed, and the file's last test becomes an error. `--basetemp=DIR` keeps the
tests' directories.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOT_VARIABLE = "RINGMASTER_TEST_ROOT"
WORKER_VARIABLE = "RINGMASTER_TEST_WORKER"
# A process that has been told to end is given this long to do so before it counts as left behind.
ENDING_GRACE_S = 2.0
# A Unix socket's path has 107 bytes, and what TMPDIR takes of them a test cannot use.
LONGEST_TMPDIR = 30
# A whole run leaves some hundred megabytes there at a time; what it starts needs memory too.
MEMORY_NEEDED = 6 << 30
# Files of the simulation take half a minute for one test, those of `unit` a second for many.
LONGEST_FIRST = ("sim", "e2e", "integration", "contract", "unit")
# What an outer run, a developer or a gate has set must reach neither the tests nor the programs they start.
FOREIGN_PREFIXES = ("GIT_", "XDG_", "RMCTL_", "RINGMASTER_", "RM_", "LISTEN_", "NOTIFY_", "WATCHDOG_")
FOREIGN_NAMES = ("PYTEST_ADDOPTS", "CLAUDECODE", "TMUX", "VIRTUAL_ENV", "PYTHONPATH")
GIT_CONFIG = """\
[user]
\tname = Test
\temail = test@example.invalid
[init]
\tdefaultBranch = main
[gc]
\tautoDetach = false
[maintenance]
\tautoDetach = false
"""


class Surroundings:
    """The directories of one test process, and what to look for when its tests are over."""

    def __init__(self, root: Path, worker_id: str) -> None:
        self.root = root
        self.worker_id = worker_id
        self.home = root / f"home-{worker_id}"
        self.tmp = root / f"tmp-{worker_id}"
        self.known_threads = set(threading.enumerate())

    def enter(self, *, is_controller: bool) -> None:
        """Point this process, and so all its children, to the suite's own directories."""
        for name in list(os.environ):
            # The controller of a parallel run has no tests itself; its workers read there what to run, and then forget.
            is_kept = is_controller and name == "PYTEST_ADDOPTS"
            if (name.startswith(FOREIGN_PREFIXES) or name in FOREIGN_NAMES) and not is_kept:
                del os.environ[name]
        # A shell without job control starts what runs in the background deaf to Ctrl-C, and that is inherited.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        git_config = self.root / f"gitconfig-{self.worker_id}"
        git_config.write_text(GIT_CONFIG)
        for directory in (self.home, self.tmp):
            directory.mkdir()
        os.environ.update(
            {
                ROOT_VARIABLE: str(self.root),
                WORKER_VARIABLE: f"{self.root}/{self.worker_id}",
                "HOME": str(self.home),
                "TMPDIR": str(self.tmp),
                "GIT_CONFIG_GLOBAL": str(git_config),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "HYPOTHESIS_STORAGE_DIRECTORY": str(self.root / "hypothesis"),
            }
        )
        tempfile.tempdir = None

    def take_leftovers(self, marks: tuple[str, ...]) -> list[str]:
        """Name what outlived its test, and remove it so that the next one starts clean.

        `marks` are strings one of which is in the environment, command line or working directory of each
        process to look for.
        """
        found = [f"process {text}" for text in take_processes(marks)]
        for directory, name in ((self.home, "HOME"), (self.tmp, "TMPDIR")):
            for path in sorted(directory.iterdir()):
                found.append(f"{name}/{path.name}")
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for thread in threading.enumerate():
            if not thread.daemon and thread not in self.known_threads:
                found.append(f"thread {thread.name}")
                self.known_threads.add(thread)
        return found


def take_processes(marks: tuple[str, ...]) -> Iterator[str]:
    """Yield what each process was that bears one of `marks` and did not end by itself.

    It is killed if the mark is in its environment or command line. A working directory alone may be that
    of somebody who looks on, so such a process is only named.
    """
    own = {os.getpid(), os.getppid()}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if pid in own:
            continue
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            process = Process.read(pid)
            if not process.bears(marks) or select.select([pidfd], [], [], ENDING_GRACE_S)[0]:
                continue
            if process.is_ours(marks):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            yield str(process)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # it ended meanwhile, or is another user's
        finally:
            os.close(pidfd)


class Process(NamedTuple):
    """What `/proc` says of a process at one moment."""

    pid: int
    environment: str
    command: str
    directory: str

    @classmethod
    def read(cls, pid: int) -> Process:
        proc = Path("/proc", str(pid))
        return cls(
            pid,
            os.fsdecode((proc / "environ").read_bytes()),
            os.fsdecode((proc / "cmdline").read_bytes()),
            os.readlink(proc / "cwd"),
        )

    def is_ours(self, marks: tuple[str, ...]) -> bool:
        return any(mark in self.environment or mark in self.command for mark in marks)

    def bears(self, marks: tuple[str, ...]) -> bool:
        return self.is_ours(marks) or any(f"{self.directory}/".startswith(mark) for mark in marks)

    def __str__(self) -> str:
        settings = dict(entry.partition("=")[::2] for entry in self.environment.split("\0"))
        words = self.command.replace("\0", " ").strip()
        return f"{self.pid} `{words[:200]}` of {settings.get('PYTEST_CURRENT_TEST', 'an unknown test')}"


surroundings_key = pytest.StashKey[Surroundings]()
leftovers_key = pytest.StashKey[list[str]]()


def place_of_suite() -> str:
    """Where the suite's directory is made: where TMPDIR says, else in memory if there is much, else in /tmp.

    Most of what a test waits for is the making of small files, which takes twenty times as long on a disk.
    """
    named = os.environ.get("TMPDIR", "")
    if named:
        return named if len(named) <= LONGEST_TMPDIR else "/tmp"
    memory = Path("/dev/shm")
    try:
        is_memory = f" {memory} tmpfs " in Path("/proc/mounts").read_text()
        available_kib = int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0])
        room = shutil.disk_usage(memory).free
    except (OSError, ValueError, IndexError):
        return "/tmp"
    is_fit = is_memory and os.access(memory, os.W_OK) and min(room, available_kib * 1024) >= MEMORY_NEEDED
    return str(memory) if is_fit else "/tmp"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    worker_id = getattr(config, "workerinput", {}).get("workerid")
    if worker_id is None:
        root = Path(tempfile.mkdtemp(prefix="rm-", dir=place_of_suite()))
        if config.option.basetemp is None:
            config.option.basetemp = str(root / "t")
    else:
        root = Path(os.environ[ROOT_VARIABLE])
    surroundings = Surroundings(root, worker_id or "main")
    surroundings.enter(is_controller=worker_id is None and bool(getattr(config.option, "numprocesses", None)))
    config.stash[surroundings_key] = surroundings
    config.stash[leftovers_key] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    import ringmaster  # here and not above, so that the tested tree is the one that the tests will see

    found = Path(ringmaster.__file__).resolve().parents[1]
    if found != CHECKOUT and (CHECKOUT / "ringmaster").is_dir():
        pytest.exit(f"the tests would test {found}, not {CHECKOUT}: run `make setup`", returncode=4)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the workers begin with the kinds of tests whose files take longest, so that they end together."""
    if hasattr(config, "workerinput"):
        kinds = {CHECKOUT / "tests" / name: place for place, name in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: min(kinds.get(parent, len(kinds)) for parent in item.path.parents))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    yield
    # Fixtures of a whole file have ended only after its last test.
    if nextitem is None or nextitem.path != item.path:
        surroundings = item.config.stash[surroundings_key]
        marks = [f"{WORKER_VARIABLE}={surroundings.root}/{surroundings.worker_id}\0"]
        base = Path(item.config.option.basetemp)
        # A directory that the caller named may be anybody's; the suite's own has a name like no other.
        if base.is_relative_to(surroundings.root):
            marks.append(f"{base}/")
        found = surroundings.take_leftovers(tuple(marks))
        if found:
            pytest.fail(f"{item.path.name} left behind:\n  " + "\n  ".join(found), pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    surroundings = session.config.stash[surroundings_key]
    # Everything the suite ever started, whichever test process started it: those have ended by now.
    found = surroundings.take_leftovers((f"{ROOT_VARIABLE}={surroundings.root}\0", f"{surroundings.root}/"))
    session.config.stash[leftovers_key] = found
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    surroundings = config.stash.get(surroundings_key, None)
    if surroundings is not None and not hasattr(config, "workerinput"):
        shutil.rmtree(surroundings.root, onerror=make_writable_and_retry)


def make_writable_and_retry(function: Callable[[str], object], path: str, _error: object) -> None:
    """Let `shutil.rmtree` go on where a test took away the right to write."""
    os.chmod(os.path.dirname(path), 0o700)
    if os.path.isdir(path):
        os.chmod(path, 0o700)
        shutil.rmtree(path)
    else:
        function(path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for report in terminalreporter.stats.get("passed", []):
        # What a test has counted, and whoever reads the result wants to know.
        for figure in (value for name, value in report.user_properties if name == "figure"):
            terminalreporter.line(figure)
    reports = terminalreporter.stats.get("skipped", [])
    if reports:
        terminalreporter.section(f"left out: {len(reports)}")
    for report in sorted(reports, key=lambda report: str(report.nodeid)):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
    found = config.stash[leftovers_key]
    if found:
        terminalreporter.section("left behind by the suite")
        for text in found:
            terminalreporter.line(text)


@pytest.fixture(scope="session")
def left_out() -> Callable[[str, str], NoReturn]:
    """A function `(name, reason)` by which a test says what it cannot show on this machine, and why."""

    def leave_out(name: str, reason: str) -> NoReturn:
        pytest.skip(f"{name}: {reason}")

    return leave_out
