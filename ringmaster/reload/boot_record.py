"""The boot record, `<state>/boot.json`: what the stub needs to choose. docs/reload.md says what each part means.

bin/ringmasterd reads and writes the same file by code of its own. Only who holds the instance's lock may write.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ringmaster.reload.release import RELEASES, STUB, Release

FORMAT = 1
FAILURES_KEPT = 20


class Image(msgspec.Struct, frozen=True):
    """A release with its environment, as it is executed. python: the environment's interpreter."""

    generation: int
    release: str
    digest: str
    python: str

    def release_in(self, state: Path) -> Release:
        """Where its release lies."""
        return Release(self.release, self.digest, state / RELEASES / self.release)


class Trial(Image, frozen=True):
    """The image on trial. boots: how often its stub has begun; 0 for one that was never entered, and whose fault a
    death is not. boot_id: the kernel's, by which a dead trial is told from a machine that went down.
    """

    boots: int
    boot_id: str
    guard_s: float

    @property
    def image(self) -> Image:
        """What it becomes when it is good."""
        return Image(self.generation, self.release, self.digest, self.python)


class Failure(msgspec.Struct, frozen=True):
    """Why a generation was given up, for the row that a start makes of it."""

    generation: int
    release: str
    reason: str
    at: float


class BootRecord(msgspec.Struct, frozen=True):
    """The whole record. A start takes `failed` into the generations' rows and then clears it."""

    good: Image
    before: Image | None = None
    trial: Trial | None = None
    failed: tuple[Failure, ...] = ()
    format: int = FORMAT


def read_record(state: Path) -> BootRecord | None:
    """The record; None when there is none or it is unreadable, which is a first start."""
    try:
        record = msgspec.json.decode((state / "boot.json").read_bytes(), type=BootRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.format == FORMAT else None


def write_record(state: Path, record: BootRecord) -> None:
    """Replace the record durably. The caller holds the instance's lock. Blocking: two fsyncs.

    Raises:
        OSError: nothing was changed.
    """
    temporary = state / "boot.json.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
        file.flush()
        os.fsync(fd)
    os.replace(temporary, state / "boot.json")
    directory = os.open(state, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def begin_trial(record: BootRecord, image: Image, boot_id: str, guard_s: float) -> BootRecord:
    """The record with which `image` is entered by exec; it is written before, and the stub then counts the boot."""
    trial = Trial(image.generation, image.release, image.digest, image.python, 0, boot_id, guard_s)
    return msgspec.structs.replace(record, trial=trial)


def settle_good(record: BootRecord) -> BootRecord:
    """The trial has proved itself: it is good, and the good one is the one before."""
    if record.trial is None:
        return record
    return msgspec.structs.replace(record, good=record.trial.image, before=record.good, trial=None)


def drop_trial(record: BootRecord) -> BootRecord:
    """The trial ended without a verdict: a stop that was asked for, or a machine that went down."""
    return msgspec.structs.replace(record, trial=None)


def fail_trial(record: BootRecord, reason: str, now: float) -> BootRecord:
    """The trial is given up, with the reason."""
    if record.trial is None:
        return record
    failure = Failure(record.trial.generation, record.trial.release, reason, now)
    return msgspec.structs.replace(record, trial=None, failed=(*record.failed, failure)[-FAILURES_KEPT:])


def forget_failed(record: BootRecord) -> BootRecord:
    """What the rows have taken over is no longer needed here."""
    return msgspec.structs.replace(record, failed=())


def go_back(record: BootRecord, image: Image) -> BootRecord:
    """`image`, good once, is good again; the one it replaces stays the way back from it. No trial is left."""
    before = record.before if record.good.generation == image.generation else record.good
    return msgspec.structs.replace(record, good=image, before=before, trial=None)


def exec_command(
    state: Path,
    record: BootRecord,
    image: Image,
    words: Sequence[str],
    *,
    handoff_fd: int = -1,
    kept_fds: Sequence[int] = (),
) -> list[str]:
    """What to execute to run `image`: by its own Python and the stub of the good release.

    words: the daemon's own, such as `-s NAME`. handoff_fd, kept_fds: what is handed over and the connections it
    speaks of; the caller makes them, the lock and the listener inheritable, and names the last two in the environment.
    """
    argv = [image.python, "-I", os.fspath(record.good.release_in(state).root / STUB)]
    argv += ["--boot", str(image.generation), "--in", os.fspath(state)]
    if handoff_fd >= 0:
        argv += ["--handoff", str(handoff_fd), "--fds", ",".join(map(str, kept_fds))]
    return [*argv, "--", *words]
