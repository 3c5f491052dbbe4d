"""What one instance holds while it is up: the lock on its state directory and its listening socket.

Standard library only: the keeper uses it, and a daemon that runs without one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ringmaster.proc.shim_procfs import read_stat

FORMAT = 1
SOCKET_PATH_BYTES = 107
BACKLOG = 4096
"""Clients that may wait while one image takes the other's place; the kernel takes `net.core.somaxconn` at most."""
LOCK_VARIABLE = "RINGMASTER_LOCK_FD"
LISTENER_VARIABLE = "RINGMASTER_LISTENER_FD"
KEEPER_VARIABLE = "RINGMASTER_KEEPER"


class InstanceError(Exception):
    """The instance cannot be had; the text is one line for the user."""


class Held(InstanceError):
    """Someone else has the lock on the state directory. holder: its role and pid, for people."""

    def __init__(self, state: Path, holder: str) -> None:
        super().__init__(f"the state {state} is held by {holder}")
        self.holder = holder


class Claim(NamedTuple):
    """A claimed instance: descriptors, not inheritable, the caller's to close."""

    lock_fd: int
    listener_fd: int


def claim_instance(state: Path, socket_path: Path, role: str) -> Claim:
    """Take the lock on `state` and listen on `socket_path` (mode 0600). Makes both directories.

    Raises Held, naming who, when another has the lock; by then that one listens. Raises InstanceError for
    a path that is too long, taken by a file, or answered by another instance; then nothing is held.
    role: `keeper` or `daemon`, for whoever is refused later.
    """
    check_socket_path(socket_path)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _open_turnstile(state):
        lock_fd = _lock(state, role)
        try:
            return Claim(lock_fd, _bind(socket_path))
        except BaseException:
            os.close(lock_fd)
            raise


def claim_lock(state: Path, role: str) -> int:
    """Take the lock alone, for a daemon whose listener another program holds; makes the state directory.

    The descriptor is not inheritable and the caller's to close. Raises Held, naming who has it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _open_turnstile(state):
        return _lock(state, role)


def _lock(state: Path, role: str) -> int:
    lock_fd = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_holder(lock_fd, role)
    except BlockingIOError:
        os.close(lock_fd)
        raise Held(state, describe_holder(state)) from None
    except BaseException:
        os.close(lock_fd)
        raise
    return lock_fd


@contextlib.contextmanager
def _open_turnstile(state: Path) -> Iterator[None]:
    """One claimant at a time, so that one who finds the lock held also finds its holder named and listening."""
    fd = os.open(state / "lock.turnstile", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _refuse_lost_lock(state)
        yield
    finally:
        os.close(fd)


def _refuse_lost_lock(state: Path) -> None:
    """Raise Held when there is no lock file but a living process has one of this path open, deleted.

    A new file would be a second lock, and with it a second daemon on one database.
    """
    if (state / "lock").exists():
        return
    deleted = f"{state.resolve() / 'lock'} (deleted)"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        # One that ends meanwhile, or is another user's, holds nothing here.
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") == deleted:
                        raise Held(state, f"process {pid}, whose lock file was deleted")


def check_socket_path(path: Path) -> None:
    """Raise InstanceError for a path that does not fit into a Unix socket's address."""
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise InstanceError(
            f"the socket path has {length} bytes and may have {SOCKET_PATH_BYTES}: {path}; "
            "choose a shorter state or runtime directory"
        )


def write_holder(lock_fd: int, role: str, pid: int | None = None) -> None:
    """Say in the lock file who holds it, for messages: what counts is the flock."""
    own = read_stat(pid or os.getpid())
    record = {"format": FORMAT, "role": role, "pid": pid or os.getpid(), "start_time": own.start_time if own else 0}
    data = json.dumps(record).encode() + b"\n"
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, data, 0)


def read_holder(state: Path) -> dict[str, Any] | None:
    """{format, role, pid, start_time} of the last holder, if that process is still there."""
    return _read_living(state / "lock")


def describe_holder(state: Path) -> str:
    """`role PID` of the holder, for people."""
    holder = read_holder(state)
    return f"{holder.get('role', 'process')} {holder['pid']}" if holder else "a process that it does not name"


def _read_living(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
        now = read_stat(int(record["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if now is None or now.is_dead or now.start_time != record.get("start_time"):
        return None
    return record  # type: ignore[no-any-return]


def _bind(path: Path) -> int:
    """A listening socket at `path`; a dead one's leftover is removed. Called with the lock held."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InstanceError(f"cannot listen on {path}: {error.strerror}") from None
    finally:
        os.umask(mask)
    return listener.detach()


def _remove_stale(path: Path) -> None:
    """Remove the socket of a dead daemon. Another state's living one can be at the same path: asked first."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InstanceError(f"{path} exists and is not a socket; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        refusal = probe.connect_ex(os.fspath(path))
    if refusal not in (errno.ECONNREFUSED, errno.ENOENT):
        raise InstanceError(f"another daemon, with another state directory, listens on {path}")
    path.unlink(missing_ok=True)


def remove_socket(path: Path, listener_fd: int) -> None:
    """Remove the socket file at a clean end, if it is still the one of this listener."""
    with contextlib.suppress(OSError):
        with socket.socket(fileno=os.dup(listener_fd)) as listener:
            is_ours = listener.getsockname() == os.fspath(path)
        if is_ours:
            path.unlink()


def write_exit_status(state: Path, code: int) -> None:
    """Called by the daemon as its last step before it exits: an adopting keeper, not being its parent,
    has no other way to learn the exit code. Without this record its end counts as a crash."""
    own = read_stat(os.getpid())
    record = {"format": FORMAT, "pid": os.getpid(), "start_time": own.start_time if own else 0, "code": code}
    temporary = state / "daemon.exit.tmp"
    temporary.write_text(json.dumps(record) + "\n")
    os.replace(temporary, state / "daemon.exit")


def read_exit_status(state: Path, pid: int, start_time: int) -> int | None:
    """The code that exactly this daemon wrote before it ended; None when it wrote none."""
    try:
        record = json.loads((state / "daemon.exit").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or (record.get("pid"), record.get("start_time")) != (pid, start_time):
        return None
    code = record.get("code")
    return code if isinstance(code, int) else None
