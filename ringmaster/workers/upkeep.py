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
        await trio.sleep(sur.settings.daemon.gc_every_s)
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
