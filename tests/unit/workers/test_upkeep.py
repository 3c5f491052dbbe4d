"""Cleaning up comes as often as the settings say at each moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ringmaster.protocol.daemon import GcResult
from ringmaster.settings import DaemonSettings, Paths, Settings
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workers.upkeep import run_upkeep

PLACE = Path("/nowhere")


class Well:
    """A store with room."""

    is_degraded = False


async def test_a_new_interval_holds_from_the_moment_it_is_read(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
):
    cleaned_at: list[float] = []
    store: Any = Well()
    bus: Any = None
    sur = Surroundings(
        store=store,
        bus=bus,
        paths=Paths(name="t", state=PLACE, socket=PLACE / "s", config=PLACE / "c"),
        settings=Settings(daemon=DaemonSettings(gc_every_s=86_400.0)),
        instance_id="i",
    )
    began_at = trio.current_time()

    async def note(sur: Surroundings) -> GcResult:
        await trio.lowlevel.checkpoint()
        cleaned_at.append(trio.current_time() - began_at)
        return GcResult(removed=(), kept=(), freed_bytes=0, is_dry_run=False)

    monkeypatch.setattr("ringmaster.workers.upkeep.clean_up", note)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_upkeep, sur)
        await trio.sleep(100)
        sur.settings = Settings(daemon=DaemonSettings(gc_every_s=600.0))
        sur.settings_read.set()
        await trio.sleep(1150)
        nursery.cancel_scope.cancel()
    assert cleaned_at == [600.0, 1200.0]
