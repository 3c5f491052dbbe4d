"""A daemon under a keeper, installed in a directory of its own, that stops on its way where a test says."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ringmaster.cli.instance import Process, open_process, open_shims, wait_gone
from ringmaster.proc.shim_procfs import read_stat
from ringmaster.reload.boot_record import BootRecord, read_record
from tests.fakes.daemon import ROOT, LiveDaemon
from tests.fakes.house import make_repository, steps, write_step
from tests.fakes.own_source import PROJECT, OwnSource, clone_source, copy_sources
from tests.fakes.rmctl import Ended, Rmctl
from tests.fakes.switch_steps import PLACE, steps_of_the_switch

WAIT_S = 60.0
NOTE = "grep SigBlk /proc/self/status >>"
GENERATIONS = ("generation.good", "generation.bad")
CONFIG = """\
[limits]
cancel_grace_s = 0.2
[self]
debounce_s = 0.05
probation_s = {probation_s}
guard_s = {guard_s}
"""


class KeptDaemon(LiveDaemon):
    """Started by `rmctl daemon start` of an installation of its own, so that a keeper starts it again."""

    def __init__(self, state: Path, installed: Path) -> None:
        super().__init__(state)
        self.rmctl = Rmctl(None, {"RMCTL_SOCKET": "", "RINGMASTER_STATE": str(state)})
        self.program = installed / "bin" / "ringmasterd"
        self._rmctl = installed / "bin" / "rmctl"

    def run(self, *words: str) -> Ended:
        """A call of the installation's rmctl."""
        return self.rmctl.run_as(self._rmctl, *words)

    def start(self) -> None:
        """Start it, or mend its keeper."""
        done = self.run("daemon", "start")
        assert done.code == 0, (done, self.read_log()[-3000:])

    @property
    def pid(self) -> int:
        return int(self.call("daemon.health")["pid"])

    def open_process(self) -> Process:
        """The daemon that answers now."""
        found = open_process(self.pid, None, "daemon")
        assert found is not None
        return found

    def open_keeper(self) -> Process:
        """The keeper that the lock file or the daemon's parent names."""
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.endswith(b"/keeper.py") for word in words) and os.fsencode(self.state) in words:
                found = open_process(pid, None, "keeper")
                assert found is not None
                return found
        raise AssertionError("there is no keeper")

    def read_log(self) -> str:
        return (self.state / "daemon.log").read_text(errors="replace")


class Knocking:
    """Connects and asks without end: a broken connection is a crash's price, a refused one is never right."""

    def __init__(self, path: Path) -> None:
        self.refused: list[str] = []
        self.answered = 0
        self._path = str(path)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(WAIT_S)
                try:
                    client.connect(self._path)
                except OSError as error:
                    self.refused.append(repr(error))
                    return
                try:
                    client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "daemon.version"}\n')
                    self.answered += bool(client.recv(65536))
                except OSError:
                    # It died under us.
                    continue
            self._is_over.wait(0.05)

    def end(self) -> None:
        self._is_over.set()
        self._thread.join(WAIT_S)


class Outcome(NamedTuple):
    """What became of a switch that was stopped half-way.

    verdict: `good` or `bad`, of the candidate. serves: the candidate, or the generation that ran before. process: the
    one that serves, `new` or `old`. reason: why it is bad.
    """

    verdict: str
    serves: str
    process: str
    reason: str = ""


GOOD = Outcome("good", "the candidate", "new")


class Kept(OwnSource):
    """Its own source under a keeper, one agent at work that waits for a word, and somebody who always asks."""

    daemon: KeptDaemon

    def __init__(self, daemon: KeptDaemon, repository: Path) -> None:
        super().__init__(daemon, repository)
        self.place = daemon.state / PLACE
        self.number = 0
        self._agent = -1
        self._task = ""
        self._shims: list[Process] = []
        self._knocking: Knocking | None = None
        self._asking: socket.socket | None = None

    def begin_work(self, root: Path) -> None:
        repository = make_repository(root / "toy")
        self.daemon.call("project.add", path=str(repository), id="toy", config={"gate": "true"})
        self.daemon.call("worker.spawn", id="w", agent="scripted", project_id="toy")
        go = root / "go"
        os.mkfifo(go)
        text = steps({"do": "fifo", "path": str(go)}, write_step("one.txt", "1\n"))
        added = self.daemon.call("task.add", title="Go on", description=text, project_id="toy")
        self._task = added["view"]["task"]["id"]
        self._agent = os.open(go, os.O_WRONLY)
        self._shims = open_shims(self.daemon.state / "attempts")
        assert len(self._shims) == 1
        self._knocking = Knocking(self.daemon.socket)

    def check_untouched(self) -> None:
        """Nobody was refused, and the agent is at work in the first attempt."""
        assert self._knocking is not None
        assert self._knocking.refused == []
        assert wait_gone(self._shims, 0) == self._shims
        attempts = self.daemon.call("task.show", id=self._task)["attempts"]
        assert [(one["ended_at"], one["outcome"]) for one in attempts] == [(None, None)] or len(attempts) == 1, attempts

    def end_work(self) -> Any:
        """The attempts of its task, once it is done."""
        os.close(self._agent)
        self.daemon.call("task.wait", id=self._task, timeout_s=WAIT_S - 5)
        for shim in self._shims:
            shim.close()
        return self.daemon.call("task.show", id=self._task)["attempts"]

    def end(self) -> None:
        if self._knocking is not None:
            self._knocking.end()
        if self._asking is not None:
            self._asking.close()

    @contextmanager
    def unasked(self) -> Iterator[None]:
        """Inside, nobody knocks: the daemon may stop."""
        assert self._knocking is not None
        self._knocking.end()
        assert self._knocking.refused == []
        yield
        self._knocking = Knocking(self.daemon.socket)

    def commit_next(self, **files: str) -> None:
        """Something new and harmless, and `files`."""
        self.number += 1
        text = f'"""Ringmaster."""\n\n__version__ = "9.{self.number}"\n'
        self.commit({"ringmaster/__init__.py": text, **files})

    def stop_at(self, step: str, what: str = "wait", word: str = "", *, then: str = "") -> None:
        """Let the next who comes to a step do so. then: another step and what is done there, once that was done."""
        self.place.write_text(f"{step} {what} {word}".strip() + (f"\n{then}" if then else ""))

    @contextmanager
    def standing_at(self, step: str, begin: Callable[[], object] | None = None) -> Iterator[None]:
        """Commit something, or begin a switch otherwise; inside, the daemon stands at that step of it."""
        go = Path(f"{self.place}.go")
        if not go.exists():
            os.mkfifo(go)
        self.stop_at(step)
        (begin or self.commit_next)()
        fd = os.open(go, os.O_WRONLY)
        try:
            yield
        finally:
            os.close(fd)

    def take_next(self) -> int:
        """Commit something and wait until it is good; its number."""
        after, made = self.cursor, self.next_number
        self.commit_next()
        event = self.wait_end_of(made, after)
        assert event["type"] == "generation.good", (event, self.daemon.read_log()[-5000:])
        return made

    def look_at_descriptors(self) -> tuple[list[str], int]:
        """What a daemon at rest has open besides sockets, and how many of these."""
        with self.unasked():
            after = self.cursor
            self.daemon.call("reload.request")
            self.daemon.wait_for(lambda event: event["type"] == "reload.found_nothing", after)
            pid, found = self.daemon.pid, []
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with suppress(FileNotFoundError):
                    found.append(os.readlink(f"/proc/{pid}/fd/{fd}").partition(":")[0])
        return sorted(name for name in found if name != "socket"), found.count("socket")

    @property
    def next_number(self) -> int:
        """The number of the next generation."""
        return int(self.history()[0]["generation"]["id"]) + 1

    def kill_before_it_runs(self, step: str, *, then: str = "") -> Outcome:
        """Killed before it ran a candidate is not to blame: it is tried again. then: where it is killed once more."""
        after, made, pid = self.cursor, self.next_number, self.daemon.pid
        self.stop_at(step, "die", then=f"{then} die" if then else "")
        self.commit_next()
        put_off = self.daemon.wait_for(lambda event: event["type"] == "generation.put_off", after)
        event = self.wait_end_of(made, after)
        assert put_off["data"]["generation"] == made
        assert not self.place.exists(), "it was killed as often as it should be"
        return self._look(event, pid)

    def kill_on_trial(self, step: str, what: str = "die") -> Outcome:
        """Dead on trial it is bad, and the good one serves in a new process."""
        after, made, pid = self.cursor, self.next_number, self.daemon.pid
        self.stop_at(step, what)
        self.commit_next()
        event = self.wait_end_of(made, after)
        seen = self._look(event, pid)
        assert self.row(made)["state"] == seen.verdict
        return seen

    def kill_when_it_is_good(self, step: str) -> Outcome:
        """From the moment that the record calls it good it is."""
        after, made, pid = self.cursor, self.next_number, self.daemon.pid
        self.stop_at(step, "die")
        self.commit_next()
        return self._look(self.wait_end_of(made, after), pid)

    def _look(self, event: Any, pid: int) -> Outcome:
        """What the end of a generation came to; record and rows agree, and nobody was disturbed."""
        serves, settled = self.generation, event["data"]["generation"]
        self.check_agreed(serves)
        self.check_untouched()
        return Outcome(
            event["type"].removeprefix("generation."),
            "the candidate" if serves == settled else "the one before",
            "old" if self.daemon.pid == pid else "new",
            event["data"].get("reason", ""),
        )

    def ask_to_stop(self) -> None:
        """Send the request; the answer is not waited for, and the connection stays open."""
        client = self._asking = socket.socket(socket.AF_UNIX)
        client.connect(str(self.daemon.socket))
        client.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "daemon.stop", "params": {}}\n')

    def stop_while(self, step: str, stop: Callable[[int], object]) -> Outcome:
        """Stopped at a step it ends with 0 and its keeper with it; the candidate is tried at the next start, and good.

        stop: given the daemon's pid, asks it to stop.
        """
        after, made, running = self.cursor, self.next_number, self.generation
        daemon, keeper = self.daemon.open_process(), self.daemon.open_keeper()
        with self.unasked():
            with self.standing_at(step):
                stop(daemon.pid)
            assert wait_gone([daemon, keeper], WAIT_S) == [], self.daemon.read_log()[-5000:]
            assert "the end; the daemon ended with 0" in self.daemon.read_log().splitlines()[-1]
            assert not self.daemon.socket.exists()
            record = self.record
            found = (record.good.generation, record.trial, record.failed)
            assert found == (running, None, ()), (found, self.daemon.read_log()[-5000:])
            self.daemon.start()
        for process in (daemon, keeper):
            process.close()
        return self._look(self.wait_end_of(made, after), daemon.pid)

    def wait_end_of(self, generation: int, after: int) -> Any:
        """How a generation came out: the event."""
        return self.daemon.wait_for(
            lambda event: event["type"] in GENERATIONS and event["data"]["generation"] == generation, after
        )

    @property
    def record(self) -> BootRecord:
        found = read_record(self.daemon.state)
        assert found is not None
        return found

    def row(self, generation: int) -> Any:
        """Its row in the archive."""
        return next(one["generation"] for one in self.history() if one["generation"]["id"] == generation)

    def check_agreed(self, running: int) -> None:
        """Record and rows say the same, and that generation answers."""
        assert self.generation == running
        record = self.record
        assert (record.good.generation, record.trial, record.failed) == (running, None, ())
        assert self.row(running)["state"] == "good"
        views = {one["generation"]["id"]: (one["is_running"], one["is_good"]) for one in self.history()}
        assert [id for id, view in views.items() if view != (False, False)] == [running]
        assert views[running] == (True, True)


@contextmanager
def open_kept(root: Path, *, probation_s: float = 0.3, guard_s: float = 10.0) -> Iterator[Kept]:
    """A kept daemon whose source has the steps from its first generation on; everything is gone at the end.

    Every git and gate of it notes its mask, in the files `git.masks` and `gate.masks` of `root`.
    """
    installed, repository, state = root / "installed", root / "source", root / "state"
    copy_sources(installed, is_compiled=True)
    clone_source(repository)
    # Where its programs look for their interpreter; the installation is no repository.
    (installed / ".venv").symlink_to(ROOT / ".venv")
    state.mkdir()
    (state / "config.toml").write_text(CONFIG.format(probation_s=probation_s, guard_s=guard_s))
    daemon = KeptDaemon(state, installed)
    git_program = root / "bin" / "git"
    git_program.parent.mkdir()
    git_program.write_text(f'#!/bin/sh\n{NOTE}{root}/git.masks\nexec {shutil.which("git")} "$@"\n')
    git_program.chmod(0o755)
    daemon.rmctl.environ["PATH"] = f"{git_program.parent}:{os.environ['PATH']}"
    gate = f"{NOTE}{root}/gate.masks"
    kept = Kept(daemon, repository)
    files = steps_of_the_switch(repository, state)
    for name, text in files.items():
        (installed / name).write_text(text)
    kept.commit(files, "The steps")
    try:
        daemon.start()
        daemon.call("project.add", path=str(repository), id=PROJECT, config={"gate": gate, "is_self": True})
        kept.begin_work(root)
        yield kept
    finally:
        kept.end()
        daemon.end_everything()


def mask_of(pid: int) -> int:
    """The signals that a process blocks."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return int(line.split()[1], 16)
    raise AssertionError(pid)


def masks_in(path: Path) -> set[int]:
    """The different masks that programs have noted in a file."""
    return {int(line.split()[1], 16) for line in path.read_text().splitlines()}


def dead_children_of(pid: int) -> list[int]:
    """Zombies below a process."""
    found = []
    for child in map(int, filter(str.isdigit, os.listdir("/proc"))):
        stat = read_stat(child)
        if stat is not None and stat.parent == pid and stat.is_dead:
            found.append(child)
    return found


__all__ = ["GOOD", "Kept", "KeptDaemon", "Outcome", "dead_children_of", "mask_of", "masks_in", "open_kept"]
