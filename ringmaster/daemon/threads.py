"""Holding signals back over an exec in place, in every thread, so that none is lost and none ends the process."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import trio

EVERY = signal.valid_signals()
REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """The signals of one process over all its images' runs.

    Between two runs of the loop nobody receives them, so they have a handler that only notes them, for whoever comes
    next: is_stop_noted, is_reload_noted. At a switch the main
    thread blocks them and each of trio's idle threads is occupied by one that does so too: a signal then stays
    pending in the process, through the exec. Threads keep an open mask otherwise, because a child gets the mask
    of the thread that starts it, and a git or a keeper that cannot be told to end would be the price. (The store's
    threads block signals from their start, and start nothing.)
    """

    def __init__(self) -> None:
        self.is_stop_noted = False
        self.is_reload_noted = False
        self._release = threading.Event()

    def install(self) -> None:
        """In the main thread, before the first run of the loop."""
        for number in REQUESTS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.is_reload_noted = True
        else:
            self.is_stop_noted = True

    def hold(self) -> None:
        """In the main thread: what comes from now on waits until `let_go`, through an exec as well.

        Again for the threads that have become idle since.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, EVERY)
        _occupy_idle_threads(signal.SIG_BLOCK, self._release)

    def let_go(self) -> None:
        """In the main thread, once there are receivers: what has waited is delivered."""
        self._release.set()
        self._release = threading.Event()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EVERY)
        # Threads that were made meanwhile inherited the mask.
        at_once = threading.Event()
        at_once.set()
        _occupy_idle_threads(signal.SIG_UNBLOCK, at_once)


def _occupy_idle_threads(how: int, release: threading.Event) -> None:
    """Have each idle thread of trio's change its mask; returns when all have. They stay occupied until the release."""
    count = threading.active_count() - 1
    barrier = threading.Barrier(count + 1)

    def occupy() -> None:
        signal.pthread_sigmask(how, EVERY)
        barrier.wait()
        release.wait()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EVERY)

    for _ in range(count):
        trio.lowlevel.start_thread_soon(occupy, lambda outcome: outcome.unwrap())
    barrier.wait()
