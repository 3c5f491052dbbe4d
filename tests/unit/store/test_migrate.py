from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.migrate import (
    MigrationFileError,
    Schema,
    load_migrations,
    open_database,
    read_schema,
)
from ringmaster.store.queries import find_sql_dir
from tests.unit.store.schema import RUN_AND_COUNT, make_sql_dir

ADD_COLUMN = "ALTER TABLE items ADD COLUMN color TEXT NOT NULL DEFAULT '';\nCREATE INDEX i ON items (color);"
ADD_TABLE = "CREATE TABLE extra (id INTEGER PRIMARY KEY) STRICT;\nINSERT INTO extra VALUES (1);"


def open_with(path: Path, sql_dir: Path) -> apsw.Connection:
    return open_database(path, load_migrations(sql_dir))


def table_names(db: apsw.Connection) -> list[str]:
    return [str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]


def test_an_empty_state_gets_the_whole_schema(tmp_path: Path):
    db = open_with(tmp_path / "a.db", make_sql_dir(tmp_path / "sql", ADD_TABLE))
    assert table_names(db) == ["events", "extra", "items", "meta", "parts"]
    assert read_schema(db) == Schema(2, 0)
    assert [db.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 2, 1]
    db.close()
    assert not list(tmp_path.glob("a.db.*"))


def test_an_existing_database_is_copied_and_brought_up_once(tmp_path: Path):
    path, lines = tmp_path / "a.db", list[str]()
    db = open_with(path, make_sql_dir(tmp_path / "sql"))
    db.execute("INSERT INTO items VALUES ('a', 1)")
    db.close()
    migrations = load_migrations(make_sql_dir(tmp_path / "sql", ADD_COLUMN, ADD_TABLE))
    for _ in range(2):
        db = open_database(path, migrations, lines.append)
        assert db.execute("SELECT name, color FROM items").fetchall() == [("a", "")]
        assert read_schema(db) == Schema(3, 0)
        db.close()
    assert lines == ["copying the database to a.db.before-0002", "migration 0002 step", "migration 0003 step"]
    copy = open_with(tmp_path / "a.db.before-0002", make_sql_dir(tmp_path / "old"))
    assert copy.execute("SELECT * FROM items").fetchall() == [("a", 1)]
    copy.close()


def test_a_migration_that_fails_leaves_the_schema_before_it(tmp_path: Path):
    path = tmp_path / "a.db"
    sql_dir = make_sql_dir(
        tmp_path / "sql", ADD_TABLE, "CREATE TABLE more (id INTEGER);\nINSERT INTO extra VALUES (1);"
    )
    with pytest.raises(apsw.ConstraintError):
        open_with(path, sql_dir)
    db = open_with(path, make_sql_dir(tmp_path / "good", ADD_TABLE))
    assert read_schema(db) == Schema(2, 0)
    assert "more" not in table_names(db)
    db.close()


@pytest.mark.parametrize(
    "sql", ["DROP TABLE items;", "ALTER TABLE items RENAME TO things;", "DELETE FROM items;", "PRAGMA x = 1;"]
)
def test_a_migration_that_takes_away_is_refused(tmp_path: Path, sql: str):
    with pytest.raises(MigrationFileError, match="not additive"):
        load_migrations(make_sql_dir(tmp_path, f"-- a note\n{sql}"))


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path):
    make_sql_dir(tmp_path, ADD_TABLE, ADD_COLUMN)
    (tmp_path / "migrations" / "0002_step.sql").unlink()
    with pytest.raises(MigrationFileError, match="migration 0002 is missing"):
        load_migrations(tmp_path)


def test_older_code_goes_on_with_a_newer_schema_unless_it_says_otherwise(tmp_path: Path):
    path, old = tmp_path / "a.db", make_sql_dir(tmp_path / "old")
    open_with(path, make_sql_dir(tmp_path / "new", ADD_COLUMN)).close()
    db = open_with(path, old)
    assert read_schema(db) == Schema(2, 0)
    db.close()
    open_with(path, make_sql_dir(tmp_path / "new", ADD_COLUMN, f"-- min_code_schema: 3\n{ADD_TABLE}")).close()
    before = path.read_bytes()
    with pytest.raises(RingmasterError, match="written by newer code: it needs schema 3, this code knows 1") as caught:
        open_with(path, old)
    assert caught.value.kind is ErrorKind.REFUSED
    assert path.read_bytes() == before


def make_foreign(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs (a)").fetchall()
    db.close()


def make_garbage(path: Path) -> None:
    path.write_bytes(b"This is not a database, but somebody's notes.\n" * 100)


def make_short(path: Path) -> None:
    path.write_bytes(b"SQLite")


def make_truncated(path: Path) -> None:
    open_with(path, find_sql_dir()).close()
    path.write_bytes(path.read_bytes()[:10_000])


def make_scribbled(path: Path) -> None:
    open_with(path, find_sql_dir()).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * 4000 + whole[4100:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_foreign, "is a database of another program"),
        (make_garbage, "is not a database"),
        (make_short, "is not a database"),
        (make_truncated, "is damaged"),
        (make_scribbled, "is damaged"),
    ],
)
def test_a_file_that_is_not_ours_or_not_whole_is_refused_and_left_alone(tmp_path: Path, make, message: str):
    path = tmp_path / "a.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(RingmasterError, match=message) as caught:
        open_with(path, make_sql_dir(tmp_path / "sql"))
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert path.read_bytes() == before


def test_a_directory_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(RingmasterError, match="cannot open the state directory"):
        open_with(tmp_path / "none" / "a.db", make_sql_dir(tmp_path / "sql"))


OPEN = (
    """
import sys
from pathlib import Path
from ringmaster.store import migrate

path, sql_dir, stop_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
"""
    + RUN_AND_COUNT
    + """
migrate.run_script = run_and_count
print("ready", flush=True)
sys.stdin.readline()
migrate.open_database(path, migrate.load_migrations(sql_dir)).close()
print("opened", flush=True)
"""
)


def start_opening(path: Path, sql_dir: Path, stop_at: int = 0) -> subprocess.Popen[str]:
    """A process that opens the database once it is told to, and stops after so many statements."""
    command = [sys.executable, "-c", OPEN, str(path), str(sql_dir), str(stop_at)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_a_kill_in_the_middle_leaves_a_database_that_opens(tmp_path: Path):
    sql_dir = make_sql_dir(tmp_path / "sql", ADD_COLUMN, ADD_TABLE)
    for stop_at in range(1, 10):
        path = tmp_path / f"{stop_at}.db"
        with start_opening(path, sql_dir, stop_at) as process:
            assert read_line(process) == "ready"
            tell(process)
            assert read_line(process) == "stopped"
            process.send_signal(signal.SIGKILL)
        db = open_with(path, sql_dir)
        assert read_schema(db) == Schema(3, 0)
        assert db.execute("SELECT * FROM extra").fetchall() == [(1,)]
        db.close()


def test_eight_at_once_on_an_empty_state_end_with_one_whole_schema(tmp_path: Path):
    path, sql_dir = tmp_path / "a.db", find_sql_dir()
    processes = [start_opening(path, sql_dir) for _ in range(8)]
    for process in processes:
        assert read_line(process) == "ready"
    for process in processes:
        tell(process)
    for process in processes:
        with process:
            assert read_line(process) == "opened"
    db = open_with(path, sql_dir)
    assert read_schema(db).schema == len(load_migrations(sql_dir))
    assert db.pragma("integrity_check") == "ok"
    db.close()
