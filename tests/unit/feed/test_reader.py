"""A reader of a source: how far it goes ahead of those who follow it, and what it renders once for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ringmaster.agents.registry import BUILT_IN
from ringmaster.feed import position as positions
from ringmaster.feed.cursor import Source
from ringmaster.feed.figures import FeedFigures
from ringmaster.feed.position import Position
from ringmaster.feed.reader import AHEAD_BYTES, PIECE_BYTES, RING_BYTES, Origin, Reader, Renderer
from ringmaster.proc.inotify import open_watcher

LINE = b"one line of output that says nothing\n"
BURST = LINE * (4 * RING_BYTES // len(LINE))


class Follower:
    """Takes what it is told of when it is asked to; `is_stopped` it takes nothing."""

    def __init__(self, reader: Reader, offset: int) -> None:
        self.position = Position(reader, offset, is_ended=False)
        self._woken = trio.Event()
        reader.followers[self] = None

    def wake_source(self, source: Source) -> None:
        self._woken.set()

    async def take_until(self, offset: int) -> None:
        with trio.fail_after(20):
            while self.position.offset < offset:
                self._woken = trio.Event()
                if await self.position.next_piece() is None:
                    await self._woken.wait()


class Bench:
    """A reader of a file that a test writes."""

    def __init__(self, reader: Reader, path: Path, figures: FeedFigures) -> None:
        self.reader = reader
        self.figures = figures
        self._path = path

    def append(self, data: bytes) -> int:
        """Write behind what is there; the size of the file then."""
        with self._path.open("ab") as file:
            file.write(data)
        return self._path.stat().st_size

    async def settle(self) -> None:
        """Until the reader waits: for more, or for a follower."""
        await trio.testing.wait_all_tasks_blocked(0.02)


@asynccontextmanager
async def open_bench(place: Path) -> AsyncIterator[Bench]:
    source = Source("a-1/1", "agent", "stdout")
    attempt = place / "attempts" / "a-1" / "1"
    (attempt / source.job).mkdir(parents=True)
    path = attempt / source.job / source.channel
    path.touch()
    figures = FeedFigures()
    async with open_watcher() as watcher:
        origin = Origin(source=source, attempt_directory=attempt, agent=BUILT_IN["command"])
        reader = Reader(origin, watcher, figures, is_over=False)
        async with trio.open_nursery() as nursery:
            # `wait_ready` waits for it.
            nursery.start_soon(reader.run)  # noqa: ASYNC113
            await reader.wait_ready()
            yield Bench(reader, path, figures)
            nursery.cancel_scope.cancel()
        reader.close()


async def test_a_burst_is_rendered_once_for_all_who_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []
    make_renderer = Reader.make_renderer

    def count(reader: Reader, offset: int) -> Renderer:
        made.append(offset)
        return make_renderer(reader, offset)

    monkeypatch.setattr(Reader, "make_renderer", count)
    async with open_bench(tmp_path) as bench:
        followers = [Follower(bench.reader, 0) for _ in range(3)]
        size = bench.append(BURST)
        # All of it could have been read before any of them takes what is first.
        await bench.settle()
        async with trio.open_nursery() as nursery:
            for follower in followers:
                nursery.start_soon(follower.take_until, size)
        assert bench.figures.rendered_bytes == size
        # The reader's own: none of them had to read the file for itself.
        assert made == [0]


async def test_it_waits_for_its_foremost_follower(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        follower = Follower(bench.reader, 0)
        size = bench.append(BURST)
        await bench.settle()
        assert AHEAD_BYTES < bench.reader.end <= AHEAD_BYTES + PIECE_BYTES
        await follower.take_until(size)
        assert bench.reader.end == size


async def test_one_that_stops_keeps_no_other_from_what_is_new(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        Follower(bench.reader, 0)
        quick = Follower(bench.reader, 0)
        await quick.take_until(bench.append(BURST))
        await quick.take_until(bench.append(BURST))


async def test_one_that_begins_at_the_end_has_what_is_new_though_another_has_stopped(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        stopped = Follower(bench.reader, 0)
        size = bench.append(BURST)
        await bench.settle()
        begun = Follower(bench.reader, size)
        assert await begun.position.next_piece() is None
        size = bench.append(LINE)
        await begun.take_until(size)
        # The rest was not rendered only to be let go of.
        assert bench.figures.rendered_bytes < 2 * AHEAD_BYTES
        # And the one that had stopped finds all of it.
        await stopped.take_until(size)


async def test_one_that_is_too_far_behind_is_left_a_gap_though_nobody_is_ahead_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(positions, "BEHIND_BYTES", 2 * RING_BYTES)
    async with open_bench(tmp_path) as bench:
        follower = Follower(bench.reader, 0)
        await follower.take_until(bench.append(LINE))
        assert await follower.position.next_piece() is None
        size = bench.append(BURST)
        await bench.settle()
        gap = follower.position.find_gap()
        assert gap is not None
        assert (gap.offset, gap.next_offset) == (len(LINE), size)
        await follower.take_until(bench.append(LINE))
