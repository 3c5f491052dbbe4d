"""What a daemon is started with: its arguments, paths, settings, lock and listener."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.instance import (
    LISTENER_VARIABLE,
    LOCK_VARIABLE,
    Held,
    InstanceError,
    claim_instance,
    remove_socket,
    write_holder,
)
from ringmaster.proc.keeper_start import keeper_from_environment
from ringmaster.settings import Paths, Settings


@dataclass(frozen=True, slots=True)
class Boot:
    """A daemon about to run. The descriptors belong to `open_boot`.

    keeper: the keeper that started it, None when started by hand. argv: what a keeper runs to start it again.
    """

    paths: Paths
    settings: Settings
    lock_fd: int
    listener: socket.socket
    keeper: ProcessIdentity | None
    argv: tuple[str, ...]


@contextlib.contextmanager
def open_boot(
    paths: Paths, settings: Settings, environ: MutableMapping[str, str], argv: Sequence[str]
) -> Iterator[Boot]:
    """Take over the keeper's lock and listener, or claim them; close them at the end.

    What was inherited is taken out of `environ`, so that no child takes it for its own. Without a keeper the
    socket file is removed at the end; with one that is the keeper's business.

    Raises:
        RingmasterError: CONFLICT naming the daemon that holds the state; USAGE for a path that cannot be used.
    """
    keeper = keeper_from_environment()
    environ.pop("RINGMASTER_KEEPER", None)
    lock_fd, listener_fd = _inherited(environ)
    is_inherited = lock_fd >= 0
    if not is_inherited:
        try:
            lock_fd, listener_fd = claim_instance(paths.state, paths.socket, "daemon")
        except Held as error:
            raise RingmasterError(ErrorKind.CONFLICT, str(error), f"rmctl -s {paths.name} daemon status") from error
        except InstanceError as error:
            raise RingmasterError(ErrorKind.USAGE, str(error)) from error
    write_holder(lock_fd, "daemon")
    for fd in (lock_fd, listener_fd):
        os.set_inheritable(fd, False)
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(False)
    try:
        yield Boot(paths, settings, lock_fd, listener, keeper, tuple(argv))
    finally:
        if not is_inherited:
            remove_socket(paths.socket, listener_fd)
        listener.close()
        os.close(lock_fd)


def _inherited(environ: MutableMapping[str, str]) -> tuple[int, int]:
    lock, listener = environ.pop(LOCK_VARIABLE, ""), environ.pop(LISTENER_VARIABLE, "")
    if not (lock.isdigit() and listener.isdigit()):
        return -1, -1
    try:
        for number in (lock, listener):
            os.fstat(int(number))
    except OSError as error:
        raise RingmasterError(
            ErrorKind.USAGE, "the keeper's lock and listener were not passed on", "start it with: rmctl daemon start"
        ) from error
    return int(lock), int(listener)
