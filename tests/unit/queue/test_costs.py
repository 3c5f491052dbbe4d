"""Costs in the attempt's row, and accounts that rest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ringmaster.agents.base import Account
from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.cost import AgentCost, CostListParams, DayCost
from ringmaster.queue.costs import Costs, begin_agent, note_costs, read_costs, resume_account
from ringmaster.queue.view import task_detail
from ringmaster.settings import Paths
from ringmaster.store import attempts, projects
from ringmaster.store.connection import Connection
from ringmaster.workers.dispatcher import fill_seats
from tests.unit.queue.making import Queue

PAYER = Account(id="claude:1", agent="claude", label="the key")
OTHER = Account(id="claude:2", agent="claude", label="another key")


async def test_costs_are_in_the_row_and_a_limit_lets_every_seat_of_the_account_rest(queue: Queue, tmp_path: Path):
    await queue.add_task("one")
    second = await queue.add_task("two")
    for seat in ("a", "b"):
        await queue.add_worker(seat)
    claim = await queue.claim("a")
    assert claim is not None
    attempt = claim.attempt

    def limit(conn: Connection) -> float:
        begin_agent(
            conn, attempt, session_id="s", model="", account_id=PAYER.id, agent=attempt.agent, label=PAYER.label
        )
        costs = Costs(
            model="m", cost_usd=0.5, tokens_in=10, tokens_out=2, pause_until_at=conn.now + 60, pause_reason="the limit"
        )
        note_costs(conn, attempt.id, attempt.token, costs)
        return conn.now + 60

    until_at = await queue.do(limit)
    row = await queue.do(attempts.attempt_by_id, attempt.id)
    assert (row.session_id, row.account, row.model) == ("s", PAYER.id, "m")
    assert (row.cost_usd, row.tokens_in, row.tokens_out) == (0.5, 10, 2)

    paths = Paths(name="t", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c")
    waiting = (await queue.do(task_detail, second, paths)).next_step
    assert (
        waiting == f"the account of {row.agent} rests for 60 s (the limit); to try it now: rmctl agent test {row.agent}"
    )

    held = await queue.do(fill_seats, ["u"], 8, random.Random(2), {row.agent: PAYER})
    assert held.claims == ()
    assert held.next_due_at == until_at, "the dispatcher wakes when the limit ends"
    assert await queue.do(resume_account, PAYER.id, actor="test")
    assert not await queue.do(resume_account, PAYER.id, actor="test")
    freed = await queue.do(fill_seats, ["v"], 8, random.Random(2), {row.agent: PAYER})
    assert len(freed.claims) == 1
    assert [event.type for event in await queue.events("account.")] == [
        "account.paused",
        "account.resumed",
    ]


async def test_another_account_of_the_same_agent_works_on(queue: Queue):
    await queue.add_task("one")
    await queue.add_task("two")
    for seat in ("a", "b"):
        await queue.add_worker(seat)
    claim = await queue.claim("a")
    assert claim is not None
    attempt = claim.attempt

    def limit(conn: Connection) -> None:
        begin_agent(conn, attempt, session_id="s", model="", account_id=PAYER.id, agent="claude", label=PAYER.label)
        note_costs(conn, attempt.id, attempt.token, Costs(pause_until_at=conn.now + 60))

    await queue.do(limit)
    taken = await queue.do(fill_seats, ["u"], 8, random.Random(2), {attempt.agent: OTHER})
    assert len(taken.claims) == 1


async def test_costs_add_up_by_the_day_of_the_reader_and_by_agent(queue: Queue):
    hour_s = 3600.0
    # 23:30, 00:10 and 00:40 of the next day, in UTC.
    for at, agent, model in ((23.5, "a", "big"), (24 + 1 / 6, "a", "small"), (24 + 2 / 3, "b", "big")):
        queue.clock.now = at * hour_s
        await queue.add_task(f"at {at}")
        claim = await queue.claim(await queue.add_worker(agent=agent))
        assert claim is not None
        costs = Costs(model=model, cost_usd=at, tokens_in=100, tokens_out=1)
        await queue.do(note_costs, claim.attempt.id, claim.attempt.token, costs)

    def utc(at: float) -> str:
        return f"day {int(at // 86400)}"

    found = await queue.do(read_costs, CostListParams(), utc)
    late, early = 24 + 1 / 6 + 24 + 2 / 3, 23.5
    assert found.by_day == (
        DayCost(day="day 1", attempts=2, cost_usd=late, tokens_in=200, tokens_out=2),
        DayCost(day="day 0", attempts=1, cost_usd=early, tokens_in=100, tokens_out=1),
    )
    assert found.by_agent == (
        AgentCost(agent="a", attempts=2, cost_usd=24 + 1 / 6 + early, tokens_in=200, tokens_out=2),
        AgentCost(agent="b", attempts=1, cost_usd=24 + 2 / 3, tokens_in=100, tokens_out=1),
    )
    # Half an hour further east it is past midnight at the first, too.
    east = await queue.do(read_costs, CostListParams(), lambda at: utc(at + hour_s / 2))
    assert [(row.day, row.attempts) for row in east.by_day] == [("day 1", 3)]
    newest = await queue.do(read_costs, CostListParams(limit=1), utc)
    assert [row.day for row in newest.by_day] == ["day 1"]
    assert newest.cost_usd == found.cost_usd, "the total is of all, whatever is shown"


async def test_costs_of_a_project_that_never_was_are_not_nothing(queue: Queue):
    await queue.add_task("one")
    (name,) = await queue.do(projects.all_ids)
    assert (await queue.do(read_costs, CostListParams(project_id=name))).cost_usd == 0
    await queue.do(projects.remove_project, name)
    assert (await queue.do(read_costs, CostListParams(project_id=name))).cost_usd == 0
    with pytest.raises(RingmasterError, match="no project 'nope'"):
        await queue.do(read_costs, CostListParams(project_id="nope"))
