"""`daemon.measures` over the socket."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from tests.integration.rpc.harness import Table, attempt_caller


async def test_a_daemon_tells_how_long_its_statements_took(table: Table):
    await table.add_project()
    for number in range(20):
        await table.add_task(f"Task {number}")
    found = await table.call("daemon.measures")
    assert 0 < found["timed_share"] <= 1
    names = [row["name"] for row in found["statements"]]
    assert "tasks.insert" in names
    sums = [row["sum_s"] for row in found["statements"]]
    assert sums == sorted(sums, reverse=True)
    assert found["rpc"]["methods"] == sorted(found["rpc"]["methods"], key=lambda row: row["name"])


async def test_an_attempt_is_not_told_of_the_whole_daemon(table: Table):
    refusal = await table.refusal("daemon.measures", caller=attempt_caller("rm-a/1"))
    assert refusal.kind is ErrorKind.PERMISSION
