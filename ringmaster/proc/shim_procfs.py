"""What the shim, the keeper and the daemon read of /proc, and how a tree of processes is killed.

Standard library only, and little of that: this is on the path between a claim and an agent's first
instruction. `signal` and `ctypes` are avoided for that reason (together 9 ms of a 20 ms budget).
"""

from __future__ import annotations

import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any
else:
    import _signal as signal

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_BATCH = 256


class Stat:
    """One reading of /proc/PID/stat. `start_time` is in clock ticks since boot."""

    __slots__ = ("group", "is_dead", "is_stopped", "parent", "pid", "session", "start_time")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.start_time = int(fields[19])
        # A leader whose main thread has exited while others run is in state Z too, with threads.
        self.is_dead = fields[0] in b"ZX" and int(fields[17]) <= 1
        # By a signal, or by a debugger.
        self.is_stopped = fields[0] in b"Tt"

    @property
    def key(self) -> tuple[int, int]:
        """(pid, start time): names one process for as long as the machine is up."""
        return self.pid, self.start_time


def read_small(path: str) -> bytes | None:
    """Content of a small /proc file, or None where it is gone or not ours to read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(fd)


def read_stat(pid: int) -> Stat | None:
    """Stat of `pid`, zombies included; None when it is gone or hidden (hidepid)."""
    text = read_small(f"/proc/{pid}/stat")
    if not text:
        return None
    # The name in parentheses may itself hold spaces and parentheses: the last one ends it.
    return Stat(pid, text[text.rindex(b")") + 2 :].split())


def read_boot_id() -> str:
    """The kernel's id of this boot; empty where /proc does not say."""
    return (read_small("/proc/sys/kernel/random/boot_id") or b"").decode().strip()


def count_oom_kills() -> int:
    """How often the kernel's out-of-memory killer has struck: in this process's cgroup, else on the whole machine.

    The cgroup is that of all who work for one daemon, so a growth is a likely cause of a death, not a proven one.
    """
    for line in (read_small("/proc/self/cgroup") or b"").splitlines():
        if line.startswith(b"0::/"):
            counted = read_small(f"/sys/fs/cgroup{os.fsdecode(line[3:])}/memory.events")
            if counted is not None:
                return read_count(counted, b"oom_kill ")
    return read_count(read_small("/proc/vmstat") or b"", b"oom_kill ")


def read_count(text: bytes, name: bytes) -> int:
    """The number after `name` at the start of a line; 0 where there is none."""
    found = (b"\n" + text).partition(b"\n" + name)[2].split(b"\n", 1)[0]
    return int(found) if found.isdigit() else 0


def take_snapshot() -> list[Stat]:
    """Every process that can be seen, zombies included. Not atomic: callers repeat to a fixpoint."""
    stats = (read_stat(int(name)) for name in os.listdir("/proc") if name[0] in "123456789")
    return [stat for stat in stats if stat is not None]


def select_descendants(snapshot: list[Stat], root: int) -> list[Stat]:
    """The living processes below `root` (itself left out), parents first."""
    children: dict[int, list[Stat]] = {}
    for stat in snapshot:
        children.setdefault(stat.parent, []).append(stat)
    found: list[Stat] = []
    queue = [root]
    for pid in queue:
        for child in children.get(pid, ()):
            queue.append(child.pid)
            if not child.is_dead:
                found.append(child)
    return found


def send_signal(stat: Stat, number: int) -> bool:
    """Send to exactly this process, never to a later one with its pid. False: gone or not allowed."""
    try:
        fd = os.pidfd_open(stat.pid)
    except OSError:
        return False
    try:
        now = read_stat(stat.pid)
        if now is None or now.start_time != stat.start_time:
            return False
        signal.pidfd_send_signal(fd, number)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def signal_processes(targets: list[Stat], snapshot: list[Stat], number: int) -> None:
    """Send to every target; a process group made of targets alone is signalled in one step.

    The group comes first because the kernel delivers to it atomically with respect to fork: a bomb
    that outruns a walk over its members does not outrun this.
    """
    keys = {stat.key for stat in targets}
    mixed = {stat.group for stat in snapshot if not stat.is_dead and stat.key not in keys}
    for group in {stat.group for stat in targets} - mixed:
        if group > 1:
            try:
                os.killpg(group, number)
            except OSError:
                continue
    for stat in targets:
        send_signal(stat, number)


def freeze_and_kill(choose: Callable[[list[Stat]], list[Stat]]) -> list[Stat]:
    """Stop all that `choose` picks from snapshots until no unstopped one is left, then kill them.

    Stopped first, because a parent that sees its child die starts another. Returns the killed ones;
    their death may be yet to come: see `wait_until_dead`.
    """
    frozen: dict[tuple[int, int], Stat] = {}
    while True:
        snapshot = take_snapshot()
        targets = choose(snapshot)
        fresh = [stat for stat in targets if stat.key not in frozen]
        if not fresh:
            break
        signal_processes(targets, snapshot, signal.SIGSTOP)
        frozen.update((stat.key, stat) for stat in fresh)
    if frozen:
        signal_processes(list(frozen.values()), snapshot, signal.SIGKILL)
    return list(frozen.values())


def wait_until_dead(stats: list[Stat], give_up_after_s: float) -> None:
    """Block until each is dead (a zombie is dead) or the time is over. Reaps nothing."""
    deadline = time.monotonic() + give_up_after_s
    for start in range(0, len(stats), POLL_BATCH):
        poller = select.poll()
        waiting: set[int] = set()
        try:
            for stat in stats[start : start + POLL_BATCH]:
                try:
                    fd = os.pidfd_open(stat.pid)
                except OSError:
                    continue
                waiting.add(fd)
                now = read_stat(stat.pid)
                if now is not None and now.start_time == stat.start_time:
                    poller.register(fd, select.POLLIN)
                else:
                    waiting.discard(fd)
                    os.close(fd)
            while waiting and (left_s := deadline - time.monotonic()) > 0:
                for fd, _ in poller.poll(left_s * 1000):
                    poller.unregister(fd)
                    waiting.discard(fd)
                    os.close(fd)
        finally:
            for fd in waiting:
                os.close(fd)


def call_prctl(option: int, value: int) -> None:
    """prctl(2) with one argument. Raises OSError when the kernel refuses."""
    prctl: Callable[..., int]
    try:
        import _ctypes

        class Function(_ctypes.CFuncPtr):
            _flags_ = _ctypes.FUNCFLAG_CDECL

        here: Any = None
        prctl = Function(_ctypes.dlsym(_ctypes.dlopen(here, os.RTLD_NOW), "prctl"))
    except (ImportError, AttributeError):
        # `_ctypes` is CPython's own business; the public way costs 4 ms more.
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    if prctl(option, value, 0, 0, 0) != 0:
        raise OSError(f"prctl({option}, {value}) was refused")
