"""Executing another image in this process: the pid, the lock, the listener, the children and the clients stay."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence

import msgspec

from ringmaster.daemon.boot import ACTIVATION, CONTINUED_VARIABLE, OWNER_VARIABLE, PROGRAM_VARIABLE, Boot
from ringmaster.daemon.handoff import Document, put_document, settings_of
from ringmaster.model.errors import RingmasterError
from ringmaster.proc.identity import ProcessIdentity, current_boot_id
from ringmaster.proc.instance import KEEPER_VARIABLE, LISTENER_VARIABLE, LOCK_VARIABLE
from ringmaster.reload.boot_record import (
    BootRecord,
    Image,
    begin_trial,
    exec_command,
    fail_trial,
    go_back,
    read_record,
    write_record,
)
from ringmaster.reload.first import ensure_first
from ringmaster.reload.release import STUB
from ringmaster.store.check import find_newest_generation

log = logging.getLogger("ringmaster.switch")


class Switch(msgspec.Struct, frozen=True):
    """What leaves `trio.run` when another image is due.

    is_trial: it has to prove itself; otherwise it is a good one that is gone back to, and why_bad says what is wrong
    with the trial that runs, or is empty. fds: the clients' sockets, which the document speaks of. keeper: the one that
    is known now.
    """

    image: Image
    is_trial: bool
    guard_s: float
    document: Document
    fds: tuple[int, ...]
    keeper: ProcessIdentity | None
    why_bad: str = ""
    now: float = 0.0

    def take_up(self, boot: Boot, refused: str) -> Boot:
        """What the image goes on with that was about to leave: its own handoff, and all that it has become since it
        started. refused: why the other could not be executed."""
        return msgspec.structs.replace(
            boot,
            settings=settings_of(self.document) or boot.settings,
            keeper=self.keeper,
            document=msgspec.structs.replace(self.document, refused=refused),
            is_continued=True,
        )


def enter_release(boot: Boot) -> None:
    """Execute the good release, made of this package when there is none yet.

    Returns where that cannot be: the package then runs in place, and the log says so.
    """
    try:
        # Where the record is lost, or cannot be read, the rows still know what ran: a number means one release.
        record = ensure_first(boot.paths.state, find_newest_generation(boot.paths.database) + 1)
        command = exec_command(boot.paths.state, record, record.good, boot.words)
        environ = _environ(boot, boot.keeper)
        # Nothing has run before: leases and attempts are those of a start.
        del environ[CONTINUED_VARIABLE]
        _execute(command, environ, (boot.lock_fd, boot.listener.fileno()))
    except RingmasterError as error:
        log.error("no release can be made, so this package runs in place and is not replaced: %s", error.message)  # noqa: TRY400 - foreseen
    except OSError as error:
        log.error("no release can be run, so this package runs in place and is not replaced: %s", error)  # noqa: TRY400 - foreseen


def execute(boot: Boot, switch: Switch) -> str:
    """Write the boot record and execute the image; returns only where that failed: why. The record is then as before.

    Signals are held back by now, and stay so until the new image has receivers.
    """
    state = boot.paths.state
    record = read_record(state)
    if record is None:
        return "the boot record cannot be read"
    document_fd = -1
    try:
        # What is good from now on has the stub: who goes back may do so because the release that is left is damaged.
        wanted = _record_of(record, switch)
        # A Python without a program ends, and the clients with it; no `exec` says so before.
        os.stat(wanted.good.release_in(state).root / STUB)
        document_fd = put_document(switch.document)
        command = exec_command(state, wanted, switch.image, boot.words, handoff_fd=document_fd, kept_fds=switch.fds)
        environ = _environ(boot, switch.keeper)
        write_record(state, wanted)
        # The next sign of life is the next image's.
        boot.notifier.alive()
        _execute(command, environ, (boot.lock_fd, boot.listener.fileno(), document_fd, *switch.fds))
    except (OSError, RingmasterError) as error:
        reason = str(error)
    finally:
        if document_fd >= 0:
            os.close(document_fd)
    with contextlib.suppress(OSError):
        write_record(state, record)
    return reason


def _record_of(record: BootRecord, switch: Switch) -> BootRecord:
    if switch.is_trial:
        return begin_trial(record, switch.image, current_boot_id(), switch.guard_s)
    if switch.why_bad:
        record = fail_trial(record, switch.why_bad, switch.now)
    return go_back(record, switch.image)


def _execute(command: Sequence[str], environ: dict[str, str], fds: Sequence[int]) -> None:
    """Raises OSError; the descriptors are then as they were."""
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
        os.execve(command[0], list(command), environ)
    finally:
        for fd in fds:
            os.set_inheritable(fd, False)


def _environ(boot: Boot, keeper: ProcessIdentity | None) -> dict[str, str]:
    """The environment that this image was given, with what it holds now."""
    environ = {name: value for name, value in boot.environ.items() if name not in ACTIVATION}
    environ[LOCK_VARIABLE] = str(boot.lock_fd)
    environ[LISTENER_VARIABLE] = str(boot.listener.fileno())
    environ[PROGRAM_VARIABLE] = msgspec.json.encode(boot.program).decode()
    environ[CONTINUED_VARIABLE] = str(os.getpid())
    environ.pop(OWNER_VARIABLE, None)
    if boot.owns_socket:
        environ[OWNER_VARIABLE] = "1"
    if keeper is not None:
        environ[KEEPER_VARIABLE] = f"{keeper.pid}:{keeper.start_time}"
    return environ
