"""The question about a candidate: one for the same words, whoever asks again, and none about what nobody wants."""

from __future__ import annotations

import random

from ringmaster.model.decision import Decision
from ringmaster.model.generation import GenerationState, Origin
from ringmaster.queue import rollout
from ringmaster.queue.decide import answer_decision
from ringmaster.queue.release_question import ask_about_release, withdraw_release_questions
from ringmaster.store import decisions
from tests.unit.queue.making import Queue

WORDS = "policy: test weakened: a\n--- running\n+++ candidate"
RNG = random.Random(5)


async def ask(queue: Queue, generation: int = 3, words: str = WORDS) -> str:
    return await queue.do(ask_about_release, generation, "own", words, rng=RNG)


async def asked(queue: Queue) -> list[Decision]:
    return await queue.store.read(decisions.open_decisions, 10)


async def test_the_same_is_asked_once_also_when_it_was_answered(queue: Queue) -> None:
    first = await ask(queue)
    assert await ask(queue) == first
    (question,) = await asked(queue)
    assert question.question == "generation 3 of the daemon: policy: test weakened: a. Shall it be tried?"
    assert question.detail == WORDS
    await queue.do(answer_decision, first, answer="accept", message="", actor="me")
    second = await ask(queue, words="behaviour: changed")
    assert second != first
    # Started anew it comes by both again.
    assert await ask(queue) == first
    assert await ask(queue, words="behaviour: changed") == second
    assert [one.id for one in await asked(queue)] == [second]


async def test_other_words_about_it_take_the_question_back_and_another_candidate_has_its_own(queue: Queue) -> None:
    first, of_another = await ask(queue), await ask(queue, generation=31)
    newer = await ask(queue, words="policy: other")
    assert {one.id for one in await asked(queue)} == {newer, of_another}
    # What was taken back is asked anew.
    again = await ask(queue)
    assert again not in (first, newer)
    await queue.do(withdraw_release_questions, 3)
    assert [one.id for one in await asked(queue)] == [of_another]


async def test_a_superseded_candidate_is_asked_about_no_more(queue: Queue) -> None:
    origin = Origin(release="r1", digest="d", python="/py", source="package")
    made = await queue.do(rollout.make_generation, origin, above=2)
    assert made.id == 3
    await ask(queue)
    superseded = await queue.do(rollout.supersede, 3, "a newer change took its place")
    assert superseded.state is GenerationState.SUPERSEDED
    assert await asked(queue) == []
