"""The database's files deleted or replaced under the daemon: SQLite writes on into what nobody will ever open again."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

_PARTS = ("", "-wal")


class LostFileError(Exception):
    """The open database is no longer the one at its path; the text says where what was open lies now."""


class FileGuard:
    """Knows the open database and its log by inode. Belongs to the thread that writes.

    SQLite itself does not look: every commit succeeds, into files without a name, and all of it is gone
    with the process. A database in memory has nothing to lose and is never looked at.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._path = db.filename
        self._known = self._identify() if self._path else ()

    def _identify(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_identify(self._path + part) for part in _PARTS)

    def check(self) -> None:
        """Do nothing while both files are the ones that are open; called outside a transaction.

        Raises LostFileError after saving what is open: at its own path when no other database is there,
        else beside it. The process must then end without another commit, and start anew.
        """
        if not self._path:
            return
        found = self._identify()
        if found == self._known:
            return
        if None in self._known and all(known in (None, now) for known, now in zip(self._known, found, strict=True)):
            # The log is made by the first write.
            self._known = found
            return
        raise LostFileError(self._save(found))

    def _save(self, found: tuple[tuple[int, int] | None, ...]) -> str:
        saved = self._path + ".saved"
        Path(saved).unlink(missing_ok=True)
        self._db.execute("VACUUM INTO ?", (saved,))
        _sync(saved)
        if found[0] not in (None, self._known[0]):
            return f"{self._path} was replaced under the daemon; what it had is kept in {saved}"
        # A log is replayed into whatever lies beside it, and this one knows other pages.
        for part in ("-wal", "-shm"):
            Path(self._path + part).unlink(missing_ok=True)
        os.replace(saved, self._path)
        _sync(os.path.dirname(self._path))
        return f"{self._path} or its log was deleted under the daemon; it is written anew, complete"


def _identify(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
