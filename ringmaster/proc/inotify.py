"""Wait for changes in directories: inotify through ctypes, on trio's own loop.

One descriptor serves any number of directories, because a user has only 128 inotify instances. Events
are hints: who waits looks again for itself, so a lost or doubled one does no harm.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import trio

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
MASK = IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF
NAMES = IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
"""Files that come and go, and not what is written into them: for a directory that holds busy files too."""
IN_MASK_ADD = 0x20000000
EVENT = struct.Struct("iIII")


class Changes:
    """A flag that is up when something in a directory may have changed since `wait` last returned."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def notify(self) -> None:
        """Put the flag up; wakes `wait`. Call it on the loop's thread."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for the flag and take it down. For one waiter; cancellation leaves it as it was."""
        await self._event.wait()
        self._event = trio.Event()


class Watcher:
    """Directories under watch. Made and closed by `open_watcher`."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._check(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        self._changes: dict[int, list[Changes]] = {}

    @staticmethod
    def _check(result: int, what: str) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")
        return result

    @contextlib.contextmanager
    def watch(self, directory: Path, mask: int = MASK) -> Iterator[Changes]:
        """Changes of the files in `directory`, from now until the block is left. Raises OSError (ENOENT …).

        mask: of which kinds. Whoever watches the same directory with other kinds adds them for both.
        """
        number = self._check(
            self._libc.inotify_add_watch(self._fd, os.fsencode(directory), mask | IN_MASK_ADD), "inotify_add_watch"
        )
        changes = Changes()
        # The kernel gives the same number for the same directory: the last to leave removes it.
        self._changes.setdefault(number, []).append(changes)
        try:
            yield changes
        finally:
            listeners = self._changes.get(number, [])
            if changes in listeners:
                listeners.remove(changes)
            if not listeners and self._changes.pop(number, None) is not None and self._fd >= 0:
                self._libc.inotify_rm_watch(self._fd, number)

    async def run(self) -> None:
        """Hand events on until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            data = os.read(self._fd, 65536)
            position = 0
            while position < len(data):
                number, mask, _, length = EVENT.unpack_from(data, position)
                position += EVENT.size + length
                if mask & IN_Q_OVERFLOW:
                    for listeners in self._changes.values():
                        for changes in listeners:
                            changes.notify()
                    continue
                for changes in self._changes.get(number, ()):
                    changes.notify()
                if mask & IN_IGNORED:
                    # The directory is gone and its number may be given anew.
                    self._changes.pop(number, None)

    def close(self) -> None:
        """Close the descriptor. `open_watcher` does it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextlib.asynccontextmanager
async def open_watcher() -> AsyncIterator[Watcher]:
    """A Watcher whose events are handed on by a trio task until the block is left. Share one per daemon."""
    watcher = Watcher()
    try:
        async with trio.open_nursery() as nursery:
            # What changes before it runs stays in the descriptor, so there is nothing to wait for.
            nursery.start_soon(watcher.run)  # noqa: ASYNC113
            yield watcher
            nursery.cancel_scope.cancel()
    finally:
        watcher.close()
