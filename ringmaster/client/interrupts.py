"""Ctrl-C while a client waits, also where Python's own exception came to nothing.

A signal that comes between Python's last look and the call that waits is noticed when that returns, which may be never;
and one within an import can be swallowed by the code that is imported. What the handler in C writes into a pipe is
there whenever one waits next.
"""

from __future__ import annotations

import os
import signal

READ_BYTES = 64


class Interrupts:
    """Signals that have come, as bytes in a pipe. For the main thread of a process of its own, until its end.

    The pipe is not closed: signals come until the end.
    """

    def __init__(self) -> None:
        self._reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Readable once a signal has come, for `poll`."""
        return self._reading

    def take(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C is among what has come, and forget the rest."""
        try:
            numbers = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return
        if signal.SIGINT in numbers and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise KeyboardInterrupt
