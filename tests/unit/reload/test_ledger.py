"""Rows follow the boot record at each start: who went back is told once, whoever it was."""

from __future__ import annotations

import random
from pathlib import Path

from ringmaster.model.generation import Origin
from ringmaster.queue import rollout
from ringmaster.reload.boot_record import BootRecord, Image, begin_trial, fail_trial, go_back, settle_good, write_record
from ringmaster.reload.ledger import take_over_record
from ringmaster.store.events import events_after
from ringmaster.store.inline import InlineStore, open_inline_store


class Handle:
    """What runs."""

    version, release, root, is_trial, handoff_fd = 1, "", "", False, -1

    def __init__(self, generation: int) -> None:
        self.generation = generation

    def beat(self) -> None:
        """Nothing guards it."""

    def disarm(self) -> None:
        """Nothing guards it."""

    def take_handoff(self) -> int:
        """There is none."""
        return -1


def image(generation: int) -> Image:
    return Image(generation, f"r{generation}", "d", "/py")


async def restored(store: InlineStore, state: Path, record: BootRecord, running: int) -> list[str]:
    """The reasons of what a start says that it restored."""
    write_record(state, record)
    before = (await store.read(events_after, 0, 1000))[-1:]
    await take_over_record(store, state, Handle(running), random.Random(1))
    found = await store.read(events_after, before[0].seq if before else 0, 1000)
    return [bytes(event.data).decode() for event in found if event.type == "generation.restored"]


async def make_second(store: InlineStore, state: Path) -> BootRecord:
    """Two good generations, of which the second runs."""
    first = BootRecord(good=image(1))
    assert await restored(store, state, first, 1) == []
    origin = Origin(release="r2", digest="d", python="/py", parent=1, source="package")
    await store.write(rollout.make_generation, origin)
    record = settle_good(begin_trial(first, image(2), "boot", 10.0))
    await store.write(rollout.begin_trial, 2)
    assert await restored(store, state, record, 2) == []
    return record


async def test_a_generation_that_a_person_goes_back_to_is_told_once(tmp_path: Path):
    async with open_inline_store(clock=lambda: 0.0) as store:
        record = go_back(await make_second(store, tmp_path), image(1))
        assert await restored(store, tmp_path, record, 1) == [
            '{"generation":1,"reason":"generation 2: a person went back"}'
        ]
        assert await restored(store, tmp_path, record, 1) == []
        assert await restored(store, tmp_path, go_back(record, image(2)), 2) == [
            '{"generation":2,"reason":"generation 1: a person went back"}'
        ]


async def test_a_good_one_that_the_stub_gave_up_is_named_with_its_reason(tmp_path: Path):
    async with open_inline_store(clock=lambda: 0.0) as store:
        record = await make_second(store, tmp_path)
        failed = fail_trial(begin_trial(record, image(2), "boot", 10.0), "3 early deaths in a row", 0.0)
        assert await restored(store, tmp_path, go_back(failed, image(1)), 1) == [
            '{"generation":1,"reason":"generation 2: 3 early deaths in a row"}'
        ]
