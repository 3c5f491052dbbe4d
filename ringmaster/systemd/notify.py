"""The service side of sd_notify(3), by hand: the protocol is a datagram of `NAME=value` lines."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
LONGEST_STATUS = 200


class Notifier:
    """Tells the service manager how the daemon is. Without an address every call does nothing.

    watchdog_s: seconds between two signs of life that are often enough; 0 when none are asked for.
    No call blocks or raises: a manager that cannot be told is no reason to stop serving.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        # An abstract address is written with an at sign and begins with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s if address else 0.0
        self._status = ""

    @property
    def is_listened_to(self) -> bool:
        """Whether there is a service manager to tell."""
        return bool(self._address)

    def ready(self) -> None:
        """It has recovered and serves."""
        self._send("READY=1")

    def reloading(self) -> None:
        """It has begun to read its settings again; `ready` says that it is done."""
        # The moment, too, on the clock that systemd counts by, or a late message would be taken for a later reload.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """It has begun to stop."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The loop turns; wanted every `watchdog_s`."""
        self._send("WATCHDOG=1")

    def status(self, words: str) -> None:
        """One line for `systemctl status`; said only when it differs from the one before."""
        line = " ".join(words.split())[:LONGEST_STATUS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def _send(self, line: str) -> None:
        if not self._address:
            return
        try:
            # Opened anew each time: a manager that was itself started again listens on a new socket at this address.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto(line.encode(), self._address)
        except OSError:
            return


def take_notifier(environ: MutableMapping[str, str]) -> Notifier:
    """The notifier that the environment asks for; its variables are taken out, so that no child speaks for the daemon.

    A watchdog that is meant for another process (`WATCHDOG_PID`) is not answered.
    """
    found = {name: environ.pop(name, "") for name in VARIABLES}
    address = found["NOTIFY_SOCKET"]
    if not address.startswith(("/", "@")) or len(address) < 2:
        return Notifier()
    return Notifier(address, _watchdog_s(found))


def _watchdog_s(found: Mapping[str, str]) -> float:
    microseconds, pid = found["WATCHDOG_USEC"], found["WATCHDOG_PID"]
    if not microseconds.isdigit() or pid not in ("", str(os.getpid())):
        return 0.0
    # Half of what systemd allows: one late turn of the loop is not yet a dead one.
    return int(microseconds) / 1e6 / 2
