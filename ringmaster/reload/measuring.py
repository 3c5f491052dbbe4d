"""What a generation did while it ran, noted in its row as it runs: a crash takes minutes of it at most."""

from __future__ import annotations

import logging
from pathlib import Path

import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.model.generation import Measures
from ringmaster.queue import rollout
from ringmaster.reload.meter import Meter
from ringmaster.store import Store

log = logging.getLogger("ringmaster.reload")

EVERY_S = 120.0
PAGE_BYTES = 4096


def measured_now(meter: Meter) -> Measures:
    """What this image has measured so far; of answered calls nothing before there is one."""
    seen, rss_bytes = meter.snapshot(), _resident_bytes()
    if not seen.calls:
        return Measures(rss_bytes=rss_bytes)
    return Measures(rpc_p99_s=seen.p99_s, calls=seen.calls, internal_errors=seen.internal_errors, rss_bytes=rss_bytes)


async def note_measures(store: Store, meter: Meter, generation: int) -> None:
    """Note what this image has measured so far. Without an answered call, what an earlier run of it measured stays.

    Where it cannot be stored the log says so, and nothing is kept from going on: leaving this code for another may be
    what makes room.
    """
    try:
        await store.write_essential(rollout.note_measures, generation, measured_now(meter))
    except RingmasterError as error:
        log.warning("what generation %d measures is not noted: %s", generation, error.message)


async def run_measuring(store: Store, meter: Meter, generation: int, every_s: float = EVERY_S) -> None:
    """Note them again and again, until cancelled."""
    while True:
        await trio.sleep(every_s)
        await note_measures(store, meter, generation)


def _resident_bytes() -> int:
    """Resident memory of this process, from /proc. Blocking: one small read."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * PAGE_BYTES
