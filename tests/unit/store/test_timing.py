"""The times of statements: which work is timed, under which names, and that errors are counted too."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from ringmaster.store import instance
from ringmaster.store.connection import Connection
from ringmaster.store.thread import open_store
from ringmaster.store.timing import EVERY, MOST_STATEMENTS, StatementTimes, TimedConnection
from tests.fakes.empty_store import open_empty_store


async def test_the_store_times_one_batch_in_so_many_under_the_names_of_the_queries():
    async with open_empty_store(clock=lambda: 5.0) as store:
        for generation in range(2 * EVERY):
            await store.write(instance.note_alive, generation)
        rows = {row.name: row for row in store.times.rows()}
        assert rows["instance.note_alive"].calls == 2
        assert rows["instance.note_alive"].sum_s > 0
        assert await store.read(lambda conn: conn.value("SELECT value FROM meta WHERE key = 'alive'")) == (
            f"generation {2 * EVERY - 1} at 5.0"
        )


def test_each_way_to_run_a_statement_is_timed_and_gives_what_it_gave():
    times = StatementTimes(every=1)
    with apsw.Connection(":memory:") as db:
        conn = times.connect(db, 1.0)
        assert isinstance(conn, TimedConnection)
        conn.execute("CREATE TABLE t (a)")
        conn.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
        assert conn.row("SELECT a FROM t ORDER BY a") == (1,)
        assert conn.value("SELECT   count(*)\nFROM t") == 2
        with pytest.raises(apsw.SQLError):
            conn.rows("SELECT nothing FROM t")
    counted = {row.name: row.calls for row in times.rows()}
    assert counted == {
        "CREATE TABLE t (a)": 1,
        "INSERT INTO t VALUES (?)": 1,
        "SELECT a FROM t ORDER BY a": 1,
        "SELECT count(*) FROM t": 1,
        "SELECT nothing FROM t": 1,
    }
    db.close()


def test_the_first_is_timed_and_then_one_in_so_many():
    times = StatementTimes(every=3)
    with apsw.Connection(":memory:") as db:
        made = [type(times.connect(db, 0.0)) for _ in range(5)]
    assert made == [TimedConnection, Connection, Connection, TimedConnection, Connection]
    assert times.share == pytest.approx(1 / 3)
    db.close()


def test_statements_that_are_made_up_do_not_make_it_grow():
    times = StatementTimes()
    for number in range(MOST_STATEMENTS + 10):
        times.note(f"SELECT {number}", 0.001)
    assert len(times.rows()) == MOST_STATEMENTS


async def test_every_batch_is_counted_with_its_calls_and_what_it_took(tmp_path: Path):
    async with open_store(tmp_path / "a.db") as store:
        await store.write(instance.note_alive, 0)
        batches = store.times.batches
        counted, calls, sum_s = sum(batches.buckets), batches.calls, batches.sum_s
        for generation in range(EVERY):
            await store.write(instance.note_alive, generation)
        # One after the other, so each is a batch by itself.
        assert (sum(batches.buckets) - counted, batches.calls - calls) == (EVERY, EVERY)
        assert batches.sum_s > sum_s
