"""`budget.*` over the socket: setting, showing, refusing a pull, and what the one screen says."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from tests.integration.rpc.harness import Table, attempt_caller


async def test_a_budget_is_set_shown_and_taken_away(table: Table):
    await table.add_project()
    made = await table.call("budget.set", project_id="toy", max_attempts=3, max_usd=2.5)
    assert (made["max_attempts"], made["max_usd"], made["attempts"]) == (3, 2.5, 0)
    await table.call("budget.set", is_all=True, max_usd=9.0)
    shown = await table.call("budget.show")
    assert [(row["project_id"], row["max_usd"]) for row in shown["budgets"]] == [("", 9.0), ("toy", 2.5)]
    assert len(shown["day"]) == 10
    await table.call("budget.set", is_all=True, is_usd_removed=True)
    gone = await table.call("budget.set", project_id="toy", is_usd_removed=True, is_attempts_removed=True)
    assert (gone["max_attempts"], gone["max_usd"]) == (None, None)
    assert await table.sql("SELECT * FROM budgets") == []


async def test_a_repeat_of_setting_changes_nothing_more(table: Table):
    await table.add_project()
    first = await table.call("budget.set", project_id="toy", max_attempts=1, idempotency_key="k")
    await table.call("budget.set", project_id="toy", max_attempts=2)
    assert await table.call("budget.set", project_id="toy", max_attempts=1, idempotency_key="k") == first
    assert (await table.call("budget.show", project_id="toy"))["budgets"][-1]["max_attempts"] == 2


async def test_what_is_no_budget_is_refused(table: Table):
    await table.add_project()
    assert (await table.refusal("budget.set", project_id="toy", max_usd=-1)).kind is ErrorKind.USAGE
    assert (await table.refusal("budget.set", project_id="toy", max_usd=1e300)).kind is ErrorKind.USAGE
    assert (await table.refusal("budget.set", max_usd=1)).kind is ErrorKind.USAGE
    assert (await table.refusal("budget.set", project_id="nobody", max_usd=1)).kind is ErrorKind.NOT_FOUND
    assert (await table.refusal("budget.show", project_id="nobody")).kind is ErrorKind.NOT_FOUND
    caller = attempt_caller("rm-x/1")
    assert (await table.refusal("budget.set", caller=caller, project_id="toy", max_usd=1)).kind is ErrorKind.PERMISSION


async def test_a_used_up_budget_refuses_a_pull_with_code_6_and_is_on_the_one_screen(table: Table):
    await table.add_project()
    await table.add_task()
    assert (await table.call("daemon.status"))["budgets"] == []
    await table.call("budget.set", project_id="toy", max_attempts=0)
    refused = await table.refusal("attempt.pull", worker="ann")
    assert (refused.kind, refused.exit_code) == (ErrorKind.REFUSED, 6)
    assert "the budget of toy for " in refused.message
    assert refused.hint == "rmctl budget show toy"
    (said,) = (await table.call("daemon.status"))["budgets"]
    assert (said["project_id"], said["words"]) == ("toy", "0 of 0 attempts are used")
