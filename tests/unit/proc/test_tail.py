"""Following a file: exact offsets, whole lines, an end."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from ringmaster.proc.inotify import Changes, open_watcher
from ringmaster.proc.tail import Line, Mark, Tail, offset_at, open_tail, read_index

ENDED = trio.Event()
ENDED.set()


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


async def read_all(path: Path, offset: int, chunk_bytes: int, line_bytes: int) -> list[Line]:
    """Every line of a file that has ended, read in small chunks."""
    tail = Tail(path, offset, ENDED, Changes())
    whole_chunk = tail.next_chunk
    tail.next_chunk = lambda _=0: whole_chunk(chunk_bytes)  # type: ignore[method-assign,assignment]
    lines = []
    while line := await tail.next_line(line_bytes):
        lines.append(line)
    tail.close()
    return lines


async def test_lines_come_as_they_are_written_and_the_last_one_at_the_end(tmp_path):
    path, ended = tmp_path / "out", trio.Event()
    async with open_watcher() as watcher, open_tail(path, 0, ended, watcher=watcher) as tail:
        steps = [(b"one\ntw", Line(0, b"one", 4, True)), (b"o\nrest", Line(4, b"two", 8, True))]
        for data, expected in steps:
            async with trio.open_nursery() as nursery:
                got: list[Line | None] = []

                async def read(got: list[Line | None] = got) -> None:
                    got.append(await tail.next_line())

                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked()
                assert got == []
                append(path, data)
            assert got == [expected]
        ended.set()
        assert [line async for line in tail.lines()] == [Line(8, b"rest", 12, False)]


async def test_a_cancelled_read_loses_nothing(tmp_path):
    path = tmp_path / "out"
    append(path, b"a\nb")
    async with open_watcher() as watcher, open_tail(path, 0, trio.Event(), watcher=watcher) as tail:
        with trio.CancelScope() as scope:
            scope.cancel()
            await tail.next_line()
        assert await tail.next_line() == Line(0, b"a", 2, True)
        with trio.move_on_after(0):
            await tail.next_line()
        append(path, b"c\n")
        assert await tail.next_line() == Line(2, b"bc", 5, True)


async def test_what_was_written_before_the_end_was_told_is_read(tmp_path):
    path, ended = tmp_path / "out", trio.Event()
    async with open_watcher() as watcher, open_tail(path, 2, ended, watcher=watcher) as tail:
        append(path, b"0123456789")
        ended.set()
        chunks = [chunk async for chunk in tail.chunks()]
    assert b"".join(chunk.data for chunk in chunks) == b"23456789"
    assert (chunks[0].offset, chunks[-1].end) == (2, 10)


def watches():
    """How many watches the kernel holds for this process."""
    return sum(path.read_text().count("inotify wd:") for path in Path("/proc/self/fdinfo").iterdir() if path.exists())


async def test_two_tails_of_one_directory_share_a_watch(tmp_path):
    before = watches()
    async with open_watcher() as watcher:
        with watcher.watch(tmp_path) as first:
            with watcher.watch(tmp_path) as second:
                assert watches() == before + 1
                append(tmp_path / "out", b"x")
                await second.wait()
            await first.wait()
            append(tmp_path / "out", b"y")
            # The one that left has not taken the watch with it.
            await first.wait()
            assert watches() == before + 1
        assert watches() == before


@given(
    pieces=st.lists(st.binary(max_size=6), max_size=12),
    chunk_bytes=st.integers(1, 7),
    line_bytes=st.integers(1, 9),
    ends=st.booleans(),
)
def test_lines_do_not_depend_on_how_the_bytes_come(tmp_path_factory, pieces, chunk_bytes, line_bytes, ends):
    data = b"\n".join(pieces) + b"\n" * ends
    path = tmp_path_factory.mktemp("tail") / "out"
    path.write_bytes(data)
    lines = trio.run(read_all, path, 0, chunk_bytes, line_bytes)
    assert b"".join(line.data + b"\n" * line.is_complete for line in lines) == data
    assert [line.end for line in lines] == [line.offset for line in lines[1:]] + [len(data)] * bool(lines)
    # A reader that comes back with an `end` sees exactly the rest.
    for number, line in enumerate(lines):
        assert trio.run(read_all, path, line.end, chunk_bytes, line_bytes) == lines[number + 1 :]
    assert all(len(line.data) <= line_bytes for line in lines)


@pytest.mark.parametrize(
    ("since", "stdout", "stderr"), [(0.0, 0, 0), (9.9, 0, 0), (10.0, 5, 0), (11.5, 5, 0), (12.0, 9, 3), (99.0, 9, 3)]
)
def test_a_time_leads_to_an_offset_that_is_never_too_late(tmp_path, since, stdout, stderr):
    index = tmp_path / "index"
    index.write_text("10.000 5 0\n12.000 9 3\n13.0 1")
    assert read_index(index) == [Mark(10.0, 5, 0), Mark(12.0, 9, 3)]
    assert offset_at(index, since) == stdout
    assert offset_at(index, since, "stderr") == stderr
    assert offset_at(tmp_path / "none", since) == 0
