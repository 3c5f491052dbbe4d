"""The daemon's side of its keeper: whether it has one, and getting a new one."""

from __future__ import annotations

import os

import trio

from ringmaster.daemon.boot import Boot
from ringmaster.proc.identity import ProcessIdentity, is_alive
from ringmaster.proc.keeper_start import start_adopting_keeper
from ringmaster.protocol.daemon import KeepResult


class Keeping:
    """Who keeps this daemon now. keepers: all it ever had; a new one is below the daemon, its subreaper."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._keeper = boot.keeper
        self._lock = trio.Lock()
        self.keepers: list[ProcessIdentity] = [boot.keeper] if boot.keeper is not None else []

    @property
    def keeper(self) -> ProcessIdentity | None:
        """The keeper that was last known; it may be dead."""
        return self._keeper

    @property
    def is_kept(self) -> bool:
        """Whether somebody starts the daemon again after a crash."""
        return self._boot.unit is not None or (self._keeper is not None and is_alive(self._keeper))

    async def keep(self) -> KeepResult:
        """Have a keeper: the one there is, or a new one that adopts this very process.

        Raises RingmasterError with the new keeper's own line when it could not start.
        """
        # Two at once would be two keepers of one lock, and after a crash two daemons on one state.
        async with self._lock:
            if self._boot.unit is not None:
                # systemd starts it again; a keeper beside it would be a second who does.
                return KeepResult(keeper_pid=os.getppid(), was_kept=True)
            if self._keeper is not None and is_alive(self._keeper):
                return KeepResult(keeper_pid=self._keeper.pid, was_kept=True)
            self._keeper = await start_adopting_keeper(
                self._boot.paths.state,
                self._boot.paths.socket,
                self._boot.lock_fd,
                self._boot.listener.fileno(),
                (*self._boot.program, *self._boot.words),
            )
            self.keepers.append(self._keeper)
            return KeepResult(keeper_pid=self._keeper.pid, was_kept=False)
