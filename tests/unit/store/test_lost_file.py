"""A database that is deleted or replaced under the open store: what was answered is not gone with the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.store.lost_file import LostFileError
from ringmaster.store.thread import open_store
from tests.unit.store.schema import add_item, item_names, make_sql_dir


def delete_all(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        Path(f"{path}{part}").unlink()


def delete_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def delete_database(path: Path) -> None:
    path.unlink()


def replace_by_another(path: Path) -> None:
    (path.parent / "other").write_bytes(path.read_bytes())
    (path.parent / "other").rename(path)


async def lose(path: Path, sql_dir: Path, spoil: Callable[[Path], None]) -> str:
    """Write `a`, spoil the file, try to write `b`; what the daemon would have ended with."""
    async with open_store(path, sql_dir=sql_dir) as store:
        await store.write(add_item, "a")
        spoil(path)
        with pytest.raises(RingmasterError, match="the store has failed"):
            await store.write(add_item, "b")
        with pytest.raises(LostFileError) as told:
            await store.run_watch()
    return str(told.value)


async def names_in(path: Path, sql_dir: Path) -> list[str]:
    async with open_store(path, sql_dir=sql_dir) as store:
        names = await store.read(item_names)
        await store.write(add_item, "later")
        return names


@pytest.mark.parametrize("spoil", [delete_all, delete_log, delete_database])
async def test_what_was_deleted_is_written_anew_and_complete(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    sql_dir, path = make_sql_dir(tmp_path / "sql"), tmp_path / "a.db"
    assert "it is written anew, complete" in await lose(path, sql_dir, spoil)
    assert await names_in(path, sql_dir) == ["a"]


async def test_what_was_replaced_is_kept_beside_and_the_other_is_left_alone(tmp_path: Path) -> None:
    sql_dir, path = make_sql_dir(tmp_path / "sql"), tmp_path / "a.db"
    said = await lose(path, sql_dir, replace_by_another)
    assert said == f"{path} was replaced under the daemon; what it had is kept in {path}.saved"
    assert await names_in(Path(f"{path}.saved"), sql_dir) == ["a"]


async def test_files_that_stay_are_not_taken_for_lost(tmp_path: Path) -> None:
    sql_dir, path = make_sql_dir(tmp_path / "sql"), tmp_path / "a.db"
    async with open_store(path, sql_dir=sql_dir) as store, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(store.write, add_item, str(number))
    assert len(await names_in(path, sql_dir)) == 20
