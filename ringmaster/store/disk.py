"""A full disk: how it shows, what to say about it, and the reserve that lets outcomes be written."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from pathlib import Path

import apsw

from ringmaster.model.errors import ErrorKind, RingmasterError

# Room for some thousand outcomes, in the log and in the file at the same time.
RESERVE_BYTES = 8 * 1024 * 1024

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
# SQLite says FULL for ENOSPC while writing; a full disk met while syncing, or a quota, is an I/O error.
_FULL_IO_CODES = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_DIR_FSYNC,
        apsw.SQLITE_IOERR_SHMSIZE,
    }
)


class Reserve:
    """A file of real blocks that is deleted when the disk is full, so that essential writes find room.

    Not thread-safe: the writer alone calls it once the store is open.
    """

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size

    def restore(self) -> bool:
        """Set the blocks aside, if they are not yet; return False when the disk has no room for them.

        Raises OSError for anything but a lack of room.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_blocks * 512 < self._size:
                os.posix_fallocate(descriptor, 0, self._size)
                os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _FULL_ERRNOS:
                raise
            self.release()
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> None:
        """Give the blocks back. Harmless when there are none."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def has_room(*places: Path) -> bool:
    """Whether there is room for the reserve where each of these lies. What is not there is not looked at. Blocking."""
    return all(free_bytes(place) >= RESERVE_BYTES for place in places)


def free_bytes(place: Path) -> float:
    """Bytes that may still be written where a path lies; infinite where there is no such path. Blocking."""
    try:
        disk = os.statvfs(place)
    except OSError:
        return math.inf
    return float(disk.f_bavail * disk.f_frsize)


def is_disk_full(error: BaseException) -> bool:
    """Whether `error` says that something could not be written for lack of room."""
    if isinstance(error, apsw.FullError):
        return True
    if isinstance(error, apsw.IOError):
        return getattr(error, "extendedresult", 0) in _FULL_IO_CODES
    return isinstance(error, OSError) and error.errno in _FULL_ERRNOS


def make_disk_full_error() -> RingmasterError:
    """What the callers of refused writes are told."""
    return RingmasterError(
        ErrorKind.DISK_FULL,
        "the disk with the state directory is full: nothing new is accepted",
        "free some space; ringmasterd notices by itself (`rmctl gc` removes what is no longer kept)",
    )
