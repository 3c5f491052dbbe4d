"""`decision.*` over the socket."""

from __future__ import annotations

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import pause_project
from tests.integration.rpc.harness import Table, attempt_caller


async def ask(table: Table, outcome: Outcome = Outcome.NO_CHANGES) -> tuple[str, str]:
    """A task about which a person is asked, and the decision."""
    id = await table.add_task()
    claim = await table.claim()
    await table.store.write(
        reporting.end_attempt, claim.attempt.id, claim.attempt.token, outcome, "why?", rng=table.sur.rng
    )
    return id, (await table.call("decision.list", task_id=id))["decisions"][0]["id"]


async def test_a_question_is_listed_shown_and_answered(table: Table):
    await table.add_project()
    task_id, id = await ask(table)
    assert (await table.call("task.show", id=task_id))["view"]["shown"] == "waiting"
    shown = await table.call("decision.show", id=id.removeprefix("d-"))
    assert (shown["kind"], shown["options"]) == ("no_changes", ["retry", "close", "cancel"])
    answer = await table.call("decision.answer", id=id, answer="close", message="good enough")
    assert answer["note"] == f"{task_id} is done"
    assert (answer["decision"]["state"], answer["decision"]["answered_by"]) == ("answered", "operator")
    assert (await table.call("decision.list"))["decisions"] == []
    assert len((await table.call("decision.list", is_all=True))["decisions"]) == 1
    view = (await table.call("task.show", id=task_id))["view"]
    assert (view["shown"], view["task"]["done_by"]) == ("done", "person")


async def test_an_answer_that_the_kind_does_not_take_changes_nothing(table: Table):
    await table.add_project()
    _, id = await ask(table)
    error = await table.refusal("decision.answer", id=id, answer="maybe")
    assert error.kind is ErrorKind.USAGE
    assert "takes retry or close or cancel, not 'maybe'" in error.message
    assert (await table.call("decision.show", id=id))["state"] == "open"
    await table.call("decision.answer", id=id, answer="cancel")
    error = await table.refusal("decision.answer", id=id, answer="retry")
    assert error.kind is ErrorKind.WRONG_STATE
    assert "answered already" in error.message


async def test_an_agents_question_takes_any_words_and_frees_the_task(table: Table):
    await table.add_project()
    task_id, id = await ask(table, Outcome.NEEDS_DECISION)
    answer = await table.call("decision.answer", id=id, answer="the blue one")
    assert "next prompt" in answer["note"]
    assert (await table.call("task.show", id=task_id))["view"]["shown"] == "ready"


async def test_a_projects_question_resumes_it(table: Table):
    await table.add_project()
    await table.store.write(
        pause_project,
        "toy",
        DecisionKind.BASE_RED,
        question="the base is red",
        reason="the base is red",
        rng=table.sur.rng,
    )
    decision = (await table.call("decision.list"))["decisions"][0]
    answer = await table.call("decision.answer", id=decision["id"], answer="resume")
    assert answer["note"] == "project toy is active"


async def test_a_damaged_row_is_shown_and_the_others_too(table: Table):
    await table.add_project()
    _, bad = await ask(table)
    _, good = await ask(table)
    await table.sql("UPDATE decisions SET options = 'x' WHERE id = ?", bad)
    found = {d["id"]: d["detail"] for d in (await table.call("decision.list"))["decisions"]}
    assert "cannot be read (options)" in found[bad]
    assert found[good] == "why?"


async def test_an_attempt_sees_its_own_questions_and_answers_none(table: Table):
    await table.add_project()
    _, other = await ask(table)
    await table.add_task()
    claim = await table.claim()
    caller = attempt_caller(claim.attempt.id)
    asked = await table.call(
        "attempt.ask",
        caller=caller,
        attempt_id=claim.attempt.id,
        token=claim.attempt.token,
        question="which?",
    )
    listed = await table.call("decision.list", caller=caller)
    assert [decision["id"] for decision in listed["decisions"]] == [asked["decision_id"]]
    assert (await table.refusal("decision.show", caller=caller, id=other)).kind is ErrorKind.PERMISSION
    error = await table.refusal("decision.answer", caller=caller, id=asked["decision_id"], answer="x")
    assert error.kind is ErrorKind.PERMISSION


async def test_a_question_is_asked_with_all_that_may_come_with_it_and_listed_by_its_urgency(table: Table):
    await table.add_project()
    _, plain = await ask(table)
    asked = {}
    for urgency in ("low", "high"):
        await table.add_task()
        claim = await table.claim()
        answer = await table.call(
            "attempt.ask",
            caller=attempt_caller(claim.attempt.id),
            attempt_id=claim.attempt.id,
            token=claim.attempt.token,
            question="which?",
            options=["a", "b"],
            recommendation="a",
            urgency=urgency,
            default_answer="b",
            default_after_s=90.0,
        )
        asked[urgency] = answer["decision_id"]
    listed = (await table.call("decision.list"))["decisions"]
    assert [decision["id"] for decision in listed] == [asked["high"], plain, asked["low"]]
    first = listed[0]
    assert (first["recommendation"], first["urgency"], first["default_answer"]) == ("a", "high", "b")
    assert first["default_at"] == first["created_at"] + 90.0
    events = (await table.call("events.read", type=["decision.opened"]))["events"]
    assert events[-1]["data"]["default_at"] == first["default_at"]


async def test_a_question_with_a_default_that_is_none_is_not_asked(table: Table):
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    error = await table.refusal(
        "attempt.ask",
        caller=attempt_caller(claim.attempt.id),
        attempt_id=claim.attempt.id,
        token=claim.attempt.token,
        question="which?",
        options=["a", "b"],
        default_answer="c",
        default_after_s=90.0,
    )
    assert error.kind is ErrorKind.USAGE
    assert (await table.call("decision.list"))["decisions"] == []
