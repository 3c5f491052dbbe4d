"""What a shim does: start the child, watch its limits, end its tree, say how it ended.

Single-threaded; its signals are blocked and taken one by one with `sigtimedwait`, so that no handler
ever runs between two steps. It survives the daemon, and SIGHUP, SIGINT and SIGPIPE: nothing here
writes to a pipe or terminal that someone else can close.
"""

from __future__ import annotations

import os
import time

from ringmaster.proc.shim_child import RESET_SIGNALS, HeldChild, SpawnError
from ringmaster.proc.shim_files import FORMAT, read_json, reserve, write_all, write_json
from ringmaster.proc.shim_procfs import (
    PR_SET_CHILD_SUBREAPER,
    call_prctl,
    count_oom_kills,
    freeze_and_kill,
    read_boot_id,
    read_stat,
    select_descendants,
    send_signal,
    take_snapshot,
    wait_until_dead,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

LOOK_EVERY_S = 1.0
LOOK_SOONEST_S = 0.05
KILL_GIVE_UP_S = 30.0
EXIT_WRITE_GIVE_UP_S = 3600.0
HIGHEST_FD = 1 << 20
WAITED = (signal.SIGTERM, signal.SIGCHLD)


class Shim:
    """One job under way. `reason` is None until something else than the child itself ends it."""

    def __init__(self, directory: str, spec: dict[str, Any], lock_fd: int) -> None:
        self.directory = directory
        self.spec = spec
        self.lock_fd = lock_fd
        self.reason: str | None = None
        self.error: str | None = None
        self.child = 0
        self.status: int | None = None
        self.has_children = False
        self.usage = [0.0, 0.0, 0]
        self.oom_kills = 0
        self.started_at = time.time()
        self.started = time.monotonic()
        self.grown = self.started
        self.looked = self.started
        self.rate = 0.0
        self.sizes = (0, 0)
        self.indexed = (0, 0)
        self.kill_due: float | None = None

    def run(self) -> int:
        """From nothing to `exit.json`; 0 when that was written."""
        self.outputs = [
            os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            for name in ("stdout", "stderr", "index")
        ]
        if self.is_estopped():
            self.reason = "estop"
        else:
            # Before the child can fill the disk: its first breath may be enough.
            reserve(f"{self.directory}/exit.json")
            try:
                self.start()
            except SpawnError as error:
                self.reason, self.error = "spawn_failed", str(error)
        if self.child:
            # Not in the child's way: these cost time that nobody waits for now.
            import resource  # noqa: F401 - wait4 imports it; now, while this release is sure to be there

            before = count_oom_kills()
            self.watch()
            self.oom_kills = count_oom_kills() - before
        self.kill_tree()
        self.look(is_last=True)
        return self.write_exit()

    def start(self) -> None:
        """Start the child and write run.json before it runs. Raises SpawnError."""
        child = HeldChild(self.spec, self.lock_fd, self.outputs[0], self.outputs[1])
        self.child = child.pid
        self.has_children = True
        boot_id = read_boot_id()

        def identity(pid: int) -> dict[str, Any]:
            stat = read_stat(pid)
            return {"pid": pid, "start_time": stat.start_time if stat else 0, "boot_id": boot_id}

        write_json(
            f"{self.directory}/run.json",
            {
                "format": FORMAT,
                "shim": identity(os.getpid()),
                "child": identity(child.pid),
                "started_at": self.started_at,
            },
            # A machine that goes down takes the child along: only this boot's readers need the name.
            is_directory_synced=False,
        )
        child.release()

    def is_estopped(self) -> bool:
        """Whether the instance's ESTOP file is there."""
        path: str | None = self.spec.get("estop")
        return path is not None and os.path.exists(path)

    def watch(self) -> None:
        """Until the child has ended; when it is being stopped, until its tree has or grace is over."""
        pause_s = LOOK_SOONEST_S
        due = time.monotonic() + pause_s
        while True:
            self.reap()
            if not self.has_children or (self.status is not None and self.kill_due is None):
                return
            now = time.monotonic()
            if self.kill_due is not None and now >= self.kill_due:
                return
            if now >= due:
                self.look(is_last=False)
                pause_s = min(pause_s * 2, LOOK_EVERY_S, self.soonest_flood_s())
                due = now + pause_s
            wake = due if self.kill_due is None else min(due, self.kill_due)
            info = signal.sigtimedwait(WAITED, max(0.0, wake - now))
            if info is not None and info.si_signo == signal.SIGTERM:
                self.stop("cancelled", self.read_grace_s())

    def reap(self) -> None:
        """Collect all that has died. Everything below the shim ends up as its child."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.has_children = False
                return
            if pid == 0:
                return
            self.usage[0] += usage.ru_utime
            self.usage[1] += usage.ru_stime
            self.usage[2] = max(self.usage[2], usage.ru_maxrss)
            if pid == self.child:
                self.status = status

    def look(self, *, is_last: bool) -> None:
        """Sizes into the index, then the limits."""
        now = time.monotonic()
        sizes = (os.fstat(self.outputs[0]).st_size, os.fstat(self.outputs[1]).st_size)
        if sizes != self.sizes:
            self.grown = now
        self.rate = (sum(sizes) - sum(self.sizes)) / max(now - self.looked, 0.001)
        self.sizes, self.looked = sizes, now
        if sizes != self.indexed:
            self.indexed = sizes
            self.mark()
        if is_last:
            return
        if self.is_estopped():
            self.stop("estop", 0.0)
        elif self.is_over("output_bytes", sum(sizes)):
            self.stop("output_flood", 0.0)
        elif self.is_over("wall_s", now - self.started):
            self.stop("wall_clock", self.spec.get("grace_s", 0.0))
        elif self.is_over("idle_s", now - self.grown):
            self.stop("idle", self.spec.get("grace_s", 0.0))

    def mark(self) -> None:
        """A line into the index. It is a help for `--since`: a full disk must not end the job."""
        try:
            write_all(self.outputs[2], f"{time.time():.3f} {self.sizes[0]} {self.sizes[1]}\n".encode())
        except OSError:
            return

    def is_over(self, limit: str, value: float) -> bool:
        """Whether a limit of the spec is set and reached."""
        bound: float | None = self.spec.get(limit)
        return bound is not None and value >= bound

    def soonest_flood_s(self) -> float:
        """When the output cap would be met at the rate last seen, so that a flood is seen in time."""
        bound: int | None = self.spec.get("output_bytes")
        if bound is None or self.rate <= 0:
            return LOOK_EVERY_S
        return max(LOOK_SOONEST_S, (bound - sum(self.sizes)) / self.rate)

    def read_grace_s(self) -> float:
        """Grace of a cancel: from cancel.json when it is there and sound, else the spec's."""
        try:
            return float(read_json(f"{self.directory}/cancel.json")["grace_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return float(self.spec.get("grace_s", 0.0))

    def stop(self, reason: str, grace_s: float) -> None:
        """Ask the tree to end; it is killed when grace is over. The first reason stays, the
        earliest kill wins."""
        due = time.monotonic() + grace_s
        if self.reason is None:
            self.reason = reason
            self.kill_due = due
            if grace_s > 0:
                for stat in select_descendants(take_snapshot(), os.getpid()):
                    send_signal(stat, signal.SIGTERM)
                    # A stopped process sees the request only when it goes on.
                    send_signal(stat, signal.SIGCONT)
        elif self.kill_due is not None:
            self.kill_due = min(self.kill_due, due)

    def kill_tree(self) -> None:
        """Kill and reap until the shim has no child at all, which for a subreaper means no descendant."""
        give_up = time.monotonic() + KILL_GIVE_UP_S
        self.reap()
        while self.has_children:
            killed = freeze_and_kill(lambda snapshot: select_descendants(snapshot, os.getpid()))
            if killed:
                wait_until_dead(killed, LOOK_EVERY_S)
            else:
                signal.sigtimedwait((signal.SIGCHLD,), LOOK_SOONEST_S)
            self.reap()
            if time.monotonic() > give_up:
                left = select_descendants(take_snapshot(), os.getpid())
                pids = ", ".join(str(stat.pid) for stat in left)
                self.error = f"processes that cannot be killed are left: {pids}"
                return

    def write_exit(self) -> int:
        """Write exit.json, again and again while the disk is full. 1 when it had to be given up."""
        is_ended = self.status is not None and self.reason != "spawn_failed"
        code = os.waitstatus_to_exitcode(self.status) if is_ended and self.status is not None else None
        record = {
            "format": FORMAT,
            "reason": self.reason or "exited",
            "code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "error": self.error,
            "started_at": self.started_at,
            "ended_at": time.time(),
            "user_s": round(self.usage[0], 6),
            "sys_s": round(self.usage[1], 6),
            "max_rss_kb": self.usage[2],
            "oom_kills": self.oom_kills,
            "stdout_bytes": self.sizes[0],
            "stderr_bytes": self.sizes[1],
        }
        give_up = time.monotonic() + EXIT_WRITE_GIVE_UP_S
        while True:
            try:
                os.fdatasync(self.outputs[0])
                os.fdatasync(self.outputs[1])
                write_json(f"{self.directory}/exit.json", record, is_directory_synced=True)
                return 0
            except FileNotFoundError:
                return 1  # Someone removed the job's directory: there is nobody left to tell.
            except OSError:
                # Full or failing disk. As long as the lock is held nobody takes the job for lost;
                # a SIGTERM makes the next try come at once.
                if time.monotonic() > give_up:
                    return 1
                signal.sigtimedwait(WAITED, LOOK_EVERY_S)


def take_lock(directory: str) -> int | None:
    """The job's lock for a shim started by hand, or None when it is held."""
    import fcntl

    fd = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def main(argv: list[str]) -> int:
    """Entry of shim.py: argv is [program, JOB_DIR, LOCK_FD or "-"]."""
    signal.pthread_sigmask(signal.SIG_SETMASK, WAITED)
    for number in RESET_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    directory = os.path.abspath(argv[1])
    lock_fd = -1 if argv[2] == "-" else int(argv[2])
    # Whatever else the starter has left open (a listener, a pipe) the child must not hold either.
    os.closerange(3, max(3, lock_fd))
    os.closerange(max(3, lock_fd + 1), HIGHEST_FD)
    if lock_fd < 0:
        taken = take_lock(directory)
        if taken is None:
            os.write(2, f"shim: the job in {directory} is already running\n".encode())
            return 75
        lock_fd = taken
    else:
        # The child must not hold the lock: held means that the shim is there.
        os.set_inheritable(lock_fd, False)
    if os.getpgrp() != os.getpid():
        # Refused to a group leader, which a job-control shell makes of it: then the group is its own anyway.
        os.setsid()
    call_prctl(PR_SET_CHILD_SUBREAPER, 1)
    spec = read_json(f"{directory}/spec.json")
    return Shim(directory, spec, lock_fd).run()
