"""A machine short of memory or disk: nothing is given out, somebody looks again by a timer, and it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ringmaster.bus import Wakeup
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.queue.claim import Claim
from ringmaster.queue.obstacles import House, of_house
from ringmaster.settings import Paths, RoomSettings, Settings
from ringmaster.workers import dispatcher, room
from ringmaster.workers.dispatcher import Vacancy, run_dispatcher
from ringmaster.workers.surroundings import Surroundings
from tests.unit.queue.making import Queue, open_queue

GIB = 1 << 30


def surroundings(tmp_path: Path, queue: Queue, **settings: int) -> Surroundings:
    bus: Any = None
    return Surroundings(
        store=queue.store,
        bus=bus,
        paths=Paths(name="t", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c"),
        settings=Settings(room=RoomSettings(**settings)),
        instance_id="i",
        now=lambda: queue.clock.now,
    )


class Memory:
    """What the kernel says, and how often it was asked."""

    def __init__(self, path: Path, available_kib: int) -> None:
        self.path = path
        self.looks = 0
        self.set(available_kib)

    def set(self, available_kib: int) -> None:
        self.path.write_text(f"MemTotal: 99 kB\nMemAvailable:   {available_kib} kB\n")

    def read_text(self) -> str:
        self.looks += 1
        return self.path.read_text()


async def test_nothing_is_given_out_short_of_memory_and_it_is_looked_at_again_by_a_timer(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
):
    memory = Memory(tmp_path / "meminfo", 1024)
    monkeypatch.setattr(room, "MEMINFO", memory)
    async with open_queue() as queue:
        sur = surroundings(tmp_path, queue, memory_bytes=GIB)
        await queue.add_task()
        await queue.add_worker()
        claims: list[Claim] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_dispatcher, sur, Wakeup(), Vacancy(), claims.append, lambda: False)
            await trio.sleep(10.5 * dispatcher.ROOM_RETRY_S)
            assert claims == []
            assert memory.looks == 11, "once for each time the timer is over"
            with pytest.raises(RingmasterError) as raised:
                room.refuse_without_means(sur)
            assert raised.value.kind is ErrorKind.REFUSED
            memory.set(2 * 1024 * 1024)
            await trio.sleep(2 * dispatcher.ROOM_RETRY_S)
            nursery.cancel_scope.cancel()
        assert len(claims) == 1


def test_each_shortage_is_named_with_what_is_there_and_what_is_wanted() -> None:
    short = House(memory_bytes=0.5 * GIB, memory_needed=GIB, disk_bytes=0, disk_needed=GIB)
    assert [found.words for found in room.shortages(short)] == [
        "0 MiB of disk are free where agents work, less than the 1,024 MiB of [room] disk_bytes: free some, or",
        "512 MiB of memory are available, less than the 1,024 MiB of [room] memory_bytes: nothing is given out until"
        " there is more",
    ]
    assert not list(of_house(House(memory_bytes=GIB, memory_needed=GIB, disk_bytes=GIB, disk_needed=GIB)))


async def test_what_is_set_to_nothing_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    memory = Memory(tmp_path / "meminfo", 0)
    monkeypatch.setattr(room, "MEMINFO", memory)
    async with open_queue() as queue:
        house = room.look_at_house(surroundings(tmp_path, queue, memory_bytes=0, disk_bytes=0))
    assert memory.looks == 0
    assert room.shortages(house) == ()


def test_a_kernel_that_does_not_say_holds_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MEMINFO", tmp_path / "absent")
    assert room.available_memory() == float("inf")
