"""The migrations of another release under a store that is open: both stores, what is refused, and a kill meanwhile."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import apsw
import pytest
import trio
import trio.testing

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import ProjectConfig
from ringmaster.store import projects, versions
from ringmaster.store.connection import Connection
from ringmaster.store.inline import open_inline_store
from ringmaster.store.instance import ensure_instance_id
from ringmaster.store.migrate import Schema, load_migrations, open_database, read_schema
from ringmaster.store.queries import find_sql_dir
from ringmaster.store.thread import BATCH_LIMIT_S, open_store
from tests.unit.store.schema import RUN_AND_COUNT, add_item, item_names, make_sql_dir

ADD_COLUMN = "ALTER TABLE items ADD COLUMN color TEXT NOT NULL DEFAULT '';"
ADD_TABLE = "CREATE TABLE extra (id INTEGER PRIMARY KEY) STRICT;\nINSERT INTO extra VALUES (1);"
KINDS: dict[str, Any] = {"thread": open_store, "inline": open_inline_store}


class Place:
    """A database, and the sql directories of releases."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.path = directory / "state" / "a.db"
        self.path.parent.mkdir()
        self.sql_dir = make_sql_dir(directory / "running")

    def open(self, **more: Any) -> Any:
        return KINDS[self.kind](self.path, sql_dir=self.sql_dir, clock=lambda: 1.0, **more)

    def release(self, name: str, *later: str) -> Path:
        return make_sql_dir(self.directory / name, *later)

    def look(self) -> Schema:
        db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return read_schema(db)
        finally:
            db.close()

    def copies(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir() if "before" in path.name)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


def color_of(conn: Connection, name: str) -> str:
    return str(conn.value("SELECT color FROM items WHERE name = ?", (name,)))


async def test_the_running_code_goes_on_with_the_schema_of_the_next(place: Place):
    next_dir = place.release("next", ADD_COLUMN, ADD_TABLE)
    async with place.open() as store:
        await store.write(add_item, "before")
        assert await store.read(item_names) == ["before"]
        await store.migrate(next_dir)
        assert place.look() == Schema(3, 0)
        # Statements that were prepared before, on both connections, and those that only the newer schema knows.
        await store.write(add_item, "after")
        assert await store.read(item_names) == ["after", "before"]
        assert await store.write(color_of, "after") == ""
        # Once more, and what an older release has: nothing to do, and no copy.
        await store.migrate(next_dir)
        await store.migrate(place.sql_dir)
        assert place.copies() == ["a.db.before-0002"]
    copy = open_database(place.path.parent / "a.db.before-0002", load_migrations(place.sql_dir))
    assert copy.execute("SELECT * FROM items").fetchall() == [("before", 0)]
    copy.close()
    # A rollback starts the older code on what is there now.
    async with place.open() as store:
        assert await store.read(item_names) == ["after", "before"]
        await store.write(add_item, "rolled back")
    assert place.look() == Schema(3, 0)


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (("DROP TABLE items;",), "not additive: DROP TABLE items"),
        ((ADD_TABLE, "ALTER TABLE items DROP COLUMN value;"), "not additive: ALTER TABLE items DROP COLUMN value"),
        (
            (ADD_TABLE, f"-- min_code_schema: 3\n{ADD_COLUMN}"),
            "migration 0003 step is not additive: it needs code that knows 3 migrations, and what runs knows 1",
        ),
    ],
)
async def test_what_is_not_additive_is_refused_and_changes_nothing(place: Place, later: tuple[str, ...], message: str):
    async with place.open() as store:
        with pytest.raises(RingmasterError, match=message) as caught:
            await store.migrate(place.release("next", *later))
        assert caught.value.kind is ErrorKind.REFUSED
        assert place.look() == Schema(1, 0)
        assert place.copies() == []
        await store.write(add_item, "a")


async def test_another_migration_under_a_number_that_ran_is_refused(place: Place):
    taken_back = place.release("taken-back", ADD_TABLE)
    async with place.open() as store:
        await store.migrate(taken_back)
        # Comments and blanks are no difference.
        await store.migrate(place.release("same", f"-- why\n{ADD_TABLE.replace(' ', '  ')}", ADD_COLUMN))
        assert place.look() == Schema(3, 0)
        with pytest.raises(RingmasterError, match="migration 0002 step is not the one that ran on this database"):
            await store.migrate(
                place.release("mended", "CREATE TABLE other (id INTEGER) STRICT;", ADD_COLUMN, ADD_TABLE)
            )
        # The running code's own are known without a note in the database.
        edited = place.release("edited", ADD_TABLE)
        base = edited / "migrations" / "0001_step.sql"
        base.write_text(base.read_text().replace("value >= 0", "value > 0"))
        with pytest.raises(RingmasterError, match="migration 0001 step is not the one that ran"):
            await store.migrate(edited)


async def test_a_step_that_the_data_do_not_allow_leaves_the_whole_ones_before_it(place: Place):
    next_dir = place.release("next", ADD_COLUMN, "CREATE UNIQUE INDEX u ON items (value);")
    async with place.open() as store:
        await store.write(add_item, "a")
        await store.write(add_item, "b")
        with pytest.raises(
            RingmasterError, match="migration 0003 step cannot be carried out on this database"
        ) as caught:
            await store.migrate(next_dir)
        assert (caught.value.kind, caught.value.hint) == (ErrorKind.REFUSED, "the schema stays at 2")
        assert place.look() == Schema(2, 0)
        await store.write(add_item, "c")


async def test_a_closed_store_refuses(place: Place):
    async with place.open() as store:
        pass
    with pytest.raises(RingmasterError, match="stopping"):
        await store.migrate(place.sql_dir)


async def test_writes_go_on_during_the_copy_and_a_long_migration_is_no_stuck_batch(
    tmp_path: Path, mock_clock: trio.testing.MockClock
):
    place, ends, told = Place("thread", tmp_path), list[str](), list[str]()
    begun = {word: trio.Event() for word in ("copying", "migration")}
    go_on = {word: threading.Event() for word in begun}
    token = trio.lowlevel.current_trio_token()

    def on_progress(words: str) -> None:
        word = words.partition(" ")[0]
        told.append(words)
        if words != "migration 0001 step":
            token.run_sync_soon(begun[word].set)
            go_on[word].wait()

    def end_process(reason: str) -> NoReturn:
        ends.append(reason)
        raise SystemExit

    async with (
        place.open(on_progress=on_progress, end_process=end_process) as store,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(store.run_watch)
        async with trio.open_nursery() as calls:
            calls.start_soon(store.migrate, place.release("next", ADD_TABLE))
            await begun["copying"].wait()
            await store.write(add_item, "a")
            go_on["copying"].set()
            await begun["migration"].wait()
            calls.start_soon(store.write, add_item, "b")
            for _ in range(10):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(BATCH_LIMIT_S)
            assert await store.read(item_names) == ["a"]
            go_on["migration"].set()
        assert await store.read(item_names) == ["a", "b"]
        nursery.cancel_scope.cancel()
    assert ends == []
    assert told == ["migration 0001 step", "copying the database to a.db.before-0002", "migration 0002 step"]


BEFORE_GENERATIONS = 5


async def test_the_releases_own_migrations_can_be_run_under_the_code_before_them(tmp_path: Path):
    """Each from 0006 on, until one says by `min_code_schema` that the code before it cannot go on."""
    own = find_sql_dir()
    old = tmp_path / "old"
    (old / "migrations").mkdir(parents=True)
    for migration in sorted((own / "migrations").glob("*.sql"))[:BEFORE_GENERATIONS]:
        shutil.copy(migration, old / "migrations")
    path = tmp_path / "a.db"
    async with open_store(path, sql_dir=old) as store:
        instance_id = await store.write(ensure_instance_id, "i-1")
        await store.migrate(own)
        await store.write(add_project)
    # Rolled back, and a start of the code that has never heard of what is there.
    async with open_store(path, sql_dir=old) as store:
        assert await store.write(ensure_instance_id, "i-2") == instance_id
        await store.write(take_note)
        assert (await store.read(versions.read_versions))[0] == len(load_migrations(own))


def add_project(conn: Connection) -> None:
    projects.insert_project(conn, id="toy", path="/toy", common_dir="/toy/.git", target="main", config=ProjectConfig())


def take_note(conn: Connection) -> None:
    conn.emit("project.edited", project_id=projects.project_by_id(conn, "toy").id)


MIGRATE = (
    """
import sys
from pathlib import Path
import trio
from ringmaster.store import migrate
from ringmaster.store.thread import open_store

path, running, after, stop_at = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
"""
    + RUN_AND_COUNT
    + """
async def main():
    async with open_store(path, sql_dir=running) as store:
        migrate.run_script = run_and_count
        await store.migrate(after)

trio.run(main)
"""
)


def test_a_kill_at_each_statement_leaves_a_whole_schema_for_old_and_new_code(tmp_path: Path):
    running = make_sql_dir(tmp_path / "running")
    after = make_sql_dir(tmp_path / "next", ADD_COLUMN, ADD_TABLE)
    for stop_at in range(1, 6):
        path = tmp_path / str(stop_at) / "a.db"
        path.parent.mkdir()
        command = [sys.executable, "-c", MIGRATE, str(path), str(running), str(after), str(stop_at)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "stopped\n"
            process.send_signal(signal.SIGKILL)
        for sql_dir in (running, after):
            db = open_database(path, load_migrations(sql_dir))
            assert db.pragma("integrity_check") == "ok"
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
            assert ("extra" in tables) == (read_schema(db).schema == 3)
            db.close()
        assert read_back(path) == Schema(3, 0)


def read_back(path: Path) -> Schema:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return read_schema(db)
    finally:
        db.close()
