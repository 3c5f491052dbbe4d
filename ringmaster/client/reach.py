"""What to say when no daemon answers: the cases are told apart, each with the command that mends it."""

from __future__ import annotations

import errno
import os
import socket

from ringmaster.model.errors import ErrorKind, RingmasterError

LONGEST_SOCKET_PATH = 107
DEFAULT_NAME = "default"


def unreachable(path: str, name: str, error: OSError) -> RingmasterError:
    """The error for a `connect` to `path` that failed. name: the instance as a person calls it."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        return RingmasterError(
            ErrorKind.USAGE,
            f"the socket's path is longer than the {LONGEST_SOCKET_PATH} bytes Unix allows: {path}",
            "set XDG_RUNTIME_DIR to a shorter directory",
        )
    if error.errno == errno.EACCES:
        return RingmasterError(ErrorKind.PERMISSION, f"may not open the socket {path}", "is it another user's?")
    start = f"start it: rmctl{_option(name)} daemon start"
    other = _only_other_instance(path)
    hint = f"{other} is up: rmctl -s {other} …; or {start}" if other else start
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return RingmasterError(ErrorKind.UNREACHABLE, f"daemon not running: no socket at {path}", hint)
    if error.errno == errno.ECONNREFUSED:
        return RingmasterError(ErrorKind.UNREACHABLE, f"the daemon has died: nobody answers its socket at {path}", hint)
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return RingmasterError(
            ErrorKind.UNREACHABLE,
            f"the daemon does not take connections at {path}",
            f"look at its log, or: rmctl{_option(name)} daemon restart",
        )
    return RingmasterError(ErrorKind.UNREACHABLE, f"cannot connect to {path}: {error.strerror or error}", hint)


def _option(name: str) -> str:
    return "" if name == DEFAULT_NAME else f" -s {name}"


def _only_other_instance(path: str) -> str:
    """The name of the one daemon that answers in the same directory, if it is exactly one."""
    directory, own = os.path.split(path)
    try:
        entries = os.listdir(directory or ".")
    except OSError:
        return ""
    alive = [
        entry[: -len(".sock")]
        for entry in entries
        if entry.endswith(".sock") and entry != own and _answers(os.path.join(directory, entry))
    ]
    return alive[0] if len(alive) == 1 else ""


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
