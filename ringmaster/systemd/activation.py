"""What a unit hands to the daemon: its listener (sd_listen_fds(3), by hand) and which unit it is."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import NamedTuple

FIRST_FD = 3
FD_NAME = "rpc"
UNIT_VARIABLE = "RINGMASTER_UNIT"
OTHERS = ("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "MANAGERPID")
"""Said to the daemon alone; a child that read them would take itself for the service."""


class Unit(NamedTuple):
    """The unit that runs the daemon and starts it again. is_user: under the user's manager, not the system's."""

    name: str
    is_user: bool

    @property
    def systemctl(self) -> str:
        """The command that speaks to its manager."""
        return "systemctl --user" if self.is_user else "systemctl"


class ListenerError(Exception):
    """What was handed over is not the listener of this state; the text is one line for the user."""


def take_unit(environ: MutableMapping[str, str]) -> Unit | None:
    """The unit that the environment names (`RINGMASTER_UNIT=user:NAME` or `system:NAME`), and takes it out."""
    for name in OTHERS:
        environ.pop(name, None)
    scope, _, name = environ.pop(UNIT_VARIABLE, "").partition(":")
    return Unit(name, scope == "user") if name and scope in ("user", "system") else None


def take_listener(environ: MutableMapping[str, str], address: str) -> int:
    """The descriptor of the listening socket that systemd handed over, not inheritable; -1 when there is none.

    The variables are taken out of `environ`. address: where the listener must listen, because clients look there.

    Raises:
        ListenerError: descriptors meant for this process of which none is that listener.
    """
    count, pid, names = (environ.pop(f"LISTEN_{name}", "") for name in ("FDS", "PID", "FDNAMES"))
    if not count.isdigit() or pid != str(os.getpid()):
        return -1
    fds = range(FIRST_FD, FIRST_FD + int(count))
    try:
        for fd in fds:
            os.set_inheritable(fd, False)
    except OSError as error:
        raise ListenerError(f"systemd names {count} sockets and they were not passed on: {error.strerror}") from None
    named = dict(zip(names.split(":"), fds, strict=False))
    fd = named.get(FD_NAME, FIRST_FD if len(fds) == 1 else -1)
    if fd < 0:
        raise ListenerError(f"systemd handed over {count} sockets and none is called {FD_NAME}: FileDescriptorName=")
    _check(fd, address)
    return fd


def _check(fd: int, address: str) -> None:
    try:
        with socket.socket(fileno=os.dup(fd)) as listener:
            is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            kind, place = listener.family, listener.getsockname()
    except OSError as error:
        raise ListenerError(f"what systemd handed over is no socket: {error.strerror}") from None
    if kind != socket.AF_UNIX or not is_listening:
        raise ListenerError("what systemd handed over is no listening Unix stream socket: ListenStream=")
    if not isinstance(place, str) or os.path.realpath(place) != os.path.realpath(address):
        raise ListenerError(f"systemd listens on {place!r}, and clients of this state look at {address}")
