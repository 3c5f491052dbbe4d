"""`stats.series` over the socket: a task's end in its hour, and what an attempt may ask for."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue.report import end_attempt
from tests.integration.rpc.harness import Table, attempt_caller


async def test_an_end_is_in_the_newest_point(table: Table):
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    attempt = claim.attempt
    await table.store.write(end_attempt, attempt.id, attempt.token, Outcome.FAILED, "so", rng=table.sur.rng)
    found = await table.call("stats.series", by="hour")
    assert (found["by"], found["offset_s"], found["project_id"], len(found["points"])) == ("hour", 0, "", 30)
    assert [point["attempts"] for point in found["points"]] == [*[{}] * 29, {"failed": 1}]
    assert found["points"][-1]["is_open"]
    for before, after in zip(found["points"], found["points"][1:], strict=False):
        assert before["end_at"] == after["begin_at"]
    day = await table.call("stats.series", since_at=attempt.started_at, project_id="toy")
    assert [point["attempts"] for point in day["points"]][-1] == {"failed": 1}


async def test_what_is_no_time_is_refused_in_words(table: Table):
    for params in ({"by": "week"}, {"since_at": 1.0}, {"since_at": 9.0, "until_at": 8.0}, {"offset_s": 7}):
        refused = await table.refusal("stats.series", **params)
        assert refused.kind is ErrorKind.USAGE, params
    assert (await table.refusal("stats.series", project_id="nobody")).kind is ErrorKind.NOT_FOUND


async def test_an_attempt_sees_the_figures_of_its_own_project_alone(table: Table):
    await table.add_project()
    await table.add_task(project_id="toy")
    claim = await table.claim()
    await table.add_project("other")
    caller = attempt_caller(claim.attempt.id)
    assert (await table.call("stats.series", caller=caller))["project_id"] == "toy"
    assert (await table.call("stats.series", caller=caller, project_id="toy"))["project_id"] == "toy"
    refused = await table.refusal("stats.series", caller=caller, project_id="other")
    assert refused.kind is ErrorKind.PERMISSION
