"""Questions to a person: that they block, and what each answer does."""

from __future__ import annotations

import msgspec
import pytest

from ringmaster.model.decisions import DECISION_EFFECTS, LANDING_KINDS, DecisionKind, Effect, options_of
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.protocol.task import TaskEditParams
from ringmaster.queue import control, decide, intake, quarantine, report
from ringmaster.redaction.redactor import REDACTED
from ringmaster.store import attempts, decisions, projects
from ringmaster.store.connection import Connection
from tests.unit.queue.making import Queue

ABOUT_PROJECTS = {kind for kind, effects in DECISION_EFFECTS.items() if Effect.RESUME in effects.values()}
ABOUT_TASKS = set(DecisionKind) - LANDING_KINDS - ABOUT_PROJECTS - {DecisionKind.AGENT_BROKEN}


async def ask(queue: Queue, kind: DecisionKind, task_id: str = "", attempt_id: str = "") -> str:
    return await queue.do(
        decide.open_decision,
        kind,
        project_id="toy",
        question="?",
        task_id=task_id,
        attempt_id=attempt_id,
        rng=queue.rng,
    )


@pytest.mark.parametrize("kind", sorted(ABOUT_TASKS))
async def test_a_question_blocks_until_it_is_answered(queue: Queue, kind: DecisionKind):
    await queue.add_worker()
    for answer in options_of(kind) or ("any words",):
        id = await queue.add_task()
        decision_id = await ask(queue, kind, id)
        assert (await queue.task(id)).open_blockers == 1
        assert await queue.claim() is None
        decision, note = await queue.do(decide.answer_decision, decision_id, answer=answer, message="", actor="test")
        assert (decision.state, decision.answer) == ("answered", answer)
        assert note
        task = await queue.task(id)
        expected = {"close": "done", "cancel": "cancelled"}.get(answer, "open")
        assert (task.state, task.open_blockers) == (expected, 0)
        if expected == "open":
            await queue.do(control.cancel_task, id, actor="test")


@pytest.mark.parametrize("kind", sorted(LANDING_KINDS))
@pytest.mark.parametrize("answer", ["accept", "reject"])
async def test_work_that_waits_goes_on_or_back(queue: Queue, kind: DecisionKind, answer: str):
    found = await queue.begin()
    await queue.hand_over(found)
    decision_id = await ask(queue, kind, found.task.id, found.attempt.id)
    other = await ask(queue, DecisionKind.ACCEPT, found.task.id, found.attempt.id)
    await queue.do(decide.answer_decision, decision_id, answer=answer, message="words", actor="test")
    # One answer settles the attempt, so nothing else is asked about it.
    assert other not in [decision.id for decision in await queue.asked(found.task.id)]
    attempt = await queue.store.read(attempts.attempt_by_id, found.attempt.id)
    if answer == "accept":
        assert (attempt.state, attempt.is_accepted) == ("validating", True)
    else:
        assert (attempt.outcome, attempt.reason) == (Outcome.FAILED, "rejected: words")
        task = await queue.task(found.task.id)
        assert (task.state, task.counted_attempts, task.not_before_at) == ("open", 0, None)


async def test_a_rejection_without_words_speaks_of_none(queue: Queue):
    found = await queue.begin()
    await queue.hand_over(found)
    asked = await ask(queue, DecisionKind.ACCEPT, found.task.id, found.attempt.id)
    _, note = await queue.do(decide.answer_decision, asked, answer="reject", message="", actor="test")
    assert note == f"{found.task.id} runs again"
    attempt = await queue.store.read(attempts.attempt_by_id, found.attempt.id)
    assert attempt.reason == "rejected by a person"


@pytest.mark.parametrize("kind", sorted(ABOUT_PROJECTS))
async def test_a_projects_trouble_pauses_it_and_asks_once(queue: Queue, kind: DecisionKind):
    for _ in range(2):
        await queue.do(decide.pause_project, "toy", kind, question="?", reason="trouble", rng=queue.rng)
    open_ids = [event.decision_id for event in await queue.events("decision.opened")]
    assert len(open_ids) == 1
    assert (await queue.store.read(projects.project_by_id, "toy")).paused_reason == "trouble"
    await queue.do(decide.answer_decision, open_ids[0], answer="resume", message="", actor="test")
    assert (await queue.store.read(projects.project_by_id, "toy")).state == "active"


async def test_resuming_by_hand_takes_every_such_question_back(queue: Queue):
    for kind in (DecisionKind.BASE_RED, DecisionKind.SETUP_FAILED):
        await queue.do(decide.pause_project, "toy", kind, question="?", reason="r", rng=queue.rng)
    await queue.do(decide.resume_project, "toy", actor="test")
    assert len(await queue.events("decision.withdrawn")) == 2


async def test_resuming_takes_its_questions_back_behind_however_many_others(queue: Queue):
    def ask_much(conn: Connection) -> None:
        for _ in range(1001):
            decide.open_decision(conn, DecisionKind.BASE_RED, project_id="other", question="?", rng=queue.rng)

    await queue.store.write(ask_much)
    await queue.do(decide.pause_project, "toy", DecisionKind.BASE_RED, question="?", reason="r", rng=queue.rng)
    await queue.do(decide.resume_project, "toy", actor="test")
    assert [event.project_id for event in await queue.events("decision.withdrawn")] == ["toy"]


async def test_a_task_that_was_made_a_draft_is_closed_by_the_answer_too(queue: Queue):
    id = await queue.add_task()
    decision_id = await ask(queue, DecisionKind.NO_CHANGES, id)
    await queue.do(intake.edit_task, TaskEditParams(id=id, is_draft=True), actor="test")
    await queue.do(decide.answer_decision, decision_id, answer="close", message="", actor="test")
    assert (await queue.task(id)).state == "done"


async def test_a_task_is_told_to_have_failed_only_when_it_does(queue: Queue):
    id = await queue.add_task()
    for _ in range(2):
        await queue.do(quarantine.quarantine_task, id, words="is odd", detail="", rng=queue.rng)
    assert len(await queue.events("task.failed")) == 1


async def test_an_answer_is_taken_once_and_only_if_the_kind_takes_it(queue: Queue):
    id = await queue.add_task()
    decision_id = await ask(queue, DecisionKind.NO_CHANGES, id)
    before = await queue.events()
    with pytest.raises(RingmasterError) as raised:
        await queue.do(decide.answer_decision, decision_id, answer="nonsense", message="", actor="test")
    assert raised.value.kind is ErrorKind.USAGE
    assert await queue.events() == before
    await queue.do(decide.answer_decision, decision_id, answer="retry", message="", actor="test")
    with pytest.raises(RingmasterError) as raised:
        await queue.do(decide.answer_decision, decision_id, answer="retry", message="", actor="test")
    assert raised.value.kind is ErrorKind.WRONG_STATE


async def test_closing_a_task_takes_every_other_question_back(queue: Queue):
    id = await queue.add_task()
    waiting = await queue.add_task(after=(id,))
    await ask(queue, DecisionKind.QUESTION, id)
    decision_id = await ask(queue, DecisionKind.NO_CHANGES, id)
    _, note = await queue.do(decide.answer_decision, decision_id, answer="close", message="", actor="test")
    assert await queue.asked(id) == []
    assert f"ready now: {waiting}" in note


async def test_a_retry_forgets_the_attempts_and_keeps_the_agents_questions(queue: Queue):
    found = await queue.begin(max_attempts=1)
    names = (found.attempt.id, found.attempt.token)
    asked = await queue.do(report.ask, *names, question="?", detail="", options=(), rng=queue.rng)
    await queue.do(report.end_attempt, *names, Outcome.FAILED, "no", rng=queue.rng)
    await queue.do(decide.retry_task, found.task.id, actor="test")
    task = await queue.task(found.task.id)
    assert (task.state, task.counted_attempts) == ("open", 0)
    assert [decision.id for decision in await queue.asked(task.id)] == [asked]
    await queue.do(control.cancel_task, task.id, actor="test")
    assert (await queue.task(task.id)).open_blockers == 0


async def test_a_task_that_is_done_stays_done(queue: Queue):
    id = await queue.add_task()
    decision_id = await ask(queue, DecisionKind.NO_CHANGES, id)
    await queue.do(decide.answer_decision, decision_id, answer="close", message="", actor="test")
    for fn in (decide.retry_task, control.cancel_task):
        with pytest.raises(RingmasterError) as raised:
            await queue.do(fn, id, actor="test")
        assert raised.value.kind is ErrorKind.WRONG_STATE
        assert f"task {id} is done" in raised.value.message


async def test_what_a_person_is_asked_and_told_has_no_key_in_it(queue: Queue):
    key = "gh" + "p_" + "A1b2" * 9
    words = f"a test of {key} \x1b[1mfailed\x1b[0m"
    shown = f"a test of {REDACTED} failed"
    await queue.do(
        decide.pause_project,
        "toy",
        DecisionKind.BASE_RED,
        question=words,
        reason=words,
        detail=f"{words}\n{key}",
        rng=queue.rng,
    )
    opened, paused = (await queue.events("decision.opened"))[0], (await queue.events("project.paused"))[0]
    assert (msgspec.json.decode(opened.data)["question"], msgspec.json.decode(paused.data)["reason"]) == (shown, shown)
    decision = await queue.store.read(decisions.decision_by_id, opened.decision_id)
    assert (decision.question, decision.detail) == (shown, f"{shown}\n{REDACTED}")
    assert (await queue.store.read(projects.project_by_id, "toy")).paused_reason == shown
