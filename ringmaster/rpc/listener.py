"""The Unix socket the daemon listens on: bound here, or inherited from a keeper or the image before."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.settings import SOCKET_PATH_LIMIT

LISTENER_FD_VARIABLE = "RINGMASTER_LISTENER_FD"
BACKLOG = 4096
"""The kernel caps it at net.core.somaxconn. While an image is replaced, clients wait in it unrefused."""


def open_listener(path: Path, environ: MutableMapping[str, str]) -> socket.socket:
    """The listener that `environ` names (and from where it is taken out), otherwise a new one at `path`.

    Raises `RingmasterError`. The caller holds the state's lock, and closes what it gets.
    """
    number = environ.pop(LISTENER_FD_VARIABLE, "")
    if number:
        return adopt_listener(number)
    return bind_listener(path)


def bind_listener(path: Path) -> socket.socket:
    """Listen at `path`, mode 0600 from the first moment. A dead daemon's socket there is replaced.

    Call it only with the state's lock held: the lock, not the socket, says that no other daemon is alive.
    """
    name = os.fsencode(path)
    if len(name) > SOCKET_PATH_LIMIT:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"the socket's path is {len(name)} bytes long, Unix allows {SOCKET_PATH_LIMIT}: {path}",
            "set XDG_RUNTIME_DIR to a shorter directory",
        )
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(name)
    except OSError as error:
        listener.close()
        raise RingmasterError(ErrorKind.CONFLICT, f"cannot listen at {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def adopt_listener(number: str) -> socket.socket:
    """The listener that was inherited as descriptor `number`, no longer inheritable and not blocking."""
    try:
        listener = socket.socket(fileno=int(number))
    except (ValueError, OSError) as error:
        raise RingmasterError(ErrorKind.USAGE, f"{LISTENER_FD_VARIABLE}={number} is no open socket: {error}") from error
    if listener.family != socket.AF_UNIX or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        raise RingmasterError(ErrorKind.USAGE, f"{LISTENER_FD_VARIABLE}={number} is not a listening Unix socket")
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise RingmasterError(
            ErrorKind.CONFLICT, f"{path} is in the way: it is not a socket", f"look at it, then: rm {path}"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(os.fsencode(path)) == 0:
            # Another state directory can lead to the same socket: its daemon must not lose it to us.
            raise RingmasterError(
                ErrorKind.CONFLICT,
                f"another daemon answers at {path}",
                "stop it, or give this one a name or an XDG_RUNTIME_DIR of its own",
            )
    path.unlink()
