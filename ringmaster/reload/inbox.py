"""What was heard of changes and has not been looked at yet, between the thread that hears and the loop that looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

PATHS_LIMIT = 500
"""More changed paths than these are not asked about: something among them will count."""


class Inbox:
    """What was heard since it was last emptied. Filled on the observer's thread, emptied on the loop's.

    wake: called on the observer's thread after each addition.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._is_new = False
        self.is_sure = self.is_reshaping = self.is_lost = False
        self.paths: dict[Path, set[str]] = {}

    def put(self, top: Path | None, path: str = "", *, is_reshaping: bool = False) -> None:
        """A change that counts for sure when `top` is None, else of a path below it that git is asked about."""
        with self._lock:
            self._is_new = True
            self.is_reshaping |= is_reshaping
            if top is None:
                self.is_sure = True
            else:
                paths = self.paths.setdefault(top, set())
                if len(paths) < PATHS_LIMIT:
                    paths.add(path)
                else:
                    self.is_sure = True
        self._wake()

    def lose(self) -> None:
        """A directory is no longer watched, or the observer is dead."""
        with self._lock:
            self._is_new = self.is_lost = True
        self._wake()

    def is_fuller(self) -> bool:
        """Whether something was put in since this was last asked."""
        with self._lock:
            is_new, self._is_new = self._is_new, False
            return is_new

    def take(self) -> Inbox:
        """All there is in it, as another inbox; this one is empty then."""
        taken = Inbox(self._wake)
        with self._lock:
            taken.is_sure, taken.is_reshaping, taken.is_lost = self.is_sure, self.is_reshaping, self.is_lost
            taken.paths = self.paths
            self.is_sure = self.is_reshaping = self.is_lost = self._is_new = False
            self.paths = {}
        return taken
