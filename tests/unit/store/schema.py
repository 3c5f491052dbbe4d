"""A small schema of the tests' own, so that the store's machinery is tested apart from the entities."""

from __future__ import annotations

from pathlib import Path

from ringmaster.store.connection import Connection

BASE = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, type TEXT NOT NULL, project_id TEXT NOT NULL,
    task_id TEXT NOT NULL, attempt_id TEXT NOT NULL, worker_id TEXT NOT NULL,
    decision_id TEXT NOT NULL, actor TEXT NOT NULL, data TEXT NOT NULL, schema INTEGER NOT NULL
) STRICT;
CREATE TABLE items (name TEXT PRIMARY KEY, value INTEGER NOT NULL CHECK (value >= 0)) STRICT;
CREATE TABLE parts (
    id INTEGER PRIMARY KEY,
    item TEXT NOT NULL REFERENCES items (name) DEFERRABLE INITIALLY DEFERRED
) STRICT;
"""


def make_sql_dir(directory: Path, *later: str) -> Path:
    """A directory with the base migration and, numbered from 2, `later`."""
    (directory / "migrations").mkdir(parents=True, exist_ok=True)
    (directory / "queries").mkdir(exist_ok=True)
    for number, text in enumerate((BASE, *later), start=1):
        (directory / "migrations" / f"{number:04d}_step.sql").write_text(text)
    return directory


def add_item(conn: Connection, name: str, value: int = 0) -> str:
    """Insert one row with its event."""
    conn.execute("INSERT INTO items (name, value) VALUES (?, ?)", (name, value))
    conn.emit("item.added", task_id=name, data={"value": value})
    return name


def item_names(conn: Connection) -> list[str]:
    """All names, sorted."""
    return [name for (name,) in conn.rows("SELECT name FROM items ORDER BY name")]


def event_seqs(conn: Connection) -> list[int]:
    """All sequence numbers, in order."""
    return [seq for (seq,) in conn.rows("SELECT seq FROM events ORDER BY seq")]


# For a program that is to be killed in the middle of a migration: it says so after `stop_at` scripts, and waits.
RUN_AND_COUNT = """
run_script, count = migrate.run_script, 0

def run_and_count(db, sql):
    global count
    run_script(db, sql)
    count += 1
    if count == stop_at:
        print("stopped", flush=True)
        sys.stdin.read()
"""
