"""`daemon.measures` over the socket."""

from __future__ import annotations

from collections.abc import Callable

from ringmaster.model.errors import ErrorKind
from ringmaster.protocol.measure import Measured
from ringmaster.reload.meter import Meter
from ringmaster.reload.probation import run_probation
from ringmaster.reload.probes import take_measure
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


async def test_a_generation_that_is_well_passes_its_probation_over_the_real_socket_and_store(table: Table):
    meter = Meter(table.clock)
    before = await take_measure(meter, table.store, table.paths.socket, 1)
    assert before.own_call_s > 0
    assert before.write_s > 0
    assert await prove(table, meter, before) == ""
    (noted,) = await table.sql("SELECT value FROM meta WHERE key = 'alive'")
    assert noted[0].startswith("generation 2 at ")


async def test_one_that_makes_a_mistake_does_not(table: Table):
    meter = Meter(table.clock)

    def beat() -> None:
        meter.note("task.list", 0.001, "internal")

    reason = await prove(table, meter, None, beat)
    assert reason == "1 internal errors in 1 calls (task.list); before: none known"


async def prove(table: Table, meter: Meter, before: Measured | None, beat: Callable[[], None] = lambda: None) -> str:
    return await run_probation(
        generation=2,
        store=table.store,
        socket=table.paths.socket,
        meter=meter,
        before=before,
        unadopted=lambda: (),
        beat=beat,
        probation_s=0.2,
    )
