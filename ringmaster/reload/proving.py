"""The trial of what runs: it is found good, found bad, or ended without a verdict because the daemon is stopped."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from ringmaster.queue import rollout
from ringmaster.reload.boot_contract import BootHandle
from ringmaster.reload.boot_record import BootRecord, drop_trial, read_record, settle_good, write_record
from ringmaster.store import Store

log = logging.getLogger("ringmaster.reload")

AGAIN_S = 0.25
"""How often the boot record is tried to be written while it cannot: nothing tells when there is room again, and the
guard wants a sign of life meanwhile."""


class Proving:
    """One image's trial; nothing for an image that is good. Only one of `run` and `withdraw` settles the record."""

    def __init__(self, store: Store, state: Path, handle: BootHandle | None) -> None:
        self._store = store
        self._state = state
        self._handle = handle
        self._scope = trio.CancelScope()
        self._turn = trio.Lock()

    async def run(self, handle: BootHandle, watch: Callable[[], Awaitable[str]], tell: Callable[[str], None]) -> str:
        """'' once record and row durably say that it is good; else why it is not, which is the caller's to act on.

        watch: the probation. tell: the step that is shown; there is none when the event says that it is good.
        Never returns once the trial is withdrawn: there is no verdict then. A record that cannot be written, such as
        on a full disk, is tried again until it can be.
        """
        tell("on probation")
        reason = ""
        with self._scope:
            reason = await watch()
        is_told = False
        while True:
            async with self._turn:
                if self._scope.cancel_called:
                    break
                try:
                    return reason or await self._settle(handle, tell)
                except OSError as error:
                    # No verdict on the release, which stays on trial until there is room; the stub could not note one.
                    if not is_told:
                        log.warning("generation %d is well, but cannot be noted as good: %s", handle.generation, error)
                    is_told = True
            handle.beat()
            await trio.sleep(AGAIN_S)
        return await trio.sleep_forever()

    async def _settle(self, handle: BootHandle, tell: Callable[[str], None]) -> str:
        record = await self._read(handle)
        if record is None:
            return "the boot record does not name it as the trial"
        # The record first: it is the truth about what boots, and a start makes the row follow it.
        handle.beat()
        await trio.to_thread.run_sync(write_record, self._state, settle_good(record))
        tell("")
        await self._store.write_essential(rollout.settle_good, handle.generation)
        handle.disarm()
        return ""

    async def withdraw(self) -> None:
        """The daemon is to stop: what is still on trial has not failed, and is tried again another time.

        Durable when this returns, except on a full disk. A probation that is under way ends: a daemon that hangs up
        on its clients looks unwell.
        """
        handle = self._handle
        if handle is None or not handle.is_trial:
            return
        self._scope.cancel()
        async with self._turn:
            handle.beat()
            record = await self._read(handle)
            if record is not None:
                with contextlib.suppress(OSError):
                    await trio.to_thread.run_sync(write_record, self._state, drop_trial(record))
            handle.disarm()

    async def _read(self, handle: BootHandle) -> BootRecord | None:
        """The record, while it says that this image is the trial."""
        record = await trio.to_thread.run_sync(read_record, self._state)
        is_trial = record is not None and record.trial is not None and record.trial.generation == handle.generation
        return record if is_trial else None
