"""Costs in the attempt's row, and accounts that rest."""

from __future__ import annotations

import random
from pathlib import Path

from ringmaster.agents.base import Account
from ringmaster.queue.costs import Costs, begin_agent, note_costs, resume_account
from ringmaster.queue.view import task_detail
from ringmaster.settings import Paths
from ringmaster.store import attempts
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
