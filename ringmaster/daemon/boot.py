"""What a daemon is started with: its arguments, paths, settings, lock and listener."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.instance import (
    LISTENER_VARIABLE,
    LOCK_VARIABLE,
    Held,
    InstanceError,
    claim_instance,
    claim_lock,
    remove_socket,
    write_holder,
)
from ringmaster.proc.keeper_start import keeper_from_environment
from ringmaster.settings import Paths, Settings
from ringmaster.systemd.activation import ListenerError, Unit, take_listener, take_unit
from ringmaster.systemd.notify import Notifier, take_notifier


@dataclass(frozen=True, slots=True)
class Boot:
    """A daemon about to run. The descriptors belong to `open_boot`.

    keeper: the keeper that started it, None when started by hand. argv: what a keeper runs to start it again.
    unit: the systemd unit that starts it again instead of a keeper. notifier: tells systemd, or nobody.
    """

    paths: Paths
    settings: Settings
    lock_fd: int
    listener: socket.socket
    keeper: ProcessIdentity | None
    argv: tuple[str, ...]
    unit: Unit | None = None
    notifier: Notifier = field(default_factory=Notifier)


@contextlib.contextmanager
def open_boot(
    paths: Paths, settings: Settings, environ: MutableMapping[str, str], argv: Sequence[str]
) -> Iterator[Boot]:
    """Take over the keeper's lock and listener or systemd's listener, claim what is left; close them at the end.

    What was inherited is taken out of `environ`, so that no child takes it for its own. The socket file is
    removed at the end by whom it was made: here, by the keeper, or by systemd, which goes on listening.

    Raises:
        RingmasterError: CONFLICT naming the daemon that holds the state; USAGE for a path that cannot be used.
    """
    keeper = keeper_from_environment()
    environ.pop("RINGMASTER_KEEPER", None)
    unit, notifier = take_unit(environ), take_notifier(environ)
    if keeper is not None:
        # Whose unit that is, is the keeper's affair: systemd started it for something else.
        unit, notifier = None, Notifier()
    lock_fd, listener_fd = _inherited(environ)
    is_claimed = False
    if lock_fd < 0:
        lock_fd, listener_fd, is_claimed = _claim(paths, environ)
    write_holder(lock_fd, "daemon")
    for fd in (lock_fd, listener_fd):
        os.set_inheritable(fd, False)
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(False)
    try:
        yield Boot(paths, settings, lock_fd, listener, keeper, tuple(argv), unit, notifier)
    finally:
        if is_claimed:
            remove_socket(paths.socket, listener_fd)
        listener.close()
        os.close(lock_fd)


def _claim(paths: Paths, environ: MutableMapping[str, str]) -> tuple[int, int, bool]:
    """Lock and listener of a daemon without a keeper, and whether the socket file is its own to remove."""
    try:
        listener_fd = take_listener(environ, str(paths.socket))
        if listener_fd >= 0:
            return claim_lock(paths.state, "daemon"), listener_fd, False
        lock_fd, listener_fd = claim_instance(paths.state, paths.socket, "daemon")
    except Held as error:
        raise RingmasterError(ErrorKind.CONFLICT, str(error), f"rmctl -s {paths.name} daemon status") from error
    except (InstanceError, ListenerError) as error:
        raise RingmasterError(ErrorKind.USAGE, str(error)) from error
    return lock_fd, listener_fd, True


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
