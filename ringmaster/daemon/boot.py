"""What a daemon is started with: arguments, paths, settings, lock and listener, and what an image before it left."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping, Sequence

import msgspec

from ringmaster.daemon.handoff import Document
from ringmaster.daemon.threads import Signals
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.instance import (
    KEEPER_VARIABLE,
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
from ringmaster.reload.boot_contract import BootHandle
from ringmaster.settings import Paths, Settings
from ringmaster.systemd.activation import ListenerError, Unit, take_listener, take_unit
from ringmaster.systemd.notify import Notifier, take_notifier

OWNER_VARIABLE = "RINGMASTER_OWNS_SOCKET"
"""Tells the next image that the socket's file is its own to remove; the descriptor alone does not."""
CONTINUED_VARIABLE = "RINGMASTER_CONTINUED"
"""The pid of the process in which an image was executed in another's place: no time has passed without a daemon."""
PROGRAM_VARIABLE = "RINGMASTER_PROGRAM"
"""What a person or a keeper ran, as a JSON list: no keeper may be told to start a release, which is pruned one day."""
ACTIVATION = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Boot(msgspec.Struct, frozen=True):
    """A daemon about to run. The descriptors belong to `open_boot`.

    keeper: the keeper that started it, None when started by hand. program, words: what a keeper runs to start it again.
    unit: the systemd unit that starts it again instead of a keeper. notifier: tells systemd, or nobody.
    handle: the stub's, None where the package runs in place, which then is never replaced. document: what the image
    before this one left, with its descriptors. environ: as it was found; the next image is given it again.
    owns_socket: whether the socket's file is this daemon's to remove.
    is_continued: this process ran as another image before, also where that could leave no document.
    """

    paths: Paths
    settings: Settings
    lock_fd: int
    listener: socket.socket
    keeper: ProcessIdentity | None
    program: tuple[str, ...]
    words: tuple[str, ...]
    unit: Unit | None = None
    notifier: Notifier = msgspec.field(default_factory=Notifier)
    handle: BootHandle | None = None
    document: Document | None = None
    environ: Mapping[str, str] = {}
    owns_socket: bool = False
    is_continued: bool = False
    signals: Signals = msgspec.field(default_factory=Signals)

    @property
    def is_trial(self) -> bool:
        """Whether this image has still to prove itself."""
        return self.handle is not None and self.handle.is_trial


@contextlib.contextmanager
def open_boot(
    paths: Paths,
    settings: Settings,
    environ: MutableMapping[str, str],
    program: Sequence[str],
    words: Sequence[str],
    *,
    handle: BootHandle | None = None,
    document: Document | None = None,
) -> Iterator[Boot]:
    """Take over the keeper's lock and listener or systemd's listener, claim what is left; close them at the end.

    What was inherited is taken out of `environ`, so that no child takes it for its own. The socket file is
    removed at the end by whom it was made: here, by the keeper, or by systemd, which goes on listening. A trial that
    fails leaves it for the good release, which is executed in its place.

    Raises:
        RingmasterError: CONFLICT naming the daemon that holds the state; USAGE for a path that cannot be used.
    """
    found = dict(environ)
    keeper = keeper_from_environment()
    environ.pop(KEEPER_VARIABLE, None)
    first_program = environ.pop(PROGRAM_VARIABLE, "")
    if first_program:
        program = msgspec.json.decode(first_program, type=list[str])
    is_continued = environ.pop(CONTINUED_VARIABLE, "") == str(os.getpid())
    unit, notifier = take_unit(environ), take_notifier(environ)
    if keeper is not None:
        # Whose unit that is, is the keeper's affair: systemd started it for something else.
        unit, notifier = None, Notifier()
    lock_fd, listener, is_claimed = _take_hold(paths, environ)
    boot = Boot(
        paths=paths,
        settings=settings,
        lock_fd=lock_fd,
        listener=listener,
        keeper=keeper,
        program=tuple(program),
        words=tuple(words),
        unit=unit,
        notifier=notifier,
        handle=handle,
        document=document,
        environ=found,
        owns_socket=is_claimed,
        is_continued=is_continued,
    )
    is_left = False
    try:
        yield boot
    except BaseException:
        is_left = boot.is_trial
        raise
    finally:
        if is_left:
            # They are the good release's, which the stub executes next.
            listener.detach()
        else:
            if is_claimed:
                remove_socket(paths.socket, listener.fileno())
            listener.close()
            os.close(lock_fd)


def _take_hold(paths: Paths, environ: MutableMapping[str, str]) -> tuple[int, socket.socket, bool]:
    """Lock, listener, and whether the socket's file is this daemon's to remove: inherited or claimed."""
    lock_fd, listener_fd = _inherited(environ)
    is_claimed = environ.pop(OWNER_VARIABLE, "") == "1"
    if lock_fd < 0:
        lock_fd, listener_fd, is_claimed = _claim(paths, environ)
    write_holder(lock_fd, "daemon")
    for fd in (lock_fd, listener_fd):
        os.set_inheritable(fd, False)
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(False)
    return lock_fd, listener, is_claimed


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
