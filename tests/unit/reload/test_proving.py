"""The end of a trial: a release that is well does not fail because its boot record cannot be written just then."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ringmaster.model.generation import GenerationState, Origin
from ringmaster.queue import rollout
from ringmaster.reload import proving
from ringmaster.reload.boot_record import BootRecord, Image, begin_trial, read_record, write_record
from ringmaster.reload.proving import Proving
from ringmaster.store import generations
from ringmaster.store.connection import Connection
from ringmaster.store.inline import InlineStore
from tests.fakes.empty_store import open_empty_store

FIRST, SECOND = (Image(number, f"r{number}", "d", "/py") for number in (1, 2))
RECORD = begin_trial(BootRecord(good=FIRST), SECOND, "boot", 10.0)


class Handle:
    """The second generation, on trial; counts the signs of life."""

    version, generation, release, root, is_trial, handoff_fd = 1, 2, "", "", True, -1

    def __init__(self) -> None:
        self.beats = 0

    def beat(self) -> None:
        """The loop lives."""
        self.beats += 1

    def disarm(self) -> None:
        """It has proved itself, or is not to."""
        self.is_trial = False

    def take_handoff(self) -> int:
        """There is none."""
        return -1


class Disk:
    """Where the record is written: full until there is room, and `tried` says when it was found full twice."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        self.tries = 0
        self.tried = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        monkeypatch.setattr(proving, "write_record", self.write)
        monkeypatch.setattr(proving, "AGAIN_S", 0.0)

    def write(self, state: Path, record: BootRecord) -> None:
        """As `write_record`."""
        if not self.is_full:
            write_record(state, record)
            return
        self.tries += 1
        if self.tries == 2:
            self._token.run_sync_soon(self.tried.set)
        raise OSError(28, "No space left on device")


def make_rows(conn: Connection) -> None:
    origin = Origin(release="r1", digest="d", python="/py", source="package")
    rollout.ensure_generation(conn, 1, origin)
    rollout.make_generation(conn, Origin(release="r2", digest="d", python="/py", source="package"))
    rollout.begin_trial(conn, 2)


async def is_well() -> str:
    await trio.lowlevel.checkpoint()
    return ""


async def state_of(store: InlineStore) -> GenerationState:
    return (await store.read(generations.generation_by_id, 2)).state


async def test_a_release_that_is_well_waits_on_trial_until_it_can_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    handle, disk = Handle(), Disk(monkeypatch)
    write_record(tmp_path, RECORD)
    async with open_empty_store(clock=lambda: 0.0) as store:
        await store.write(make_rows)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                trial = Proving(store, tmp_path, handle)
                said: list[str] = []

                async def prove() -> None:
                    said.append(await trial.run(handle, is_well, lambda step: None))

                nursery.start_soon(prove)
                await disk.tried.wait()
                assert (said, handle.is_trial, await state_of(store)) == ([], True, GenerationState.TRIAL)
                assert handle.beats > 1
                disk.is_full = False
        assert (said, handle.is_trial, await state_of(store)) == ([""], False, GenerationState.GOOD)
    assert read_record(tmp_path) == BootRecord(good=SECOND, before=FIRST)


async def test_a_stop_does_not_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    handle, disk = Handle(), Disk(monkeypatch)
    write_record(tmp_path, RECORD)
    async with open_empty_store(clock=lambda: 0.0) as store:
        await store.write(make_rows)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                trial = Proving(store, tmp_path, handle)
                nursery.start_soon(trial.run, handle, is_well, lambda step: None)
                await disk.tried.wait()
                await trial.withdraw()
                nursery.cancel_scope.cancel()
        assert await state_of(store) is GenerationState.TRIAL
    assert not handle.is_trial
