"""`attempt.*` over the socket."""

from __future__ import annotations

from typing import Any

from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from tests.integration.rpc.harness import Table, attempt_caller


async def end(table: Table, attempt_id: str, token: str) -> None:
    await table.store.write(reporting.end_attempt, attempt_id, token, Outcome.CONFLICT, "no", rng=table.sur.rng)


async def test_attempts_are_listed_newest_first_and_without_tokens(table: Table):
    await table.add_project()
    id = await table.add_task()
    first = await table.claim()
    await end(table, first.attempt.id, first.attempt.token)
    await table.claim("w1")
    listed = (await table.call("attempt.list", task_id=id))["attempts"]
    assert [attempt["id"] for attempt in listed] == [f"{id}/2", f"{id}/1"]
    assert [attempt["outcome"] for attempt in listed] == ["", "conflict"]
    assert all("token" not in attempt for attempt in listed)
    assert [a["id"] for a in (await table.call("attempt.list", is_live=True))["attempts"]] == [f"{id}/2"]
    assert len((await table.call("attempt.list", limit=1))["attempts"]) == 1
    # A task stands for its newest attempt.
    assert (await table.call("attempt.show", id=id.removeprefix("rm-")))["number"] == 2
    shown = await table.call("attempt.show", id=f"{id}/1")
    assert shown["files"] == str(table.paths.attempt(f"{id}/1"))
    assert (await table.refusal("attempt.show", id=f"{id}/9")).kind is ErrorKind.NOT_FOUND


async def test_a_report_is_a_signal_that_only_the_attempt_itself_gives(table: Table):
    await table.add_project()
    await table.add_task()
    await table.add_task()
    claim, other = await table.claim(), await table.claim()
    own = attempt_caller(claim.attempt.id)
    said: dict[str, Any] = {
        "attempt_id": claim.attempt.id,
        "token": claim.attempt.token,
        "status": "succeeded",
        "summary": "done",
    }
    await table.call("attempt.report", caller=own, **said)
    shown = await table.call("attempt.show", caller=own, id=claim.attempt.id)
    assert shown["report"]["said"] == {"status": "succeeded", "summary": "done"}
    assert shown["state"] == "running"
    # Another attempt that got hold of the token may not; a person who has it may.
    error = await table.refusal("attempt.report", caller=attempt_caller(other.attempt.id), **said)
    assert error.kind is ErrorKind.PERMISSION
    await table.call("attempt.report", **said)
    error = await table.refusal("attempt.report", caller=own, **{**said, "token": other.attempt.token})
    assert error.kind is ErrorKind.LEASE_LOST


async def test_a_late_attempt_hears_that_its_lease_is_lost(table: Table):
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    await end(table, claim.attempt.id, claim.attempt.token)
    names: dict[str, Any] = {"attempt_id": claim.attempt.id, "token": claim.attempt.token}
    late: list[tuple[str, dict[str, Any]]] = [
        ("attempt.report", {"status": "failed"}),
        ("attempt.ask", {"question": "?"}),
    ]
    for method, params in late:
        error = await table.refusal(method, **names, **params)
        assert error.kind is ErrorKind.LEASE_LOST
        assert "ended as conflict" in error.message
    assert (await table.call("decision.list"))["decisions"] == []


async def test_a_question_blocks_the_task_once_the_attempt_has_ended(table: Table):
    await table.add_project()
    id = await table.add_task()
    claim = await table.claim()
    asked = await table.call(
        "attempt.ask",
        caller=attempt_caller(claim.attempt.id),
        attempt_id=claim.attempt.id,
        token=claim.attempt.token,
        question="red or blue?",
        options=["red", "blue"],
        idempotency_key="q",
    )
    assert (await table.call("task.show", id=id))["view"]["shown"] == "running"
    await end(table, claim.attempt.id, claim.attempt.token)
    assert (await table.call("task.show", id=id))["view"]["shown"] == "waiting"
    decision = await table.call("decision.show", id=asked["decision_id"])
    assert (decision["question"], decision["options"]) == ("red or blue?", ["red", "blue"])


async def test_a_damaged_row_is_shown_and_the_others_too(table: Table):
    await table.add_project()
    bad, good = await table.add_task(), await table.add_task()
    await table.claim()
    await table.claim()
    await table.sql("UPDATE attempts SET report = '[' WHERE task_id = ?", bad)
    found = {a["task_id"]: a["reason"] for a in (await table.call("attempt.list"))["attempts"]}
    assert "cannot be read (report)" in found[bad]
    assert found[good] == ""
    assert "cannot be read" in (await table.call("task.show", id=bad))["attempts"][0]["reason"]


async def test_an_attempt_sees_itself_and_what_came_before_it(table: Table):
    await table.add_project()
    other = await table.add_task()
    claim = await table.claim()
    await table.add_task()
    caller = attempt_caller((await table.claim()).attempt.id)
    assert claim.attempt.task_id == other
    listed = await table.call("attempt.list", caller=caller)
    assert [attempt["id"] for attempt in listed["attempts"]] == [caller.attempt_id]
    assert (await table.refusal("attempt.show", caller=caller, id=other)).kind is ErrorKind.PERMISSION


async def test_people_see_what_an_attempt_was_told_without_keys_and_escapes(table: Table):
    await table.add_project()
    id = await table.add_task()
    await table.add_task()
    claim, other = await table.claim(), await table.claim()
    assert (await table.refusal("attempt.prompt_sent", id=id)).kind is ErrorKind.WRONG_STATE
    directory = table.paths.attempt(claim.attempt.id)
    directory.mkdir(parents=True)
    key = "sk-ant-" + "api03-" + "a1B2" * 24
    (directory / "prompt.md").write_text(f"Do \x1b[2Jit\u202e <b>\nwith {key}\n")
    sent = await table.call("attempt.prompt_sent", id=id)
    assert sent["attempt_id"] == claim.attempt.id
    assert sent["prompt"] == "Do it <b>\nwith [redacted]\n"
    assert not sent["is_truncated"]
    own = await table.call("attempt.prompt_sent", caller=attempt_caller(claim.attempt.id), id=id)
    assert own == sent
    error = await table.refusal("attempt.prompt_sent", caller=attempt_caller(other.attempt.id), id=id)
    assert error.kind is ErrorKind.PERMISSION


async def test_a_long_prompt_is_shown_up_to_a_line_and_says_so(table: Table):
    await table.add_project()
    id = await table.add_task()
    claim = await table.claim()
    directory = table.paths.attempt(claim.attempt.id)
    directory.mkdir(parents=True)
    (directory / "prompt.md").write_text("nine more\n" * 60_000)
    sent = await table.call("attempt.prompt_sent", id=id)
    assert (len(sent["prompt"]), sent["is_truncated"]) == (500_000, True)
