"""`database.*` over the socket."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from ringmaster.store.copying import examine_database
from tests.integration.rpc.harness import Table, attempt_caller


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


async def test_the_database_in_use_is_looked_through(table: Table):
    await table.add_project()
    await table.add_task("Something to look at")
    found = await table.call("database.check")
    assert (found["problems"], found["path"]) == ([], str(table.paths.database))
    assert found["schema"] == found["known_schema"]
    assert (await table.refusal("database.check", caller=attempt_caller("rm-x/1"))).kind is ErrorKind.PERMISSION
    # The writer goes on: its locks are still its own.
    await table.add_task("After it")
