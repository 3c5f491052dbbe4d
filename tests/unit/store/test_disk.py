from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw

from ringmaster.store.disk import Reserve, is_disk_full
from tests.unit.store.schema import make_sql_dir


def test_the_reserve_holds_real_blocks_and_gives_them_back(tmp_path: Path):
    path = tmp_path / "reserve"
    reserve = Reserve(path, 100_000)
    assert reserve.restore()
    assert path.stat().st_blocks * 512 >= 100_000
    assert reserve.restore()
    reserve.release()
    assert not path.exists()
    reserve.release()


def make_io_error(code: int) -> apsw.IOError:
    error: Any = apsw.IOError()
    error.extendedresult = code
    return error


def test_only_a_lack_of_room_is_a_full_disk():
    assert is_disk_full(apsw.FullError())
    assert is_disk_full(make_io_error(apsw.SQLITE_IOERR_WRITE))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(make_io_error(apsw.SQLITE_IOERR_READ))
    assert not is_disk_full(apsw.BusyError())
    assert not is_disk_full(OSError(errno.EACCES, "no"))


# Runs with `state` on a tmpfs of 4 MB, of which 1 MB is the reserve.
FULL = """
import sys
from pathlib import Path
import trio
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.thread import open_store
from tests.unit.store.schema import add_item, event_seqs, item_names

state, sql_dir = Path(sys.argv[1]), Path(sys.argv[2])
told = []

def note(conn, name, size):
    conn.execute("INSERT INTO items (name, value) VALUES (?, ?)", (name + "x" * size, 0))
    conn.emit("item.added", task_id=name)

def fill():
    with (state / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass

async def refused(call, *args):
    try:
        await call(*args)
    except RingmasterError as error:
        assert error.kind is ErrorKind.DISK_FULL and error.is_retryable, error
        return True
    return False

async def main():
    open_it = lambda: open_store(
        state / "a.db", sql_dir=sql_dir, on_degraded=told.append, reserve_bytes=1 << 20
    )
    async with open_it() as store:
        await store.write(add_item, "before")
        fill()
        written = 0
        while not await refused(store.write, note, str(written), 2000):
            written += 1
        assert store.is_degraded and told == [True], told
        assert not (state / "reserve").exists()
        # A batch with both kinds: only the essential ones are made.
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(refused, store.write, add_item, f"new-{number}")
                nursery.start_soon(store.write_essential, add_item, f"outcome-{number}")
        names = await store.read(item_names)
        assert len([name for name in names if name.startswith("outcome-")]) == 20
        assert not any(name.startswith("new-") for name in names)
        assert len(names) == written + 21
        fill()
        assert not await store.probe_disk()
    async with open_it() as store:
        assert store.is_degraded
        assert await refused(store.write, add_item, "refused")
        (state / "filler").unlink()
        assert await store.probe_disk() and not store.is_degraded
        await store.write(add_item, "after")
        names = await store.read(item_names)
        assert "after" in names and "before" in names and "refused" not in names
        seqs = await store.read(event_seqs)
        assert seqs == list(range(1, len(names) + 1))
    assert told == [True, False], told

trio.run(main)
"""


def test_a_full_disk_is_a_state_in_which_outcomes_are_still_written(tmp_path: Path, tmpfs_command: list[str]):
    sql_dir = make_sql_dir(tmp_path / "sql")
    command = [*tmpfs_command, sys.executable, "-c", FULL, str(tmp_path / "state"), str(sql_dir)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stderr
    assert "the disk is full: new work is refused" in result.stderr
