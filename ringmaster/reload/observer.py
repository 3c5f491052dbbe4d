"""watchdog's inotify thread, used without its dispatcher: it only fills an inbox and wakes who looks into it.

Of watchdog this is the thread that reads the kernel's events and tells of an overflow. Its `Observer` on top of it
has a thread for each directory, holds a lone rename back for half a second, and puts watches on every directory of a
tree, ignored ones included; none of that suits a hint. To import it takes tens of milliseconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from ringmaster.reload.inbox import Inbox
from ringmaster.reload.watched import Rule, judge

GONE = InotifyConstants.IN_MOVED_FROM | InotifyConstants.IN_DELETE
SELF = InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF
# No IN_OPEN, IN_ACCESS or IN_CLOSE_NOWRITE: whoever follows a hint reads, and would be hinted at again.
MASK = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_CREATE
    | GONE
    | SELF
    | InotifyConstants.IN_ONLYDIR
)
CLOSE_S = 5.0


class Place(WatchCallback):
    """A directory under watch. identity: device and inode, by which a replaced one is known."""

    def __init__(self, path: Path, rules: tuple[Rule, ...], inbox: Inbox) -> None:
        self.path = path
        self.rules = rules
        self.is_lost = False
        self.identity = (0, 0)
        self.number = WatchDescriptor(-1)
        self.id = CallbackId(id(self))
        self._inbox = inbox

    def on_event(self, event: InotifyEvent) -> None:
        """Judge an event by its name alone. On the observer's thread."""
        if event.mask & SELF:
            self._lose()
            return
        name, is_gone = os.fsdecode(event.name), bool(event.mask & GONE)
        is_directory = bool(event.mask & InotifyConstants.IN_ISDIR)
        is_attribute = bool(event.mask & InotifyConstants.IN_ATTRIB)
        for rule in self.rules:
            heard = judge(rule, name, is_gone=is_gone, is_directory=is_directory, is_attribute=is_attribute)
            if heard.is_sure:
                self._inbox.put(None, is_reshaping=heard.is_reshaping)
            elif heard.path:
                self._inbox.put(rule.tree, heard.path, is_reshaping=heard.is_reshaping)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The kernel has let go of it: deleted, or its file system is gone."""
        self._lose()

    def on_queue_overflow(self) -> None:
        """The kernel dropped events: anything may have changed."""
        self._inbox.put(None, is_reshaping=True)

    def _lose(self) -> None:
        self.is_lost = True
        if any(rule.names for rule in self.rules):
            self._inbox.put(None, is_reshaping=True)
        self._inbox.lose()


class Observer(InotifyFD):
    """watchdog's thread on an inotify descriptor of its own. `end` ends it and closes the descriptor.

    on_end: called on its thread when it ends, for whatever reason. has_ended: by then.

    Raises:
        OSError: EMFILE where the user has no inotify instance left.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        super().__init__()
        self.name = "ringmaster-watch"
        self.has_ended = False
        self._on_end = on_end

    @classmethod
    def _create_inotify_fd(cls) -> int:
        number = super()._create_inotify_fd()
        # watchdog makes it without CLOEXEC, and this process is replaced by exec.
        os.set_inheritable(number, False)
        return number

    def start(self) -> None:
        """Start the thread with every signal blocked: they are for the main thread, in every image."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def run(self) -> None:
        """Read events until ended, or until something breaks."""
        try:
            super().run()
        finally:
            with self._lock:
                # Otherwise `close` leaves the descriptors to a thread that is no more.
                self._is_reading = False
            # Not `is_alive`, which is still true for who is woken by this.
            self.has_ended = True
            self._on_end()

    def watch(self, place: Place) -> None:
        """Put a directory under watch. Blocking, briefly.

        Raises:
            OSError: ENOENT, ENOTDIR when it is gone; ENOSPC when the user may watch no more.
        """
        found = os.stat(place.path)
        place.identity = (found.st_dev, found.st_ino)
        place.number = self.add_callback(os.fsencode(place.path), MASK, place, place.id)

    def unwatch(self, places: list[Place]) -> None:
        """Let go of directories; the kernel may have done so already."""
        self.remove_callbacks([(place.number, place.id) for place in places])

    def end(self) -> None:
        """End the thread, wait for it, close the descriptor. Twice is once."""
        self.stop()
        if self.ident is not None:
            self.join(CLOSE_S)
