"""`make selfhost` for real, on a small checkout of this very tree: its own daemon, keeper, clone, gate and landing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringmaster.client import Client
from ringmaster.selfhost import findings
from tests.fakes.daemon import processes_of
from tests.fakes.house import git
from tests.fakes.rmctl import Ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "ringmaster/agents/aaa_planted.py"
PLANTED_TEXT = '''"""A finding for the test."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind, RingmasterError


def find_nothing(name: str) -> None:
    """Find nothing under a name."""
    raise RingmasterError(ErrorKind.NOT_FOUND, f"nothing is called {name}")
'''
GATE = "gate:\n\t@! grep -rn BROKEN README\n\t@if test -p $(FIFO); then read line < $(FIFO); fi\n\t@echo all is well\n"


class Checkout:
    """A checkout whose tree holds one finding and whose gate takes milliseconds. state: its instance's directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "checkout"
        self.home = root / "home"
        self.home.mkdir()
        self.state = self.home / ".local" / "state" / "ringmaster" / "selfhost"
        self.clone = self.state / "clones" / "ringmaster"
        self.config = self.home / ".config" / "ringmaster" / "selfhost.toml"
        self.fifo = root / "fifo"
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(root)}
        self.environ |= {name: value for name, value in os.environ.items() if name.startswith("RINGMASTER_TEST")}
        self._make()

    def _make(self) -> None:
        for name in ("ringmaster", "sql", "bin"):
            shutil.copytree(ROOT / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path, text in findings.read_tree(str(self.path)).items():
            for finding in findings.find_in(path, text) if findings.is_measured(path) else ():
                text = finding.mend(text) if finding.is_mendable else text
            (self.path / path).write_text(text)
        shutil.copy2(ROOT / "requirements.lock", self.path)
        (self.path / ".venv").symlink_to(ROOT / ".venv")
        self.write({PLANTED: PLANTED_TEXT, "Makefile": GATE.replace("$(FIFO)", str(self.fifo)), "README": "fine\n"})
        self.write({".gitignore": "/.venv\n__pycache__/\n"})
        git("init", "-q", "-b", "main", cwd=self.path)
        self.commit("Begin")

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.path / name).write_text(text)

    def commit(self, message: str) -> str:
        git("add", "-A", cwd=self.path)
        git("commit", "-q", "-m", message, cwd=self.path)
        return git("rev-parse", "HEAD", cwd=self.path)

    def settle_soon(self, probation_s: float = 0.3) -> None:
        """What a person may have set: how soon new code is trusted."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(f"[self]\nprobation_s = {probation_s}\n")

    def start(self, *args: str, **environ: str) -> subprocess.Popen[str]:
        """Begin `bin/selfhost`, its words in a pipe; the test ends it."""
        return subprocess.Popen(
            [self.path / "bin" / "selfhost", *args],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, **environ: str) -> Ended:
        """Run it to its end."""
        with self.start(*args, **environ) as process:
            out, err = process.communicate(timeout=90)
        return Ended(process.returncode, out, err)

    def rmctl(self, *args: str) -> str:
        """Stdout of an rmctl that must succeed."""
        argv = [str(self.path / "bin" / "rmctl"), "-s", "selfhost", *args]
        return subprocess.run(argv, env=self.environ, check=True, capture_output=True, text=True).stdout

    def generation(self) -> int:
        """Which one answers."""
        with Client(str(self.state / "ringmaster.sock")) as client:
            return int(client.call("daemon.version")["generation"])

    def tasks(self) -> list[str]:
        with Client(str(self.state / "ringmaster.sock")) as client:
            listed = client.call("task.list", {"is_all": True})
        return [view["task"]["id"] for view in listed["tasks"]]

    def end(self) -> None:
        """Leave no process of the instance behind."""
        if self.state.is_dir():
            (self.state / "ESTOP").touch()
        for pid in processes_of(self.root):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def open_checkout() -> Iterator[Checkout]:
    """A checkout in a short directory: the socket lies deep below its HOME. Gone with all its processes at the end."""
    root = Path(tempfile.mkdtemp(prefix="sh"))
    checkout = Checkout(root)
    try:
        yield checkout
    finally:
        checkout.end()
        shutil.rmtree(root)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    with open_checkout() as made:
        yield made


def value_of(out: str, name: str) -> str:
    """What the line of a fact says."""
    return next(line[len(name) :].strip() for line in out.splitlines() if line.startswith(f"{name} "))


def check_live(checkout: Checkout, out: str, number: int, commit: str) -> None:
    """The last words say that the generation is live, and the daemon says so too."""
    *_, last = out.partition(f"generation {number} is live: ")
    assert last, out
    proof = subprocess.run(value_of(last, "proof"), shell=True, env=checkout.environ, capture_output=True, text=True)
    assert (value_of(proof.stdout, "generation"), value_of(proof.stdout, "commit")) == (str(number), commit)
    assert all(line.strip() in last for line in proof.stdout.splitlines())
    assert "rollout undo" in value_of(last, "back")
    assert "trial" not in checkout.rmctl("rollout", "status")


def test_a_new_user_sees_one_improvement_land_and_can_run_it_all_again(checkout: Checkout) -> None:
    before = git("rev-parse", "HEAD", cwd=checkout.path)
    ended = checkout()
    assert ended.code == 0, ended
    assert "spends nothing" in value_of(ended.out, "agent")
    commit = git("rev-parse", "selfhost", cwd=checkout.clone)
    assert f"Landed on branch selfhost at {commit}" in ended.out
    assert git("rev-parse", f"{commit}^1", cwd=checkout.clone) == before
    body = git("log", "-1", "--format=%B", f"{commit}^2", cwd=checkout.clone).rstrip()
    assert body.endswith("Agent: scripted (recorded steps, no model)")
    text = git("show", f"{commit}:{PLANTED}", cwd=checkout.clone)
    assert 'RingmasterError: NOT_FOUND ("nothing is called {name}").' in text
    for part in ("queue", "workspace", "agent", "merge", "gate", "landing"):
        assert f"{part} " in value_of(ended.out, "took")
    assert "all is well" in ended.out, "the gate's own words are shown"
    look = subprocess.run(value_of(ended.out, "look"), shell=True, check=True, capture_output=True, text=True).stdout
    assert "+        RingmasterError: NOT_FOUND" in look
    subprocess.run(value_of(ended.out, "fetch"), shell=True, check=True, cwd=checkout.path, capture_output=True)
    assert git("rev-parse", "FETCH_HEAD", cwd=checkout.path) == commit
    assert git("status", "--porcelain", cwd=checkout.path) == ""
    shown = subprocess.run(value_of(ended.out, "show"), shell=True, env=checkout.environ, capture_output=True)
    assert shown.returncode == 0
    written = value_of(ended.out, "settings")
    assert written.startswith(f"{checkout.config} written: ")
    assert "probation_s = 5" in checkout.config.read_text()
    check_live(checkout, ended.out, 2, commit)
    diff = subprocess.run(value_of(ended.out, "diff"), shell=True, check=True, capture_output=True, text=True).stdout
    assert all(line.rstrip() in ended.out for line in diff.splitlines())
    assert f"{PLANTED} | " in diff

    checkout.settle_soon()
    second = PLANTED.replace("planted", "planted_too")
    checkout.write({second: PLANTED_TEXT})
    moved = checkout.commit("Go on")
    ended = checkout()
    assert ended.code == 0, ended
    assert value_of(ended.out, "daemon").startswith("already running; ")
    assert "\nsettings " not in ended.out
    assert {commit, moved} <= set(git("rev-list", "selfhost", cwd=checkout.clone).split())
    assert "Raises:" in git("show", f"selfhost:{second}", cwd=checkout.clone)
    # What the checkout brought and what landed on it are one generation or two, whichever was sooner.
    running = checkout.generation()
    assert running in (3, 4)
    check_live(checkout, ended.out, running, git("rev-parse", "selfhost", cwd=checkout.clone))

    assert checkout("stop").code == 0
    assert processes_of(checkout.root) == []
    assert checkout("stop").code == 0
    ended = checkout()
    assert ended.code == 0, ended
    assert "Nothing to improve" in ended.out
    assert f"The daemon runs that already: generation {running} " in ended.out
    assert len(checkout.tasks()) == 2


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says up to the line that has these words."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            break
    return "".join(lines)


def stop_looking(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does."""
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    assert "the daemon and the task go on" in process.stdout.read()
    assert process.wait() == 130


def test_whoever_stops_looking_finds_the_same_task_going_on_up_to_the_code_that_runs(checkout: Checkout) -> None:
    checkout.settle_soon(probation_s=8.0)
    os.mkfifo(checkout.fifo)
    with checkout.start() as process:
        read_until(process, "commit that would land")
        stop_looking(process)
    with checkout.start() as process:
        out = read_until(process, "commit that would land")
        checkout.fifo.write_text("go on\n")
        out += read_until(process, "is on probation")
        stop_looking(process)
    assert "already running" in value_of(out, "daemon")
    assert "of an earlier run" in value_of(out, "task")
    assert "Landed on branch selfhost" in out
    ended = checkout()
    assert ended.code == 0, ended
    assert "generation 2 of an earlier run is on probation; going on" in value_of(ended.out, "reload")
    check_live(checkout, ended.out, 2, git("rev-parse", "selfhost", cwd=checkout.clone))
    assert len(checkout.tasks()) == 1


def test_a_red_base_is_said_in_words_with_the_command(checkout: Checkout) -> None:
    checkout.settle_soon()
    checkout.write({"README": "BROKEN\n"})
    checkout.commit("Break the gate")
    ended = checkout()
    assert ended.code == 6, ended
    assert "Nothing landed: project ringmaster is paused: the gate is red" in ended.out
    assert "decision answer d-" in value_of(ended.out, "answer")
    assert "commit it in this checkout, then make selfhost" in value_of(ended.out, "mend")
    checkout.write({"README": "fine again\n"})
    mended = checkout.commit("Mend it")
    ended = checkout()
    assert ended.code == 6, ended
    assert git("rev-parse", "selfhost", cwd=checkout.clone) == mended
    answer = value_of(ended.out, "answer").partition(";")[0]
    subprocess.run(answer, shell=True, check=True, env=checkout.environ, capture_output=True)
    # Whom it was filed for does it: nobody else is asked to, or paid.
    ended = checkout(AGENT="claude")
    assert ended.code == 0, ended
    assert value_of(ended.out, "agent") == "scripted: the task of an earlier run is its own"
    assert "pays" not in ended.out
    assert len(checkout.tasks()) == 1


def test_this_checkout_as_target_is_never_moved_under_its_user(checkout: Checkout) -> None:
    checkout.settle_soon()
    checkout.write({"README": "dirty\n"})
    head = git("rev-parse", "main", cwd=checkout.path)
    ended = checkout(TARGET="main")
    assert ended.code == 0, ended
    assert git("rev-parse", "main", cwd=checkout.path) == head
    assert git("status", "--porcelain", cwd=checkout.path).strip() == "M README"
    commit = git("rev-parse", "ringmaster/landed/main", cwd=checkout.path)
    assert f"Landed on branch ringmaster/landed/main at {commit}" in ended.out
    assert "Take it: " in value_of(ended.out, "parked")
    git("checkout", "-q", "README", cwd=checkout.path)
    assert checkout.generation() == 1
    take = value_of(ended.out, "parked").partition("Take it: ")[2]
    subprocess.run(take, shell=True, check=True, cwd=checkout.path, env=checkout.environ, capture_output=True)
    assert git("rev-parse", "main", cwd=checkout.path) == commit
    assert "not before main has it" in value_of(ended.out, "live")
    assert "is live: " not in ended.out
    # Taken, it is the branch that the daemon's code follows.
    ended = checkout(TARGET="main")
    assert ended.code == 0, ended
    check_live(checkout, ended.out, 2, commit)
    assert len(checkout.tasks()) == 1
