"""Budgets in the transactions that count them: a claim, an attempt that leaves its seat, a day that ends."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from ringmaster.model.budget import utc_day
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.task import Limits
from ringmaster.model.worker import HAND
from ringmaster.protocol.budget import BudgetSetParams, BudgetView
from ringmaster.queue import lease, report
from ringmaster.queue.budget import list_budgets, set_budget, used_up_budgets
from ringmaster.queue.claim import Claim, claim_for_worker
from ringmaster.queue.costs import Costs, begin_agent, note_costs
from ringmaster.queue.limits import Allowance, Bounds, bounds_of
from ringmaster.settings import ClaudeSettings, CodexSettings, Settings
from ringmaster.store import spending
from ringmaster.store.connection import Connection
from ringmaster.workers.dispatcher import fill_seats
from tests.unit.queue.making import Queue

DAY_S = 86_400
METERED = Bounds(metered={"claude": 4.0, "codex": None})


async def budget(queue: Queue, **fields: Any) -> BudgetView:
    names: dict[str, Any] = {"project_id": "toy"} if "is_all" not in fields else {}
    return await queue.do(set_budget, BudgetSetParams(**names, **fields), actor="test")


async def take(queue: Queue, agent: str = "claude", worker_id: str = "") -> Claim | None:
    """A claim by a new seat of an agent."""
    seat = worker_id or await queue.add_worker(agent=agent)
    token = f"{queue.rng.getrandbits(64):x}"

    def claim(conn: Connection) -> Claim | None:
        return claim_for_worker(conn, seat, token, rng=queue.rng, allowance=Allowance(conn, METERED))

    return await queue.do(claim)


async def begin(queue: Queue, agent: str = "claude") -> Claim:
    """One whose agent is about to start."""
    found = await take(queue, agent)
    assert found is not None
    await queue.do(begin_agent, found.attempt, session_id="s", model="", account_id="", agent=agent, label="")
    return found


async def end(queue: Queue, found: Claim, outcome: Outcome = Outcome.NEEDS_DECISION, **costs: Any) -> None:
    def leave(conn: Connection) -> None:
        if costs:
            note_costs(conn, found.attempt.id, found.attempt.token, Costs(**costs))
        report.end_attempt(conn, found.attempt.id, found.attempt.token, outcome, "why", rng=queue.rng)

    await queue.do(leave)


async def spent(queue: Queue) -> tuple[int, float, bool]:
    found = (await queue.store.read(list_budgets, "toy")).budgets[-1]
    return found.attempts, found.usd, found.has_unknown


async def add_tasks(queue: Queue, count: int, **fields: Any) -> None:
    for number in range(count):
        await queue.add_task(title=f"t{number}", **fields)


async def test_attempts_are_counted_by_the_claim_and_the_next_day_begins_anew(queue: Queue):
    await add_tasks(queue, 4)
    await budget(queue, max_attempts=2)
    assert await take(queue, "scripted") is not None
    assert await take(queue, "scripted") is not None
    assert await take(queue, "scripted") is None
    (found,) = await queue.store.read(used_up_budgets)
    assert found.words == "2 of 2 attempts are used"
    queue.clock.now += DAY_S
    assert await take(queue, "scripted") is not None
    # A clock that goes back brings no second allowance.
    queue.clock.now -= DAY_S
    assert await take(queue, "scripted") is not None
    assert await take(queue, "scripted") is None
    assert (await spent(queue))[0] == 2


async def test_a_clock_that_was_far_ahead_once_keeps_no_day_for_ever(queue: Queue):
    await add_tasks(queue, 6)
    await budget(queue, max_attempts=2)
    began_at = queue.clock.now
    assert await take(queue, "scripted") is not None
    queue.clock.now = began_at + 3000 * DAY_S
    assert [await take(queue, "scripted") is not None for _ in range(3)] == [True, True, False]
    queue.clock.now = began_at
    assert (await spent(queue))[0] == 1, "what was counted today still is"
    assert [await take(queue, "scripted") is not None for _ in range(2)] == [True, False]
    queue.clock.now = began_at + DAY_S
    assert await take(queue, "scripted") is not None


async def test_the_budget_of_all_projects_holds_for_each(queue: Queue):
    await queue.add_project("other")
    await add_tasks(queue, 2, project_id="toy")
    await add_tasks(queue, 2, project_id="other")
    await budget(queue, is_all=True, max_attempts=3)
    assert [await take(queue, "scripted") is not None for _ in range(4)] == [True, True, True, False]


async def test_a_used_up_project_keeps_no_other_back(queue: Queue):
    await queue.add_project("other")
    await add_tasks(queue, 1, project_id="toy")
    await budget(queue, max_attempts=0)
    await add_tasks(queue, 1, project_id="other")
    found = await take(queue, "scripted")
    assert found is not None
    assert found.task.project_id == "other"


async def test_dollars_are_held_while_an_attempt_runs_and_counted_when_it_leaves_its_seat(queue: Queue):
    await add_tasks(queue, 9)
    await budget(queue, max_usd=10.0)
    first, second = await begin(queue), await begin(queue)
    assert await take(queue) is None, "4 and 4 are held, and another 4 does not fit"
    assert await take(queue, "scripted") is not None, "what costs nothing goes on"
    await end(queue, first, cost_usd=1.0)
    third = await begin(queue)
    await queue.do(note_costs, third.attempt.id, third.attempt.token, Costs(cost_usd=2.5))
    await queue.hand_over(third)
    assert (await spent(queue))[1] == 3.5, "what waits in the lane has spent what it has"
    await end(queue, second, cost_usd=6.5)
    assert await take(queue) is None
    assert await spent(queue) == (4, 10.0, False)
    assert await queue.store.read(spending.all_reserved) == []


async def test_what_did_not_tell_counts_as_its_limit_and_without_one_uses_the_day_up(queue: Queue):
    await add_tasks(queue, 9)
    await budget(queue, max_usd=10.0)
    await end(queue, await begin(queue), Outcome.INTERRUPTED)
    assert await spent(queue) == (1, 4.0, False)
    await end(queue, await begin(queue), cost_usd=0.5, is_told=False)
    assert await spent(queue) == (2, 8.0, False)
    await budget(queue, max_usd=100.0)
    alone = await begin(queue, "codex")
    assert await take(queue, "codex") is None, "without a limit it has to run alone"
    assert await take(queue) is None, "and nothing beside it"
    await end(queue, alone, Outcome.TIMED_OUT)
    assert await spent(queue) == (3, 8.0, True)
    assert await take(queue) is None
    queue.clock.now += DAY_S
    assert await take(queue) is not None


async def test_what_never_got_to_its_agent_costs_nothing(queue: Queue):
    await add_tasks(queue, 2)
    found = await take(queue)
    assert found is not None
    await end(queue, found, Outcome.INTERRUPTED)
    await end(queue, await begin(queue), Outcome.SPAWN_FAILED)
    assert await spent(queue) == (2, 0.0, False)


async def test_a_tasks_own_budget_is_its_limit_and_one_above_a_whole_day_is_cut_to_it(queue: Queue):
    await queue.add_task(limits=Limits(budget_usd=1.5))
    await budget(queue, max_usd=2.0)
    found = await take(queue)
    assert found is not None
    assert await queue.store.read(spending.limit_of, found.attempt.id) == 1.5
    await queue.add_task()
    assert await take(queue) is None, "4 dollars fit on no day, 2 do not fit on this one"
    queue.clock.now += DAY_S
    await end(queue, found, Outcome.INTERRUPTED)
    other = await take(queue)
    assert other is not None
    assert await queue.store.read(spending.limit_of, other.attempt.id) == 2.0


async def test_a_dear_task_is_not_passed_by_cheaper_ones_for_ever(queue: Queue):
    await queue.add_task("dear", limits=Limits(budget_usd=3.0))
    await queue.add_task("cheap", limits=Limits(budget_usd=0.5))
    await budget(queue, max_usd=3.2)
    await queue.store.write(spending.add_dollars, "toy", 1.0, has_unknown=False)
    assert await take(queue) is None
    queue.clock.now += DAY_S
    found = await take(queue)
    assert found is not None
    assert found.task.title == "dear"


@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0])
async def test_a_cost_that_is_no_number_is_refused(queue: Queue, cost: float):
    await add_tasks(queue, 1)
    found = await begin(queue)
    with pytest.raises(RingmasterError) as raised:
        await queue.do(note_costs, found.attempt.id, found.attempt.token, Costs(cost_usd=cost))
    assert raised.value.kind is ErrorKind.USAGE
    with pytest.raises(RingmasterError):
        await budget(queue, max_usd=cost)


async def test_a_budget_changes_by_what_is_named_and_goes_with_its_last_limit(queue: Queue):
    await budget(queue, max_attempts=5)
    view = await budget(queue, max_usd=2.0)
    assert (view.max_attempts, view.max_usd) == (5, 2.0)
    view = await budget(queue, is_attempts_removed=True)
    assert (view.max_attempts, view.max_usd) == (None, 2.0)
    await budget(queue, is_usd_removed=True)
    assert len(await queue.events("budget.changed")) == 4
    await budget(queue, is_usd_removed=True)
    assert len(await queue.events("budget.changed")) == 4, "nothing changed"
    for params in (BudgetSetParams(max_usd=1.0), BudgetSetParams(project_id="toy", is_all=True, max_usd=1.0)):
        with pytest.raises(RingmasterError) as raised:
            await queue.do(set_budget, params, actor="test")
        assert raised.value.kind is ErrorKind.USAGE


async def test_the_dispatcher_wakes_when_the_day_of_a_used_up_budget_is_over(queue: Queue):
    await add_tasks(queue, 2)
    await queue.add_worker()
    await budget(queue, max_attempts=0)
    done = await queue.do(fill_seats, ["t"], 8, random.Random(1))
    assert done.claims == ()
    assert done.next_due_at == DAY_S
    assert utc_day(queue.clock.now) == "1970-01-01"


async def test_a_pull_by_hand_is_told_of_the_budget_and_a_loop_waits(queue: Queue):
    await add_tasks(queue, 1)
    await budget(queue, max_attempts=0)
    facts: dict[str, Any] = {"lease_s": 60.0, "max_running": 8, "actor": "t", "rng": queue.rng}
    with pytest.raises(RingmasterError) as raised:
        await queue.do(lease.pull, "ann", "t", is_run=False, **facts)
    assert (raised.value.kind, raised.value.exit_code) == (ErrorKind.REFUSED, 6)
    assert "0 of 0 attempts are used" in raised.value.message
    await queue.add_worker("loop", is_pulled=True)
    assert await queue.do(lease.pull, "loop", "t", is_run=True, **facts) is None
    seat = lease.any_hand_seat(0.0)
    assert seat.agent == HAND
    assert not await queue.store.read(lease.is_worth_pulling, seat, 8)
    await budget(queue, is_attempts_removed=True)
    assert await queue.store.read(lease.is_worth_pulling, seat, 8)


async def test_without_work_a_used_up_budget_refuses_nothing(queue: Queue):
    await budget(queue, max_attempts=0)
    facts: dict[str, Any] = {"lease_s": 60.0, "max_running": 8, "actor": "t", "rng": queue.rng}
    assert await queue.do(lease.pull, "ann", "t", is_run=False, **facts) is None


def test_agents_of_a_vendors_model_are_metered_by_settings_and_by_nature() -> None:
    settings = Settings(
        agents={
            "mine": ClaudeSettings(max_budget_usd=2.0),
            "odd": ClaudeSettings(max_budget_usd=math.inf),
            "codex": CodexSettings(max_budget_usd=3.0),
        }
    )
    assert bounds_of(settings).metered == {"claude": None, "codex": 3.0, "mine": 2.0, "odd": None}


async def test_a_zero_below_nothing_is_kept_as_zero(queue: Queue):
    view = await queue.do(set_budget, BudgetSetParams(project_id="toy", max_usd=-0.0), actor="t")
    assert str(view.max_usd) == "0.0"
