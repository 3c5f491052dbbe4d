"""`task.why` over the socket: what the dispatcher of this very daemon looks at."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from tests.integration.rpc.harness import Table, attempt_caller


async def test_a_task_is_told_with_what_only_the_daemon_knows(table: Table):
    await table.add_project()
    await table.call("worker.spawn", agent="scripted")
    id = await table.add_task()
    told = await table.call("task.why", id=id)
    assert (told["obstacles"], told["ahead"], told["shown"]) == ([], 0, "ready")
    table.sur.starts_left = 0
    table.paths.estop.touch()
    told = await table.call("task.why", id=id.removeprefix("rm-"))
    assert [obstacle["kind"] for obstacle in told["obstacles"]] == ["estop", "trial"]
    assert told["first"] == "ESTOP is there: nothing is given out: rmctl estop --clear"
    # What `task show` says comes next is its first line.
    assert (await table.call("task.show", id=id))["next_step"] == told["first"]


async def test_what_is_in_the_way_has_its_event(table: Table):
    await table.add_project()
    first = await table.add_task()
    id = await table.add_task(after=[first])
    [obstacle, *_] = (await table.call("task.why", id=id))["obstacles"]
    events = (await table.call("events.read", task_id=id))["events"]
    assert (obstacle["kind"], obstacle["id"], obstacle["seq"]) == ("dependency", first, events[0]["seq"])
    assert obstacle["since_at"] == events[0]["at"]
    assert [link["kind"] for link in obstacle["chain"]] == ["ready"]


async def test_an_attempt_may_ask_about_its_own_task_alone(table: Table):
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    other = await table.add_task()
    caller = attempt_caller(claim.attempt.id)
    told = await table.call("task.why", caller=caller, id=claim.task.id)
    assert told["doing"]["attempt_id"] == claim.attempt.id
    assert (await table.refusal("task.why", caller=caller, id=other)).kind is ErrorKind.PERMISSION
    assert (await table.refusal("task.why", id="rm-nothing")).kind is ErrorKind.NOT_FOUND


async def test_a_hold_is_shown_with_what_ends_it(table: Table):
    await table.add_project()
    id = await table.add_task(is_held=True)
    [blocker] = (await table.call("task.show", id=id))["blockers"]
    assert (blocker["kind"], blocker["words"]) == ("hold", f"held until somebody says: rmctl task release {id}")
    assert (await table.call("task.why", id=id))["obstacles"][0]["command"] == f"rmctl task release {id}"
    await table.call("task.release", id=id)
    assert (await table.call("task.show", id=id))["blockers"] == []
