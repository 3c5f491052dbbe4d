"""What the files of a state tell without its daemon: who holds it, which shims live. Every process is known by
pid and start time, and waited for and signalled by pidfd, so that a pid used again is never taken for it."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple


class Process(NamedTuple):
    """A living process. pidfd: close it with `close`."""

    pid: int
    pidfd: int
    role: str

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.pidfd)

    def send(self, number: signal.Signals) -> None:
        """Signal exactly this process; nothing when it has ended."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            return


def read_record(path: Path) -> dict[str, Any] | None:
    """A small JSON object, None when it is not there or broken."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def open_process(pid: int, start_time: int | None, role: str) -> Process | None:
    """The process if it lives and began at `start_time` (ticks since boot; None: whenever)."""
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, OverflowError, ValueError):
        return None
    # Looked at after the pidfd is open: what the pid means cannot change between the two any more.
    found = _start_time(pid)
    if found is None or (start_time is not None and found != start_time):
        os.close(pidfd)
        return None
    return Process(pid, pidfd, role)


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat, None for a process that is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def open_holders(state: Path) -> list[Process]:
    """Who has the state's lock open: its daemon, its keeper, or both, the keeper first.

    Asked of /proc and not of what the lock file says: that names the last one that wrote it, which in a crash
    loop is a dead daemon while the keeper lives. Of a lock file that was deleted they hold what it was.
    """
    path = state / "lock"
    lock = os.stat(path) if path.exists() else None
    deleted = f"{path.resolve()} (deleted)"
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid() or not _has_open(entry, lock, deleted):
            continue
        process = open_process(int(entry), None, _role(entry))
        if process is None:
            continue
        # Looked at again now that the pidfd is open: the pid may have changed hands in between.
        if _has_open(entry, lock, deleted):
            found.append(process)
        else:
            process.close()
    return sorted(found, key=lambda process: process.role != "keeper")


def _has_open(pid: str, file: os.stat_result | None, deleted: str) -> bool:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                path = f"/proc/{pid}/fd/{fd}"
                if file is None:
                    is_it = os.readlink(path) == deleted
                else:
                    is_it = os.path.samestat(os.stat(path), file)
                if is_it:
                    return True
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return False  # gone, or another user's
    return False


def _role(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return "process"
    return "keeper" if any(word.endswith(b"/keeper.py") for word in words[:5]) else "daemon"


def open_shims(attempts: Path) -> list[Process]:
    """The shims of all jobs that have begun and not ended."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    found = []
    for directory, _, files in os.walk(attempts):
        if "run.json" not in files or "exit.json" in files:
            continue
        shim = (read_record(Path(directory) / "run.json") or {}).get("shim")
        if not isinstance(shim, dict) or shim.get("boot_id") != boot_id or not isinstance(shim.get("pid"), int):
            continue
        process = open_process(shim["pid"], shim.get("start_time"), "shim")
        if process is not None:
            found.append(process)
    return found


def wait_gone(processes: Iterable[Process], timeout_s: float | None) -> list[Process]:
    """Wait until all have ended; the ones that have not when the time is over."""
    left = {process.pidfd: process for process in processes}
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    poller = select.poll()
    for pidfd in left:
        poller.register(pidfd, select.POLLIN)
    while left:
        left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = poller.poll(left_ms)
        for pidfd, _ in ready:
            poller.unregister(pidfd)
            del left[pidfd]
        if not ready:
            break
    return list(left.values())
