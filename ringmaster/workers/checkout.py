"""Whose the gate's checkout of a project is, and what it stands on.

Gates outlive the daemon, and set-up, gate, rerun and the gate of the base all run at one path. So who uses it is
noted beside it: before a file in it changes the note is taken away and what ran there has ended, and a job is
started there only after the new note is durable. With a note, the checkout is as its gate has left it; without
one it is nobody's and may be half prepared.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from ringmaster.proc.job_files import write_durably
from ringmaster.workers.jobs import stop_jobs
from ringmaster.workers.surroundings import Surroundings


class CheckoutUse(msgspec.Struct, frozen=True, kw_only=True):
    """The note. attempt_id, prefix, number: whose gate may run there, in which job directory.

    digest: the commit it stands on with the commands that judge it. work: the landing commit it is about, which
    is another one while the base is gated; '' where it is about no attempt's work. inode: the directory's own, by
    which one that was removed and made again is told from it; 0 in a note of an earlier release.
    """

    attempt_id: str
    prefix: str
    number: int
    digest: str
    commit: str
    work: str = ""
    inode: int = 0

    @property
    def job_name(self) -> str:
        """Name of the gate's job; those of its set-up and rerun begin with it."""
        return f"{self.prefix}-{self.number}"


async def read_use(checkout: Path) -> CheckoutUse | None:
    """Who uses the checkout, by the note. A note that cannot be read is none."""
    return await trio.to_thread.run_sync(_read, _note(checkout))


async def read_standing_use(checkout: Path) -> CheckoutUse | None:
    """Who uses the checkout, while it is as the note found it: none once somebody removed it under its gate."""
    use = await read_use(checkout)
    return use if use is not None and is_standing(checkout, use) else None


def is_standing(checkout: Path, use: CheckoutUse) -> bool:
    """Whether the directory of the note is still there. Blocking: one look."""
    inode = inode_of(checkout)
    return inode != 0 and use.inode in (0, inode)


def inode_of(directory: Path) -> int:
    """The inode of a directory, 0 where there is none. Blocking: one look."""
    try:
        return directory.stat().st_ino if directory.is_dir() else 0
    except OSError:
        return 0


async def take_checkout(sur: Surroundings, checkout: Path) -> None:
    """Make the checkout nobody's, so that its files may be changed: whatever still runs in it is ended first."""
    use = await read_use(checkout)
    if use is not None:
        await stop_jobs(sur, use.attempt_id)
    _note(checkout).unlink(missing_ok=True)


async def note_use(checkout: Path, use: CheckoutUse) -> None:
    """Say durably who uses the checkout from now on."""
    await trio.to_thread.run_sync(write_durably, _note(checkout), msgspec.json.encode(use))


def _note(checkout: Path) -> Path:
    return checkout.with_name(f"{checkout.name}.json")


def _read(note: Path) -> CheckoutUse | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=CheckoutUse)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
