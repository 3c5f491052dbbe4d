"""Limits of agents and labels: what runs is counted, in a round as in single claims, and settings may change."""

from __future__ import annotations

import random

import pytest

from ringmaster.model.budget import Budget
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.task import Limits
from ringmaster.protocol.task import TaskEditParams
from ringmaster.queue import claim, closing, intake, labels, report
from ringmaster.queue.claim import Claim, claim_for_worker
from ringmaster.queue.labels import follow_limits
from ringmaster.queue.limits import Allowance, Bounds, of_label_limits
from ringmaster.store import budgets, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.labels import limited_labels
from ringmaster.workers.dispatcher import Dispatched, fill_seats
from tests.unit.queue.making import Queue

GPU = Bounds(labels={"gpu": 1})
TOKENS = [f"t{number}" for number in range(16)]


async def fill(queue: Queue, bounds: Bounds) -> Dispatched:
    return await queue.do(fill_seats, TOKENS, 64, random.Random(1), {}, bounds)


async def take(queue: Queue, bounds: Bounds, worker_id: str = "") -> Claim | None:
    seat = worker_id or await queue.add_worker()
    token = f"{queue.rng.getrandbits(64):x}"

    def give(conn: Connection) -> Claim | None:
        return claim_for_worker(conn, seat, token, rng=queue.rng, allowance=Allowance(conn, bounds))

    return await queue.do(give)


async def end(queue: Queue, found: Claim) -> None:
    names = (found.attempt.id, found.attempt.token)
    await queue.do(report.end_attempt, *names, Outcome.NEEDS_DECISION, "why", rng=queue.rng)


def titles(done: Dispatched) -> list[str]:
    return [claim.task.title for claim in done.claims]


async def test_an_agents_limit_holds_in_a_round_and_for_single_claims(queue: Queue):
    for number in range(6):
        await queue.add_task(f"t{number}")
    for _ in range(3):
        await queue.add_worker()
    await queue.add_worker(agent="other")
    bounds = Bounds(agents={"scripted": 2})
    done = await fill(queue, bounds)
    assert sorted(claim.attempt.agent for claim in done.claims) == ["other", "scripted", "scripted"]
    assert await take(queue, bounds) is None
    await end(queue, done.claims[0])
    assert await take(queue, bounds) is not None


async def test_a_limited_label_keeps_back_its_own_tasks_alone(queue: Queue):
    for number, label in enumerate(("gpu", "gpu", "", "gpu", "cpu")):
        await queue.add_task(f"{number}{label}", labels=(label,) if label else ())
    for _ in range(5):
        await queue.add_worker()
    assert titles(await fill(queue, GPU)) == ["0gpu", "2", "4cpu"]
    assert titles(await fill(queue, GPU)) == []


async def test_the_next_of_a_label_goes_when_one_has_left_its_seat(queue: Queue):
    for number in range(2):
        await queue.add_task(f"{number}", labels=("gpu",))
    first = await take(queue, GPU)
    assert first is not None
    assert await take(queue, GPU) is None
    await end(queue, first)
    second = await take(queue, GPU)
    assert second is not None
    assert second.task.title == "1"


async def test_tasks_follow_settings_that_begin_and_cease_to_limit_a_label(queue: Queue):
    id = await queue.add_task(labels=("gpu", "big"), capabilities=("x",))
    await queue.add_worker(capabilities=("x",))

    async def demand() -> list[str]:
        rows = await queue.store.read(
            lambda conn: conn.rows(
                "SELECT d.capabilities FROM tasks t JOIN demands d ON d.id = t.demand_id WHERE t.id = ?", (id,)
            )
        )
        return [row[0] for row in rows]

    assert await demand() == ['["x"]']
    none = Bounds(labels={"gpu": 0, "big": 1})
    assert titles(await fill(queue, none)) == []
    assert await demand() == ['["label:big","label:gpu","x"]']
    # A new task of a label that is limited is stored below its demand at once, and an edit moves it.
    await queue.do(intake.edit_task, TaskEditParams(id=id, labels=("big",)), actor="t")
    assert await demand() == ['["label:big","x"]']
    await queue.do(intake.edit_task, TaskEditParams(id=id, labels=("gpu",)), actor="t")
    assert titles(await fill(queue, Bounds())) == ["t"]
    assert await demand() == ['["x"]']
    assert await queue.store.read(limited_labels) == {}


async def test_new_demands_are_made_in_bounded_pieces_before_anything_is_given_out(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(labels, "PIECE", 2)
    for number in range(5):
        await queue.add_task(f"{number}", labels=("gpu",))
    for _ in range(5):
        await queue.add_worker()
    rounds = [await fill(queue, GPU) for _ in range(4)]
    assert [done.is_unfinished for done in rounds] == [True, True, False, False]
    assert [titles(done) for done in rounds] == [[], [], ["0"], []]
    # Ceasing goes the same way, and meanwhile nothing is kept back by a label that is not limited.
    assert await queue.do(follow_limits, {})
    assert await take(queue, Bounds()) is not None


async def test_what_older_code_stored_without_a_labels_demand_is_found_by_the_claim(queue: Queue):
    ids = [await queue.add_task(f"{number}") for number in range(3)]
    await fill(queue, GPU)
    await queue.store.write(
        lambda conn: conn.execute("UPDATE tasks SET labels = '[\"gpu\"]' WHERE id IN (?, ?)", (ids[0], ids[1]))
    )
    found = [await take(queue, GPU) for _ in range(3)]
    assert [claim.task.title if claim else None for claim in found] == ["0", "2", None]


async def test_a_task_that_ended_while_its_label_was_limited_is_given_out_after_it_is_opened_again(queue: Queue):
    await fill(queue, GPU)
    id = await queue.add_task("x", labels=("gpu",))
    await queue.do(closing.close_task, id, actor="p")
    await fill(queue, Bounds())
    assert await queue.store.read(limited_labels) == {}
    await queue.do(closing.reopen_task, id, actor="p")
    await queue.add_worker()
    assert titles(await fill(queue, Bounds())) == ["x"]


async def test_a_round_goes_on_where_more_rows_have_to_be_set_right_than_one_claim_looks_at(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(claim, "LOOKS", 2)
    for title in ("running", "0", "1", "2", "plain"):
        await queue.add_task(title)
    await fill(queue, GPU)
    await queue.store.write(lambda conn: conn.execute("UPDATE tasks SET labels = '[\"gpu\"]' WHERE title <> 'plain'"))
    await queue.add_worker()
    assert titles(await fill(queue, GPU)) == ["running"]
    await queue.add_worker()
    rounds = [await fill(queue, GPU) for _ in range(2)]
    assert [(titles(done), done.is_unfinished) for done in rounds] == [([], True), (["plain"], False)]


async def test_a_capability_cannot_pass_for_a_label(queue: Queue):
    id = await queue.add_task()
    given = ("label:gpu",)
    edit = TaskEditParams(id=id, capabilities=given)
    for tried in (
        lambda: queue.add_task(capabilities=given),
        lambda: queue.do(intake.edit_task, edit, actor="t"),
        lambda: queue.add_worker(capabilities=given),
    ):
        with pytest.raises(RingmasterError) as raised:
            await tried()
        assert raised.value.kind is ErrorKind.USAGE


async def test_why_is_told_by_the_same_rule(queue: Queue):
    await queue.add_task(labels=("gpu",))
    found = await take(queue, GPU)
    assert found is not None
    task = await queue.store.read(tasks.task_by_id, found.task.id)
    (obstacle,) = of_label_limits(task, {"gpu": 1}, GPU)
    assert obstacle.words == "1 of 1 tasks labelled gpu run"
    assert not list(of_label_limits(task, {"gpu": 0}, GPU))


async def test_a_dear_task_is_given_out_before_plainer_seats_take_its_budget_for_later_ones(queue: Queue):
    await queue.store.write(budgets.set_budget, Budget("toy", None, 3.0))
    bounds = Bounds(metered={"scripted": None})
    await queue.add_task("dear", capabilities=("big",), limits=Limits(budget_usd=2.5))
    for number in range(2):
        await queue.add_task(f"cheap{number}", limits=Limits(budget_usd=1.0))
    await queue.add_worker("w1")
    await queue.add_worker("w2", capabilities=("big",))
    done = await fill(queue, bounds)
    assert titles(done) == ["dear"]
    for given in done.claims:
        await queue.do(report.complete_without_diff, given.attempt.id, given.attempt.token, {})
    assert titles(await fill(queue, bounds)) == ["cheap0", "cheap1"]


async def test_seats_wait_for_a_dear_task_that_is_first_of_another_seat(queue: Queue):
    await queue.store.write(budgets.set_budget, Budget("toy", None, 3.0))
    bounds = Bounds(metered={"scripted": None})
    await queue.add_task("running", limits=Limits(budget_usd=1.0))
    await queue.add_worker("w1")
    assert titles(await fill(queue, bounds)) == ["running"]
    await queue.add_task("dear", capabilities=("big",), limits=Limits(budget_usd=2.5))
    await queue.add_task("cheap", limits=Limits(budget_usd=1.0))
    await queue.add_worker("w2")
    await queue.add_worker("w3", capabilities=("big",))
    assert titles(await fill(queue, bounds)) == []
