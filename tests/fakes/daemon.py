"""The real daemon as a child of the test: started, killed, started again on the same state."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringmaster.client import Client
from ringmaster.proc.shim_procfs import take_snapshot

ROOT = Path(__file__).resolve().parents[2]
READY = "serves"


class LiveDaemon:
    """One instance in `state`, without a keeper: the test itself starts it again.

    argv, environ: how it is started; a test may change them before `start`.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self.socket = state / "ringmaster.sock"
        self.argv = [str(ROOT / "bin" / "ringmasterd"), "-s", str(state)]
        self.environ = dict(os.environ)
        self.process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        self._ready = threading.Event()
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start it and return when it serves. Fails with its log when it ends before that."""
        self._ready.clear()
        self.process = subprocess.Popen(
            self.argv,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        if not self._ready.wait(30) or self.process.poll() is not None:
            raise AssertionError("the daemon did not start:\n" + "".join(self.log[-40:]))

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line)
            if READY in line:
                self._ready.set()
        self._ready.set()

    def kill(self) -> None:
        """`kill -9`, and wait for it to be gone."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(40)
        assert self._reader is not None
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process = None
        return code

    def client(self, timeout_s: float = 30.0) -> Client:
        """A client of it; the caller closes it."""
        return Client(str(self.socket), name=str(self.state), timeout_s=timeout_s)

    def call(self, method: str, **params: Any) -> Any:
        """One call."""
        with self.client() as client:
            return client.call(method, params)

    def events(self, after: int = 0, **filters: Any) -> Iterator[Any]:
        """Every event from a cursor on, for ever, over restarts too."""
        with self.client(timeout_s=60.0) as client:
            yield from client.stream(
                "events.subscribe", {"after": after, **filters}, resume=lambda event: {"after": event["seq"]}
            )

    def wait_for(self, wanted: Callable[[Any], bool], after: int = 0) -> Any:
        """The first event after a cursor that is wanted."""
        for event in self.events(after):
            if wanted(event):
                return event
        raise AssertionError("the stream ended")

    def end_everything(self) -> None:
        """Whatever the test left: the daemon, and every process of this state."""
        if self.process is not None:
            self.process.kill()
            self._reap()
        (self.state / "ESTOP").touch()
        for pid in processes_of(self.state):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def processes_of(state: Path) -> list[int]:
    """Pids of processes that name this state in their command line."""
    found = []
    for stat in take_snapshot():
        try:
            words = Path(f"/proc/{stat.pid}/cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(state) in words and stat.pid != os.getpid():
            found.append(stat.pid)
    return found


@contextmanager
def open_daemon(state: Path, *, is_started: bool = True) -> Iterator[LiveDaemon]:
    """A daemon that is started, and gone with all its processes at the end."""
    state.mkdir(parents=True, exist_ok=True)
    daemon = LiveDaemon(state)
    try:
        if is_started:
            daemon.start()
        yield daemon
    finally:
        daemon.end_everything()


__all__ = ["LiveDaemon", "open_daemon", "processes_of"]
