"""Cleaning up by itself, now and then."""

from __future__ import annotations

import logging

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.workers.cleanup import clean_up
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.upkeep")


async def run_upkeep(sur: Surroundings) -> None:
    """Clean up every `gc_every_s`: what has been kept long enough goes by time, and no event says so."""
    while True:
        await _wait_until_due(sur)
        if sur.store.is_degraded or sur.paths.estop.exists():
            continue
        try:
            done = await clean_up(sur)
        except RingmasterError as error:
            if error.kind is not ErrorKind.DISK_FULL:
                raise
            continue
        if done.removed:
            log.info("cleaned up: %d removed, %d bytes freed", len(done.removed), done.freed_bytes)


async def _wait_until_due(sur: Surroundings) -> None:
    """Wait for `gc_every_s` from now, as the settings have it at each moment."""
    began_at = trio.current_time()
    while (due_at := began_at + sur.settings.daemon.gc_every_s) > trio.current_time():
        with trio.move_on_at(due_at):
            await sur.settings_read.wait()
