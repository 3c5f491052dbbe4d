"""What a generation measured is noted in its row; where that cannot be, nothing waits for it."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from ringmaster.model.generation import Origin
from ringmaster.queue import rollout
from ringmaster.reload.measuring import note_measures
from ringmaster.reload.meter import Meter
from ringmaster.store import generations
from ringmaster.store.disk import make_disk_full_error
from ringmaster.store.inline import InlineStore
from tests.fakes.empty_store import open_empty_store

ORIGIN = Origin(release="r1", digest="d", python="/py", source="package")


async def noted(store: InlineStore, meter: Meter) -> tuple[int | None, bool]:
    """Answered calls, and whether its memory is known."""
    await note_measures(store, meter, 1)
    measures = (await store.read(generations.generation_by_id, 1)).measures
    return measures.calls, bool(measures.rss_bytes)


async def test_what_an_earlier_run_measured_stays_until_this_one_has_answered_a_call():
    async with open_empty_store(clock=lambda: 0.0) as store:
        await store.write(rollout.ensure_generation, 1, ORIGIN)
        meter = Meter(lambda: 0.0)
        assert await noted(store, meter) == (None, True)
        meter.note("task.list", 0.01, "")
        assert await noted(store, meter) == (1, True)
        assert await noted(store, Meter(lambda: 0.0)) == (1, True)


async def test_a_full_disk_keeps_nobody_from_leaving(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    async def refuse(*call: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise make_disk_full_error()

    async with open_empty_store(clock=lambda: 0.0) as store:
        monkeypatch.setattr(store, "write_essential", refuse)
        await note_measures(store, Meter(lambda: 0.0), 1)
    assert "what generation 1 measures is not noted: " in caplog.text
