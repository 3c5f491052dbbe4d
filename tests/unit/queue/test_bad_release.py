"""A bad release born of the target: the lane closes once, asks, files one repair, and opens when the target is good."""

from __future__ import annotations

import random

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.generation import Generation, GenerationState, Origin, Receipt, StageResult
from ringmaster.model.states import ProjectState, TaskState
from ringmaster.queue import bad_release, rollout
from ringmaster.queue.bad_release import Evidence
from ringmaster.queue.decide import answer_decision, open_decision
from ringmaster.queue.obstacles import PAUSED_BY_PERSON
from ringmaster.store import attempts, decisions, projects, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.events import events_after
from tests.unit.queue.making import Queue

PROJECT = "toy"

EVIDENCE = Evidence(subject="Be faster", command="git revert c", diff="+ broken")


def make(conn: Connection, commit: str = "c" * 40, source: str = "target") -> Generation:
    plain = {"digest": "d", "python": "/py", "source": source, "project_id": PROJECT, "commit": commit}
    made = rollout.make_generation(conn, Origin(release=f"r{commit}", parent=1, **plain))
    return rollout.note_receipt(conn, made.id, Receipt("boot", StageResult.PASSED, 1.5))


async def spoil(queue: Queue, commit: str = "c" * 40, source: str = "target") -> Generation:
    made = await queue.do(make, commit, source)
    return await queue.do(bad_release.settle_bad_release, made.id, "it crashed", EVIDENCE, rng=random.Random(made.id))


async def questions(queue: Queue) -> list[str]:
    found = await queue.store.read(decisions.open_decisions, 10)
    return [one.id for one in found if one.kind is DecisionKind.BAD_RELEASE]


async def reason(queue: Queue) -> str:
    project = await queue.store.read(projects.project_by_id, PROJECT)
    return project.paused_reason if project.state is ProjectState.PAUSED else ""


async def repairs(queue: Queue) -> list[str]:
    rows = await queue.store.read(tasks.open_rows_after, 0, 0, 10)
    return [row.task.id for row in rows if "bad-release" in row.task.labels]


async def test_the_lane_closes_with_the_evidence_and_one_repair(queue: Queue) -> None:
    bad = await spoil(queue)
    assert bad.state is GenerationState.BAD
    assert (await reason(queue)).startswith(f"bad release: generation {bad.id} of cccccccccccc (it crashed); ")
    (asked,) = await questions(queue)
    detail = (await queue.store.read(decisions.decision_by_id, asked)).detail
    for words in (
        "it crashed",
        "c" * 40,
        "Be faster",
        "boot: passed in 1.5 s",
        "by hand: git revert c",
        "+ b",
    ):
        assert words in detail
    (repair,) = await repairs(queue)
    task = await queue.store.read(tasks.task_by_id, repair)
    assert (task.priority, task.state, task.labels) == (0, TaskState.OPEN, ("bad-release",))
    assert detail in task.description
    assert any("measure" in line for line in task.acceptance)
    await queue.do(bad_release.settle_bad_release, bad.id, "again", EVIDENCE, rng=random.Random(1))
    assert (await questions(queue), await repairs(queue)) == ([asked], [repair])


async def test_only_the_target_has_a_lane(queue: Queue) -> None:
    await spoil(queue, source="worktree")
    assert (await reason(queue), await questions(queue), await repairs(queue)) == ("", [], [])


async def test_a_newer_bad_one_takes_the_question_over_and_files_no_second_repair(queue: Queue) -> None:
    await spoil(queue)
    first = await questions(queue)
    newer = await spoil(queue, "d" * 40)
    assert len(await questions(queue)) == 1
    assert await questions(queue) != first
    assert f"generation {newer.id} of dddddddddddd" in await reason(queue)
    assert len(await repairs(queue)) == 1


async def test_nothing_lands_before_it_opens_and_it_opens_by_itself(queue: Queue) -> None:
    await spoil(queue)
    closed = await queue.store.read(bad_release.find_closed, PROJECT)
    assert closed is not None
    assert not closed.is_revert_wanted
    (asked,) = await questions(queue)
    await queue.do(answer_decision, asked, answer="revert", message="", actor="me")
    closed = await queue.store.read(bad_release.find_closed, PROJECT)
    assert closed is not None
    assert closed.is_revert_wanted
    assert await reason(queue)
    await queue.do(bad_release.note_revert, closed, "e" * 40)
    assert "its revert eeeeeeeeeeee has landed" in await reason(queue)
    assert await queue.do(bad_release.open_lane, closed, "it is good")
    assert await reason(queue) == ""
    assert not await queue.do(bad_release.open_lane, closed, "it is good")
    told = [event.type for event in await queue.store.read(events_after, 0, 1000)]
    assert told.count("reload.lane_opened") == told.count("project.resumed") == told.count("reload.reverted") == 1


async def test_a_revert_that_cannot_be_is_asked_about_again(queue: Queue) -> None:
    await spoil(queue)
    (asked,) = await questions(queue)
    await queue.do(answer_decision, asked, answer="revert", message="", actor="me")
    closed = await queue.store.read(bad_release.find_closed, PROJECT)
    assert closed is not None
    await queue.do(bad_release.refuse_revert, closed, "a conflict in x", rng=random.Random(9))
    (again,) = await questions(queue)
    assert again != asked
    assert "a conflict in x" in (await queue.store.read(decisions.decision_by_id, again)).question
    assert "could not be reverted: a conflict in x" in await reason(queue)
    await queue.do(answer_decision, again, answer="resume", message="", actor="me")
    assert await reason(queue) == ""
    assert await queue.store.read(bad_release.find_closed, PROJECT) is None


async def test_a_pause_by_a_person_outlives_the_lane(queue: Queue) -> None:
    await queue.do(projects.set_project_state, PROJECT, ProjectState.PAUSED, PAUSED_BY_PERSON)
    await spoil(queue)
    closed = await queue.store.read(bad_release.find_closed, PROJECT)
    assert closed is not None
    assert await queue.do(bad_release.open_lane, closed, "it is good")
    assert await questions(queue) == []
    assert await reason(queue) == PAUSED_BY_PERSON


async def test_what_waits_in_the_lane_waits_until_it_opens(queue: Queue) -> None:
    found = await queue.begin()
    await queue.hand_over(found)
    await spoil(queue)
    assert await queue.store.read(attempts.next_in_lane, PROJECT) is None
    await queue.add_worker("w9")
    assert await queue.claim("w9") is None, "the repair is given out when the lane opens"
    closed = await queue.store.read(bad_release.find_closed, PROJECT)
    assert closed is not None
    await queue.do(bad_release.open_lane, closed, "it is good")
    landing = await queue.store.read(attempts.next_in_lane, PROJECT)
    assert landing is not None
    assert landing.id == found.attempt.id
    given = await queue.claim("w9")
    assert given is not None
    assert given.task.labels == ("bad-release",)


async def test_a_closed_lane_is_known_however_much_was_asked_and_tried_since(queue: Queue) -> None:
    bad = await spoil(queue)

    def add_many(conn: Connection) -> None:
        # First what was tried: each of these reads the questions that are open.
        for _ in range(1_001):
            rollout.supersede(conn, make(conn, "e" * 40, "worktree").id, "newer")
        for number in range(1_001):
            rng = random.Random(1_000 + number)
            open_decision(conn, DecisionKind.RELEASE, project_id="another", question="Shall it be tried?", rng=rng)

    queue.clock.now += 1
    await queue.do(add_many)
    closed = await queue.store.read(bad_release.find_closed, PROJECT)
    assert closed is not None
    assert closed.generation.id == bad.id
