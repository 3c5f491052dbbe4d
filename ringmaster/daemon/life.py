"""When the daemon ends or is replaced, and how it says it is."""

from __future__ import annotations

import time

import trio

from ringmaster.daemon.boot import Boot
from ringmaster.daemon.keeping import Keeping
from ringmaster.daemon.switching import Switch
from ringmaster.proc.identity import own_identity
from ringmaster.protocol.daemon import Health
from ringmaster.store.thread import ThreadStore


class Life:
    """Shared by signals, RPC, reload and the end. switch: set when everything is ready for another image."""

    def __init__(self, boot: Boot, keeping: Keeping) -> None:
        self.started_at = time.time()
        self.stop = trio.Event()
        self.mode = "drain"
        self.switch: Switch | None = None
        self._end = trio.Event()
        self._again = trio.Event()
        self._reload = trio.Event()
        self._boot = boot
        self._keeping = keeping
        self._store: ThreadStore | None = None

    def uses(self, store: ThreadStore) -> None:
        """The store whose state is part of the health."""
        self._store = store

    def request_stop(self, mode: str) -> None:
        """Ask for the end; a second request no longer waits for clients to read their answers."""
        if self.stop.is_set():
            self._again.set()
        if mode == "abort":
            self.mode = mode
        self.stop.set()
        self._end.set()

    def leave_for(self, switch: Switch) -> None:
        """Everything is handed over: end, so that the image can be executed."""
        self.switch = switch
        self._end.set()

    def request_reload(self) -> None:
        """Ask for the settings to be read again and newer code looked for; requests that come meanwhile are one."""
        self._reload.set()

    async def wait_reload(self) -> None:
        """Until the next such request."""
        await self._reload.wait()
        self._reload = trio.Event()

    async def wait_impatient(self) -> None:
        """Until a second request to stop came."""
        await self._again.wait()

    async def wait_end(self) -> None:
        """Until a stop was requested, or another image is due."""
        await self._end.wait()

    def health(self) -> Health:
        """How the daemon is, in a word and in a sentence."""
        state, words = "ok", "running"
        if self.stop.is_set():
            state, words = "stopping", "it stops; agents go on and are adopted by the next daemon"
        elif self._store is not None and self._store.is_degraded:
            state, words = "degraded", "the disk is full: reads go on, nothing is accepted or dispatched; make room"
        elif self._boot.paths.estop.exists():
            state, words = "estop", "ESTOP is there: nothing starts before rmctl estop --clear"
        identity, unit = own_identity(), self._boot.unit
        return Health(
            state=state,
            words=words,
            pid=identity.pid,
            started_at=self.started_at,
            is_kept=self._keeping.is_kept,
            unit=unit.name if unit is not None else "",
            is_user_unit=unit is not None and unit.is_user,
        )
