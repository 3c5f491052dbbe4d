"""Start, adopt, wait for and cancel jobs.

A job's lock says whether it lives; see docs/architecture.md, "Processes". Nothing here is needed for
a job to go on: cancelling any of these calls, or losing the whole process, leaves it running.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity, current_boot_id, is_alive, read_identity
from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.job_files import (
    FORMAT,
    ExitReason,
    JobExit,
    JobLost,
    JobNotStarted,
    JobRun,
    JobSpec,
    read_exit,
    read_run,
    read_spec,
    write_spec,
)
from ringmaster.proc.shim_child import RESET_SIGNALS
from ringmaster.proc.shim_procfs import read_stat
from ringmaster.proc.tree import kill_leftovers

SHIM = Path(__file__).with_name("shim.py")
LOCK_FD = 3
# The shim needs the standard library alone; the interpreter under the virtualenv finds it sooner.
PYTHON = getattr(sys, "_base_executable", None) or sys.executable


class Job:
    """A job whose shim was alive when this was made. Not an owner: dropping it changes nothing."""

    def __init__(
        self, directory: Path, spec: JobSpec, shim: ProcessIdentity, pidfd: int, roots: Sequence[ProcessIdentity]
    ) -> None:
        self.directory = directory
        self.spec = spec
        self.shim = shim
        self._pidfd = pidfd
        self._roots = tuple(roots)
        weakref.finalize(self, os.close, pidfd)

    @property
    def stdout(self) -> Path:
        """The child's standard output, complete when the job has ended."""
        return self.directory / "stdout"

    @property
    def stderr(self) -> Path:
        """The child's standard error."""
        return self.directory / "stderr"

    @property
    def index(self) -> Path:
        """Time to offsets; see `tail.offset_at`."""
        return self.directory / "index"

    async def wait(self) -> JobExit | JobLost:
        """Wait until the job has ended and say how. May be called again, and by several at once.

        Cancellation leaves the job running. A lost job's leftovers are dead when this returns. A shim that
        could not even write its first files gives SPAWN_FAILED, with the end of its log. Raises
        FileNotFoundError when the job's directory was removed.
        """
        # Two trio tasks may not wait on one descriptor.
        pidfd = os.dup(self._pidfd)
        try:
            await trio.lowlevel.wait_readable(pidfd)
            # By pidfd: exactly this child, never one that trio waits for. An adopted one is not ours.
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222 - it does not wait
        finally:
            os.close(pidfd)
        while True:
            state = await trio.to_thread.run_sync(_inspect, self.directory, self.spec, self._roots)
            if isinstance(state, JobNotStarted):
                return await trio.to_thread.run_sync(_describe_stillborn, self.directory)
            if not isinstance(state, _Held):
                return state
            # Another waiter's look, or the verdict of an adopter.
            await _wait_until_free(self.directory)

    def is_shim_stopped(self) -> bool:
        """Whether the shim has been stopped by a signal: it enforces nothing then. Blocking: one look."""
        stat = read_stat(self.shim.pid)
        return stat is not None and stat.start_time == self.shim.start_time and stat.is_stopped

    def resume_shim(self) -> None:
        """Let a stopped shim go on. Nothing happens to one that runs, or when the job has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)

    def kill_shim(self) -> None:
        """Kill a shim that is of no use any more. `wait` then finds the job lost and kills its tree."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def cancel(self, grace_s: float | None = None) -> None:
        """Ask the shim to end its tree: TERM, after `grace_s` (None: the spec's) KILL. Does not wait.

        Again with less grace shortens it. Nothing happens when the job has ended.
        """
        if grace_s is not None:
            record = msgspec.json.encode({"format": FORMAT, "grace_s": grace_s})
            temporary = self.directory / "cancel.json.tmp"
            # On a full disk the job ends all the same, with the spec's grace.
            with contextlib.suppress(OSError):
                temporary.write_bytes(record)
                os.rename(temporary, self.directory / "cancel.json")
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
            # An agent that stopped its own shim would otherwise never be ended.
            signal.pidfd_send_signal(self._pidfd, signal.SIGCONT)


async def start_job(
    directory: Path, spec: JobSpec, *, roots: Sequence[ProcessIdentity] = (), python: str = PYTHON
) -> Job:
    """Write the spec and start its shim. The job is durable and running when this returns.

    directory: made if need be (its parent must exist); one whose job never started may be used again. roots: the
    daemon and its keeper, from which the leftovers of a lost shim descend.
    Raises RingmasterError WRONG_STATE when the directory holds a job that runs or has run, and OSError
    (disk full, no process). A program that cannot be run is no error here but SPAWN_FAILED of
    `wait`. Not cancelled half-way: either it is not begun or it returns.
    """
    return await trio.to_thread.run_sync(_start, directory, spec, roots, python)


def _start(directory: Path, spec: JobSpec, roots: Sequence[ProcessIdentity], python: str) -> Job:
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    with _open_lock(directory) as lock:
        if not _try_lock(lock):
            raise RingmasterError(ErrorKind.WRONG_STATE, f"the job in {directory} is already running")
        if (directory / "run.json").exists() or (directory / "exit.json").exists():
            raise RingmasterError(ErrorKind.WRONG_STATE, f"the job in {directory} has already run")
        write_spec(directory, spec)
        pid = _spawn_shim(directory, lock, python)
        # Our child until someone reaps it, which only `wait` and the reaper do: the pid is exact.
        pidfd = os.pidfd_open(pid)
        identity = read_identity(pid)
    assert identity is not None, "a child that was not reaped has a stat"
    return Job(directory, spec, identity, pidfd, roots)


def _spawn_shim(directory: Path, lock: int, python: str) -> int:
    """posix_spawn (a vfork: its cost does not grow with the daemon) in a session of its own.

    Signals are blocked from birth: a cancel that comes early stays pending until the shim looks.
    """
    log = os.fspath(directory / "shim.log")
    return os.posix_spawn(
        python,
        [python, "-I", "-S", os.fspath(SHIM), os.fspath(directory.absolute()), str(LOCK_FD)],
        {},
        file_actions=[
            # First, as it may lie below 3 in a daemon started with closed descriptors.
            (os.POSIX_SPAWN_DUP2, lock, LOCK_FD),
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ],
        setsid=True,
        setsigmask=[signal.SIGTERM, signal.SIGCHLD, *RESET_SIGNALS],
        setsigdef=[signal.SIGTERM, signal.SIGCHLD],
    )


async def adopt_job(
    directory: Path, *, instance: str | None = None, roots: Sequence[ProcessIdentity] = ()
) -> Job | JobExit | JobLost | JobNotStarted:
    """Find out how it stands with the job in `directory`, after any crash. May be repeated.

    Running: a Job to wait for. Ended: its JobExit. Lost: its lock is taken, its leftovers are killed,
    JobLost. Its child never ran: JobNotStarted. In the moments between these it waits for the
    shim, by inotify and the lock. Cancellation changes nothing about the job.
    instance: refuse (RingmasterError REFUSED) a job of another instance. Also raises RingmasterError for
    files that cannot be understood; then nothing was killed.
    """
    spec = await trio.to_thread.run_sync(read_spec, directory)
    if spec is None:
        return JobNotStarted()
    if instance is not None and spec.instance != instance:
        raise RingmasterError(
            ErrorKind.REFUSED, f"the job in {directory} belongs to instance {spec.instance or 'unknown'}"
        )
    while True:
        state = await trio.to_thread.run_sync(_inspect, directory, spec, roots)
        if not isinstance(state, _Held):
            return state
        if state.run is None:
            await _wait_for_run(directory)
        elif (pidfd := _open_pidfd(state.run.shim)) is not None:
            return Job(directory, spec, state.run.shim, pidfd, roots)
        else:
            await _wait_until_free(directory)


class _Held(msgspec.Struct, frozen=True):
    """The lock is held: by a shim (with `run` once it runs) or by someone else's verdict."""

    run: JobRun | None


def _inspect(
    directory: Path, spec: JobSpec, roots: Sequence[ProcessIdentity]
) -> JobExit | JobLost | JobNotStarted | _Held:
    """One look, in a thread; for a lost job also the verdict, under its lock."""
    with _open_lock(directory) as lock:
        if not _try_lock(lock):
            return _Held(read_run(directory))
        ended = read_exit(directory)
        if ended is not None:
            return ended
        run = read_run(directory)
        if run is None:
            # The child waits for run.json before it runs, and nobody can start it while we hold the lock.
            return JobNotStarted()
        if run.shim.boot_id != current_boot_id():
            return JobLost(run=run)
        return JobLost(run=run, killed=kill_leftovers(spec.nonce, roots))


def _describe_stillborn(directory: Path) -> JobExit:
    """For a shim that died before its child ran: what its log says last."""
    try:
        lines = (directory / "shim.log").read_text(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    said = lines[-1] if lines else "it left no word"
    return JobExit(format=FORMAT, reason=ExitReason.SPAWN_FAILED, error=f"the shim ended before its child ran: {said}")


@contextlib.contextmanager
def _open_lock(directory: Path) -> Iterator[int]:
    """Descriptor of the job's lock file, not yet locked; closing it gives back what this process took."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def is_held(lock: Path) -> bool:
    """Whether somebody holds a job's lock. Blocking: one look."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_pidfd(identity: ProcessIdentity) -> int | None:
    """Descriptor of exactly this process; None when it is not alive."""
    try:
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    # Looked at after the descriptor is there: from here the pid cannot come to mean another.
    if is_alive(identity):
        return fd
    os.close(fd)
    return None


async def _wait_until_free(directory: Path) -> None:
    """Until nobody holds the lock. A cancelled one leaves a thread that ends when the lock is freed."""

    def block() -> None:
        with _open_lock(directory) as fd:
            fcntl.flock(fd, fcntl.LOCK_SH)

    # A limiter of its own: a held lock must not use up the threads that others need.
    await trio.to_thread.run_sync(block, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))


async def _wait_for_run(directory: Path) -> None:
    """Until run.json or exit.json is there or the lock is free: whichever comes first."""
    async with open_watcher() as watcher, trio.open_nursery() as nursery:

        async def wait_for_lock() -> None:
            await _wait_until_free(directory)
            nursery.cancel_scope.cancel()

        with watcher.watch(directory) as changes:
            nursery.start_soon(wait_for_lock)
            while not ((directory / "run.json").exists() or (directory / "exit.json").exists()):
                await changes.wait()
        nursery.cancel_scope.cancel()
