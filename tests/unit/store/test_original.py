from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.inline import open_inline_store
from ringmaster.store.original import OldProject, read_original
from tests.fakes.original import SHOP, make_original, make_row


def refusal(path: Path) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        read_original(path)
    assert "\n" not in caught.value.message
    return caught.value


def tree_of(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


@pytest.mark.parametrize("is_logged", [False, True])
def test_everything_is_read_and_the_file_stays_as_it_is(tmp_path, is_logged):
    rows = (make_row("bd-2"), make_row("bd-1", title="ünï"))
    path = make_original(tmp_path / "old #1.db", *rows, after=(("bd-1", "bd-2"),), is_logged=is_logged)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    found = read_original(path)
    assert [row["id"] for row in found.tasks] == ["bd-2", "bd-1"]
    assert found.tasks[1] == rows[1]
    assert found.projects == (OldProject(SHOP, "Shop", ""),)
    assert found.dependencies == (("bd-1", "bd-2"),)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_nothing_is_left_beside_it(tmp_path):
    path = make_original(tmp_path / "old.db", make_row("bd-1"))
    before = tree_of(tmp_path)
    read_original(path)
    assert tree_of(tmp_path) == before


def test_what_is_no_such_database_is_refused_in_one_line(tmp_path):
    assert refusal(tmp_path / "gone.db").kind is ErrorKind.NOT_FOUND
    assert refusal(tmp_path).kind is ErrorKind.NOT_FOUND
    path = tmp_path / "x.db"
    path.write_text("id,title\n" * 1000)
    assert (refusal(path).kind, "no database of the original" in refusal(path).message) == (ErrorKind.USAGE, True)
    path.write_bytes(b"")
    assert "it has no table of tasks" in refusal(path).message
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE tasks (id, name)")
    assert "its tasks have no project_id" in refusal(path).message


def test_a_damaged_one_is_refused_in_one_line(tmp_path):
    path = make_original(tmp_path / "old.db", *(make_row(f"bd-{n}", description="x" * 3000) for n in range(20)))
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    assert refusal(path).kind is ErrorKind.USAGE


async def test_a_database_of_this_ringmaster_is_told_apart(tmp_path):
    async with open_inline_store(tmp_path / "new.db", clock=lambda: 0.0):
        pass
    assert "a database of this Ringmaster" in refusal(tmp_path / "new.db").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_one_that_may_not_be_read_says_so(tmp_path):
    path = make_original(tmp_path / "old.db", make_row("bd-1"))
    path.chmod(0)
    assert refusal(path).kind is ErrorKind.PERMISSION


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = " + sys.argv[2])
for statement in sys.argv[3:]:
    db.execute(statement)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, *words: str) -> Iterator[None]:
    """Another process has it open: two copies of SQLite in one process do not see each other's locks."""
    argv = [sys.executable, "-I", "-S", "-c", HOLD, str(path), *words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()


def test_one_that_another_program_holds_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("ringmaster.store.original.BUSY_TIMEOUT_MS", 1)
    path = make_original(tmp_path / "old.db", make_row("bd-1"))
    with held(path, "DELETE", "BEGIN EXCLUSIVE", "UPDATE tasks SET title = 'x'"):
        assert refusal(path).kind is ErrorKind.CONFLICT


def test_what_another_program_has_committed_is_read_while_it_writes_on(tmp_path):
    path = make_original(tmp_path / "old.db", make_row("bd-1"))
    writing = ("UPDATE tasks SET title = 'new'", "BEGIN IMMEDIATE", "UPDATE tasks SET title = 'not yet'")
    with held(path, "WAL", *writing):
        assert [row["title"] for row in read_original(path).tasks] == ["new"]
