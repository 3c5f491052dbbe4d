"""Rows follow the boot record at each start: who went back is told once, whoever it was."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from ringmaster.model.generation import GenerationState, Origin
from ringmaster.queue import rollout
from ringmaster.reload import ledger
from ringmaster.reload.boot_record import (
    BootRecord,
    Image,
    Trial,
    begin_trial,
    fail_trial,
    go_back,
    read_record,
    settle_good,
    write_record,
)
from ringmaster.reload.ledger import GIVEN_UP, take_over_record
from ringmaster.store import generations
from ringmaster.store.disk import make_disk_full_error
from ringmaster.store.events import events_after
from ringmaster.store.inline import InlineStore
from tests.fakes.empty_store import open_empty_store


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
    async with open_empty_store(clock=lambda: 0.0) as store:
        record = go_back(await make_second(store, tmp_path), image(1))
        assert await restored(store, tmp_path, record, 1) == [
            '{"generation":1,"reason":"generation 2: a person went back"}'
        ]
        assert await restored(store, tmp_path, record, 1) == []
        assert await restored(store, tmp_path, go_back(record, image(2)), 2) == [
            '{"generation":2,"reason":"generation 1: a person went back"}'
        ]


async def test_a_good_one_that_the_stub_gave_up_is_named_with_its_reason(tmp_path: Path):
    async with open_empty_store(clock=lambda: 0.0) as store:
        record = await make_second(store, tmp_path)
        failed = fail_trial(begin_trial(record, image(2), "boot", 10.0), "3 early deaths in a row", 0.0)
        assert await restored(store, tmp_path, go_back(failed, image(1)), 1) == [
            '{"generation":1,"reason":"generation 2: 3 early deaths in a row"}'
        ]


async def test_a_trial_whose_end_could_not_be_written_is_a_candidate_again_and_dropped(tmp_path: Path):
    async with open_empty_store(clock=lambda: 0.0) as store:
        good = BootRecord(good=image(1))
        assert await restored(store, tmp_path, good, 1) == []
        await store.write(rollout.make_generation, Origin(release="r2", digest="d", python="/py", source="package"))
        await store.write(rollout.begin_trial, 2)
        # The stub counted the boot, and executed the good one without being able to say why.
        record = msgspec.structs.replace(good, trial=Trial(2, "r2", "d", "/py", 1, "boot", 10.0))
        assert await restored(store, tmp_path, record, 1) == []
        row = await store.read(generations.generation_by_id, 2)
        assert (row.state, row.reason) == (GenerationState.CANDIDATE, GIVEN_UP)
    assert read_record(tmp_path) == good


async def test_a_start_does_not_end_at_a_record_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(state: Path, record: BootRecord) -> None:
        raise OSError(28, "No space left on device")

    async with open_empty_store(clock=lambda: 0.0) as store:
        second = await make_second(store, tmp_path)
        record = fail_trial(begin_trial(second, image(3), "boot", 10.0), "it fell", 0.0)
        write_record(tmp_path, record)
        await store.write(rollout.make_generation, Origin(release="r3", digest="d", python="/py", source="package"))
        await store.write(rollout.begin_trial, 3)
        monkeypatch.setattr(ledger, "write_record", refuse)
        await take_over_record(store, tmp_path, Handle(2), random.Random(1))
        assert (await store.read(generations.generation_by_id, 3)).reason == "it fell"
    assert read_record(tmp_path) == record


async def test_a_start_does_not_end_at_rows_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise make_disk_full_error()

    async with open_empty_store(clock=lambda: 0.0) as store:
        record = fail_trial(begin_trial(BootRecord(good=image(1)), image(2), "boot", 10.0), "it fell", 0.0)
        write_record(tmp_path, record)
        monkeypatch.setattr(store, "write_essential", refuse)
        await take_over_record(store, tmp_path, Handle(1), random.Random(1))
    # The next start takes it over.
    assert read_record(tmp_path) == record


@pytest.mark.parametrize("content", [None, b'{"format": 1, "go'])
async def test_a_record_that_is_lost_or_half_written_is_made_anew_of_what_runs(content: bytes | None, tmp_path: Path):
    async with open_empty_store(clock=lambda: 0.0) as store:
        await make_second(store, tmp_path)
        await store.write(rollout.make_generation, Origin(release="r3", digest="d", python="/py", source="package"))
        await store.write(rollout.begin_trial, 3)
        (tmp_path / "boot.json").unlink()
        if content is not None:
            (tmp_path / "boot.json").write_bytes(content)
        await take_over_record(store, tmp_path, Handle(2), random.Random(1), "the boot record cannot be read")
        row = await store.read(generations.generation_by_id, 3)
        # What was left for it just now waits, and whoever follows it is told.
        assert (row.state, row.reason) == (GenerationState.CANDIDATE, "the boot record cannot be read")
    assert read_record(tmp_path) == BootRecord(good=image(2))
