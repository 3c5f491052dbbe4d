"""`logs.search` over the socket, and the index behind it, filled when attempts end."""

from __future__ import annotations

import errno
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.output import indexing
from ringmaster.output.indexing import INDEX_FILE, Indexer, run_indexing
from ringmaster.queue import report as reporting
from ringmaster.queue.claim import Claim
from ringmaster.settings import Settings
from ringmaster.store import log_index
from ringmaster.store.log_index import LogIndex, open_log_index
from tests.integration.rpc.harness import Table, attempt_caller


async def begin(table: Table, words: str) -> Claim:
    """A running attempt whose agent said something."""
    await table.add_task()
    claim = await table.claim()
    place = table.paths.attempt(claim.attempt.id) / "agent"
    place.mkdir(parents=True)
    (place / "stdout").write_text(f"{words}\n")
    return claim


async def end(table: Table, claim: Claim) -> None:
    attempt = claim.attempt
    await table.store.write(reporting.end_attempt, attempt.id, attempt.token, Outcome.FAILED, "over", rng=table.sur.rng)


async def find(table: Table, pattern: str = "word", **params: Any) -> list[str]:
    return [match["snippet"] for match in (await table.call("logs.search", pattern=pattern, **params))["matches"]]


def indexer_of(table: Table) -> Indexer:
    return Indexer(table.store, table.paths, Settings)


@pytest.fixture
async def project(table: Table) -> None:
    await table.add_project()


async def test_a_step_is_found_while_the_attempt_runs_and_after(table: Table, project: None):
    claim = await begin(table, "a word")
    assert await find(table) == ["a word"]
    await end(table, claim)
    indexer = indexer_of(table)
    assert "being made" in (await table.call("logs.search", pattern="word"))["note"]
    await indexer.catch_up()
    assert await find(table) == ["a word"]
    assert (await table.call("logs.search", pattern="word"))["note"] == ""
    # Its own events lie behind the cursor: nothing is indexed twice.
    await indexer.catch_up()
    indexer.close()
    assert await find(table, attempt_id=claim.attempt.id) == ["a word"]


async def test_an_attempt_finds_what_its_own_task_did_alone(table: Table, project: None):
    first, second = await begin(table, "first word"), await begin(table, "second word")
    caller = attempt_caller(first.attempt.id)
    assert await find(table, caller=caller) == ["first word"]
    for other in ({"task_id": second.task.id}, {"attempt_id": second.attempt.id}):
        error = await table.refusal("logs.search", caller=caller, pattern="word", **other)
        assert error.kind is ErrorKind.PERMISSION
    assert (await table.refusal("logs.search", pattern="?!")).kind is ErrorKind.USAGE


async def test_the_index_is_made_anew_from_the_files_when_it_is_gone_or_damaged(table: Table, project: None):
    claim = await begin(table, "a word")
    await end(table, claim)
    indexer = indexer_of(table)
    await indexer.catch_up()
    (table.paths.state / INDEX_FILE).unlink()
    for suffix in ("-wal", "-shm"):
        (table.paths.state / (INDEX_FILE + suffix)).unlink()
    for harm in (Path.unlink, lambda path: path.write_bytes(b"x" * 8192)):
        await indexer.catch_up()
        assert await find(table) == ["a word"]
        indexer.close()
        for suffix in ("-wal", "-shm"):
            (table.paths.state / (INDEX_FILE + suffix)).unlink(missing_ok=True)
        harm(table.paths.state / INDEX_FILE)
        assert await find(table) == []
    await indexer.catch_up()
    indexer.close()
    assert await find(table) == ["a word"]


async def test_it_says_that_the_index_is_behind(table: Table, project: None):
    indexer = indexer_of(table)
    await end(table, await begin(table, "a word"))
    await indexer.catch_up()
    table.clock.ahead_s += 1.0
    await end(table, await begin(table, "another word"))
    found = await table.call("logs.search", pattern="word")
    assert [match["snippet"] for match in found["matches"]] == ["a word"]
    assert found["note"] == "the last attempts that ended are not in the index yet"
    await indexer.catch_up()
    indexer.close()
    assert await find(table) == ["another word", "a word"]
    assert (await table.call("logs.search", pattern="word"))["note"] == ""


async def test_a_store_that_was_put_back_is_indexed_from_the_files(table: Table, project: None):
    indexer = indexer_of(table)
    await end(table, await begin(table, "a word"))
    await indexer.catch_up()
    with closing(open_log_index(table.paths.state / INDEX_FILE)) as opened:
        opened.note_place(1_000_000, is_complete=True)
    await end(table, await begin(table, "another word"))
    await indexer.catch_up()
    indexer.close()
    assert await find(table) == ["another word", "a word"]


async def test_damage_that_a_search_meets_is_mended_when_the_next_attempt_ends(table: Table, project: None):
    await end(table, await begin(table, "\n".join(f"word {n} {'x' * 500}" for n in range(1000))))
    indexer = indexer_of(table)
    await indexer.catch_up()
    indexer.close()
    path = table.paths.state / INDEX_FILE
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = path.read_bytes()
    # The pages that the writer looks at when it opens are the first.
    path.write_bytes(data[: 12 * 4096] + b"\xff" * (len(data) - 12 * 4096))
    await indexer.catch_up()
    found = await table.call("logs.search", pattern="word")
    assert (found["matches"], found["note"]) == (
        [],
        "the index was damaged and is made again when the next attempt ends",
    )
    await indexer.catch_up()
    indexer.close()
    assert len(await find(table)) == 50


async def test_an_index_that_cannot_be_read_now_hides_nothing_that_runs(
    table: Table, project: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_index, "BUSY_TIMEOUT_MS", 0)
    await end(table, await begin(table, "a word"))
    await begin(table, "a live word")
    indexer = indexer_of(table)
    await indexer.catch_up()
    indexer.close()
    with closing(apsw.Connection(str(table.paths.state / INDEX_FILE))) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        holder.execute("BEGIN EXCLUSIVE").fetchall()
        found = await table.call("logs.search", pattern="word")
    assert [match["snippet"] for match in found["matches"]] == ["a live word"]
    assert "cannot be read now" in found["note"]
    assert "are left out" in found["note"]


# Is killed between two slices of an attempt, within the transaction of the second.
KILLED = """
import os, sys, signal
from pathlib import Path
from ringmaster.store.log_index import IndexedStep, open_log_index
index = open_log_index(Path(sys.argv[1]))
whole, half = sys.argv[2:]
for id in (whole, half):
    step = IndexedStep(id, id.partition("/")[0], "toy", "agent", 0, "text", "a word", None)
    index.add(id, [step], is_last=id == whole)
index._db.execute("BEGIN IMMEDIATE")
index._db.execute("INSERT INTO steps (rowid, text, attempt_id) VALUES (7, 'a word', ?)", (half,)).fetchall()
os.write(1, b".")
signal.pause()
"""


async def test_after_a_kill_in_the_middle_each_attempt_is_there_once(table: Table, project: None):
    first, second = await begin(table, "a word"), await begin(table, "a word\nanother word")
    for claim in (first, second):
        await end(table, claim)
    path = table.paths.state / INDEX_FILE
    command = [sys.executable, "-c", KILLED, str(path), first.attempt.id, second.attempt.id]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(10):
            assert await process.stdout.receive_some() == b"."
    finally:
        process.kill()
    await process.stdout.aclose()
    await process.wait()
    indexer = indexer_of(table)
    for _ in range(2):
        await indexer.catch_up()
        assert await find(table) == ["another word", "a word", "a word"]
    indexer.close()


async def test_output_that_cannot_be_read_hides_that_of_no_other(
    table: Table, project: None, caplog: pytest.LogCaptureFixture
):
    claims = [await begin(table, "a word") for _ in range(3)]
    odd = table.paths.attempt(claims[1].attempt.id) / "agent" / "stdout"
    odd.unlink()
    odd.mkdir()
    (odd / "x").touch()
    found = await table.call("logs.search", pattern="word")
    assert [match["attempt_id"] for match in found["matches"]] == [claims[2].attempt.id, claims[0].attempt.id]
    assert f"the output of {claims[1].attempt.id} cannot be read: Is a directory" in found["note"]
    for claim in claims:
        await end(table, claim)
    indexer = indexer_of(table)
    await indexer.catch_up()
    indexer.close()
    assert "cannot be indexed" in caplog.text
    found = await table.call("logs.search", pattern="word")
    assert [match["attempt_id"] for match in found["matches"]] == [claims[2].attempt.id, claims[0].attempt.id]
    assert found["note"] == ""


async def test_what_cannot_be_written_is_tried_again(
    table: Table, project: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await end(table, await begin(table, "a word"))
    indexer = indexer_of(table)
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "open_log_index", fail_with_disk_full)
        await indexer.catch_up()
    assert "waits" in caplog.text
    caplog.clear()
    with monkeypatch.context() as patch:
        # The last room is not the index's.
        patch.setattr(indexing, "free_bytes", lambda place: 50_000_000.0)
        await indexer.catch_up()
    assert "is full" in caplog.text
    assert await find(table) == []
    await indexer.catch_up()
    indexer.close()
    assert await find(table) == ["a word"]


def fail_with_disk_full(path: Path) -> LogIndex:
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


async def test_the_round_hears_of_ends_and_of_what_was_removed(
    table: Table, project: None, monkeypatch: pytest.MonkeyPatch
):
    looks, receive = trio.open_memory_channel[None](10)
    catch_up = Indexer.catch_up

    async def told(self: Indexer) -> None:
        await catch_up(self)
        await looks.send(None)

    monkeypatch.setattr(Indexer, "catch_up", told)
    claim = await begin(table, "a word")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_indexing, table.store, table.bus, table.paths, Settings)
        await receive.receive()
        await end(table, claim)
        await receive.receive()
        assert await find(table) == ["a word"]
        (table.paths.attempt(claim.attempt.id) / "agent" / "stdout").unlink()
        await table.store.write(lambda conn: conn.emit("daemon.cleaned_up", data={"removed": 1, "freed_bytes": 1}))
        await receive.receive()
        assert await find(table) == []
        nursery.cancel_scope.cancel()
