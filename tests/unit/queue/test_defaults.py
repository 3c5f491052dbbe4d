"""A question answers itself with its default: when it may, and what keeps it from that."""

from __future__ import annotations

import pytest

from ringmaster.model.asking import Advice
from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.queue import decide, defaults
from ringmaster.store import cursors, decisions
from ringmaster.store.connection import Connection
from tests.unit.queue.making import Queue

OPTIONS = ("a", "b")


async def ask(queue: Queue, *, after_s: float = 60.0, answer: str = "b", kind: DecisionKind = DecisionKind.QUESTION):
    """A question about a new task, and the task."""
    task_id = await queue.add_task()
    advice = Advice(recommendation="a", default_answer=answer, default_at=queue.clock.now + after_s)
    id = await queue.do(
        decide.open_decision,
        kind,
        project_id="toy",
        task_id=task_id,
        question="?",
        options=OPTIONS,
        advice=advice,
        rng=queue.rng,
    )
    return id, task_id


async def look(queue: Queue, id: str) -> Decision:
    return await queue.store.read(decisions.decision_by_id, id)


async def test_a_default_is_given_as_a_person_would_give_it(queue: Queue):
    id, task_id = await ask(queue)
    await queue.add_worker()
    assert await queue.do(defaults.give_default, id) == ""
    assert await queue.claim() is None
    queue.clock.now += 60
    assert await queue.do(defaults.give_default, id) == f"the answer goes into the next prompt of {task_id}"
    decision = await look(queue, id)
    assert (decision.state, decision.answer, decision.answered_by) == ("answered", "b", "default")
    # Whoever goes on with it knows that no person chose.
    assert decision.message.startswith("nobody answered in time")
    [event] = await queue.events("decision.answered")
    assert event.actor == "default"
    claim = await queue.claim()
    assert claim is not None
    assert claim.task.id == task_id


async def test_who_was_faster_stays_the_one_who_answered(queue: Queue):
    id, _ = await ask(queue)
    await queue.do(decide.answer_decision, id, answer="a", message="", actor="operator")
    queue.clock.now += 60
    before = await queue.events()
    assert await queue.do(defaults.give_default, id) == ""
    assert await queue.events() == before
    assert (await look(queue, id)).answer == "a"


@pytest.mark.parametrize("answer", ["c", ""])
async def test_only_one_of_its_options_is_given(queue: Queue, answer: str):
    id, _ = await ask(queue, answer=answer)
    queue.clock.now += 60
    assert await queue.do(defaults.give_default, id) == ""


async def test_only_a_question_answers_itself(queue: Queue):
    id, _ = await ask(queue, kind=DecisionKind.NO_CHANGES, answer="a")
    queue.clock.now += 60
    assert await queue.do(defaults.give_default, id) == ""


async def test_nothing_is_given_while_the_queue_is_paused(queue: Queue):
    id, _ = await ask(queue)
    queue.clock.now += 60

    def pause(conn: Connection) -> None:
        conn.execute("INSERT INTO pauses (scope, name, reason, paused_at) VALUES ('queue', '', 'r', 1.0)")

    await queue.do(pause)
    assert await queue.do(defaults.give_default, id) == ""
    await queue.do(lambda conn: conn.execute("DELETE FROM pauses"))
    assert await queue.do(defaults.give_default, id) != ""


async def test_a_row_that_cannot_be_read_is_left_to_a_person(queue: Queue):
    id, _ = await ask(queue)
    queue.clock.now += 60
    await queue.do(lambda conn: conn.execute("UPDATE decisions SET options = 'x'"))
    assert await queue.do(defaults.give_default, id) == ""


async def test_what_waits_is_told_with_whether_people_know_of_it(queue: Queue):
    first, _ = await ask(queue, after_s=90.0)
    [seq] = [event.seq for event in await queue.events("decision.opened")]
    second, _ = await ask(queue, after_s=60.0)
    waiting = await queue.store.read(defaults.waiting_for_default)
    assert [(one.id, one.is_told) for one in waiting] == [(second, True), (first, True)]
    await queue.do(cursors.write_cursor, defaults.NOTICES, seq)
    waiting = await queue.store.read(defaults.waiting_for_default)
    assert [(one.id, one.default_at, one.is_told) for one in waiting] == [
        (second, queue.clock.now + 60, False),
        (first, queue.clock.now + 90, True),
    ]
