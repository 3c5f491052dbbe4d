"""A copy of the database that is whole whatever happens, and a look that finds what is wrong."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.copying import copy_database, examine_database
from ringmaster.store.migrate import load_migrations, open_database
from ringmaster.store.queries import find_sql_dir
from tests.unit.store.schema import make_sql_dir

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with the real schema, closed."""
    path = tmp_path / "a.db"
    db = open_database(path, load_migrations(find_sql_dir()))
    db.close()
    return path


def count(path: Path, table: str) -> int:
    db = apsw.Connection(str(path))
    try:
        return int(str(db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]))
    finally:
        db.close()


def write_items(db: apsw.Connection, number: int) -> None:
    for _ in range(number):
        db.execute("INSERT INTO items (name, value) VALUES (hex(randomblob(8)), 1)").fetchall()


@pytest.fixture
def open_items(tmp_path: Path):
    """A database under a writer, with what it wrote last only in its log."""
    path = tmp_path / "b.db"
    db = open_database(path, load_migrations(make_sql_dir(tmp_path / "sql")))
    write_items(db, 3)
    yield path, db
    db.close()


def test_a_copy_of_a_database_in_use_holds_what_was_committed(open_items, tmp_path):
    path, db = open_items
    db.execute("BEGIN IMMEDIATE").fetchall()
    write_items(db, 5)
    made = copy_database(path, tmp_path / "copy.db")
    db.execute("COMMIT").fetchall()
    assert count(tmp_path / "copy.db", "items") == 3
    assert (made.path, made.bytes) == (str(tmp_path / "copy.db"), (tmp_path / "copy.db").stat().st_size)
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600, "it holds tokens and prompts"
    # The writer's locks are untouched by it, and so is its database.
    write_items(db, 1)
    assert count(path, "items") == 9
    assert sorted(found.name for found in tmp_path.glob("copy*")) == ["copy.db"]


def test_a_copy_can_be_put_in_its_place(database, tmp_path):
    copy_database(database, tmp_path / "copy.db")
    open_database(tmp_path / "copy.db", load_migrations(find_sql_dir())).close()
    assert examine_database(tmp_path / "copy.db").problems == ()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_overwritten(database, tmp_path, kind):
    target = tmp_path / "precious"
    if kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RingmasterError) as refused:
        copy_database(database, target)
    assert refused.value.kind is ErrorKind.CONFLICT
    assert target.read_text() == "mine" if kind == "file" else target.is_symlink()


def test_a_copy_that_another_one_writes_is_left_to_it(database, tmp_path):
    partial = tmp_path / "copy.db.partial"
    with open(partial, "w") as other:
        other.write("half")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RingmasterError) as refused:
            copy_database(database, tmp_path / "copy.db")
    assert (refused.value.kind, "by another copy" in refused.value.message) == (ErrorKind.CONFLICT, True)
    assert (partial.read_text(), (tmp_path / "copy.db").exists()) == ("half", False)


@pytest.mark.parametrize("has_links", [True, False])
def test_nothing_is_overwritten_that_came_meanwhile(database, tmp_path, monkeypatch, has_links):
    target = tmp_path / "copy.db"
    link = os.link

    def come_first(source: Path, place: Path) -> None:
        place.write_text("mine")
        if not has_links:
            raise OSError(errno.EPERM, "no links here")
        link(source, place)

    monkeypatch.setattr(os, "link", come_first)
    with pytest.raises(RingmasterError) as refused:
        copy_database(database, target)
    assert refused.value.kind is ErrorKind.CONFLICT
    assert target.read_text() == "mine"
    assert not list(tmp_path.glob("*.partial"))


def test_a_file_system_without_links_takes_a_copy_too(database, tmp_path, monkeypatch):
    def refuse(source: Path, place: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    copy_database(database, tmp_path / "copy.db")
    assert examine_database(tmp_path / "copy.db").problems == ()
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_killed_copy_left_is_no_obstacle(database, tmp_path):
    (tmp_path / "copy.db.partial").write_text("half")
    copy_database(database, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db.partial").exists()


@pytest.mark.parametrize(
    ("source", "target", "kind"),
    [
        ("none.db", "copy.db", ErrorKind.NOT_FOUND),
        ("a.db", "no/such/place.db", ErrorKind.USAGE),
        ("text.db", "copy.db", ErrorKind.INTERNAL),
        ("other.db", "copy.db", ErrorKind.REFUSED),
    ],
)
def test_what_cannot_be_copied_is_said_in_words_and_leaves_nothing(database, tmp_path, source, target, kind):
    (tmp_path / "text.db").write_text("no database at all, but some text\n" * 100)
    other = apsw.Connection(str(tmp_path / "other.db"))
    other.execute("CREATE TABLE t (x)").fetchall()
    other.close()
    with pytest.raises(RingmasterError) as refused:
        copy_database(tmp_path / source, tmp_path / target)
    assert refused.value.kind is kind, refused.value.message
    assert not (tmp_path / target).exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_whole_database_has_no_problems(database):
    found = examine_database(database)
    assert found.problems == ()
    assert found.schema == found.known_schema == len(load_migrations(find_sql_dir()))
    assert found.bytes == database.stat().st_size


def test_a_reference_to_nothing_is_found(tmp_path):
    sql_dir = make_sql_dir(tmp_path / "sql")
    db = open_database(tmp_path / "a.db", load_migrations(sql_dir))
    db.pragma("foreign_keys", False)
    db.execute("INSERT INTO parts (id, item) VALUES (7, 'nothing')").fetchall()
    db.close()
    assert examine_database(tmp_path / "a.db", sql_dir).problems == (
        "row 7 of parts refers to a row of items that is not there",
    )


def test_a_damaged_page_is_found(database):
    with database.open("r+b") as file:
        file.seek(database.stat().st_size // 2 // 4096 * 4096)
        file.write(os.urandom(8192))
    found = examine_database(database)
    assert found.problems


def test_a_database_of_newer_code_is_named(tmp_path):
    sql_dir = make_sql_dir(tmp_path / "sql")
    db = open_database(tmp_path / "a.db", load_migrations(sql_dir))
    db.execute("UPDATE meta SET value = '99' WHERE key = 'min_code_schema'").fetchall()
    db.close()
    assert examine_database(tmp_path / "a.db", sql_dir).problems == (
        "it needs a version that knows schema 99; this one knows 1",
    )


def test_the_program_answers_in_json(database, tmp_path):
    def run(*words: str) -> tuple[int, Any]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ringmaster.store.copying", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    code, found = run("check", str(database))
    assert (code, found["problems"]) == (0, [])
    code, made = run("backup", str(database), str(tmp_path / "copy.db"))
    assert (code, made["path"]) == (0, str(tmp_path / "copy.db"))
    code, refused = run("backup", str(database), str(tmp_path / "copy.db"))
    assert (code, refused["error"]["kind"]) == (1, "conflict")


def test_what_is_no_database_is_refused_with_the_way_out(tmp_path: Path):
    path = tmp_path / "ringmaster.db"
    path.write_bytes(b"notes of somebody\n" * 100)
    with pytest.raises(RingmasterError, match="is not a database") as told:
        examine_database(path)
    assert told.value.hint == "move it away, and put a backup in its place; without one a start begins anew"
