"""`database.*` over the socket."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.protocol.database import DatabaseFacts
from ringmaster.store.copying import examine_database
from tests.integration.rpc.harness import Table, attempt_caller, open_table


async def test_the_database_in_use_is_copied_once_per_key(table: Table):
    await table.add_project()
    await table.add_task("In the copy")
    target = table.tmp_path / "copy.db"
    made = await table.call("database.backup", path=str(target), idempotency_key="k")
    assert made["path"] == str(target)
    assert examine_database(target).problems == ()
    # A repeat after a broken connection gets the first answer, and not that the file is there.
    assert await table.call("database.backup", path=str(target), idempotency_key="k") == made
    assert (await table.refusal("database.backup", path=str(target))).kind is ErrorKind.CONFLICT
    assert (await table.refusal("database.backup", path="copy.db")).kind is ErrorKind.USAGE


async def test_a_copy_that_was_made_while_the_disk_is_full_is_answered_as_made(table: Table):
    await table.add_project()
    assert table.store._writer is not None
    table.store._writer.is_degraded = True
    target = table.tmp_path / "elsewhere.db"
    made = await table.call("database.backup", path=str(target), idempotency_key="k")
    assert (made["path"], target.exists()) == (str(target), True)


async def test_the_database_in_use_is_looked_through(table: Table):
    await table.add_project()
    await table.add_task("Something to look at")
    found = await table.call("database.check")
    assert (found["problems"], found["path"]) == ([], str(table.paths.database))
    assert found["schema"] == found["known_schema"]
    assert (await table.refusal("database.check", caller=attempt_caller("rm-x/1"))).kind is ErrorKind.PERMISSION
    # The writer goes on: its locks are still its own.
    await table.add_task("After it")


async def test_a_long_look_holds_up_no_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    token = trio.lowlevel.current_trio_token()
    has_begun, may_end, has_ended = trio.Event(), threading.Event(), threading.Event()

    def look_long(path: Path) -> DatabaseFacts:
        token.run_sync_soon(has_begun.set)
        may_end.wait(5)
        has_ended.set()
        return examine_database(path)

    monkeypatch.setattr("ringmaster.rpc.handlers.database.examine_database", look_long)
    try:
        async with open_table(tmp_path) as table, table.open_line() as line, trio.open_nursery() as nursery:
            nursery.start_soon(line.request, "database.check")
            await has_begun.wait()
            nursery.cancel_scope.cancel()
        assert not has_ended.is_set()
    finally:
        may_end.set()
