"""What a session holds and does stays small, however much there is to follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.feed import session as sessions
from ringmaster.store.connection import Connection
from tests.integration.feed.following import following
from tests.integration.rpc.harness import Table
from tests.integration.rpc.jobs import Job, claim_task


async def test_of_attempts_that_are_over_a_session_keeps_nothing(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "WORKERS_KEPT", 10)
    claim = await claim_task(table)

    def emit(conn: Connection) -> None:
        row = "id, task_id, number, project_id, worker_id, agent, token, state, outcome, started_at, ended_at"
        for number in range(100, 140):
            values = (f"{claim.task.id}/{number}", claim.task.id, number)
            conn.execute(
                f"INSERT INTO attempts ({row}) VALUES (?, ?, ?, 'toy', 'w-other', 'a', 't', 'ended', 'failed', 1, 1)",
                values,
            )
            conn.emit("attempt.ended", task_id=claim.task.id, attempt_id=values[0])
        conn.emit("worker.paused", worker_id=claim.attempt.worker_id)

    for params in ({"worker_id": claim.attempt.worker_id}, {}):
        async with following(table, **params) as follower:
            await table.store.write(emit) if params else await Job(table, claim).begin()
            await follower.until(lambda f: f.types())
            assert len(follower.session._workers) <= (10 if params else 0)


async def test_who_begins_with_many_sources_waits_for_a_few_looks(table: Table, monkeypatch: pytest.MonkeyPatch):
    claim = await claim_task(table)
    for number in range(1, 101):
        gate = await Job(table, claim, f"gate-{number}").begin()
        gate.append(f"first of {number}\nlast of {number}\n")
    looks = []
    run_sync = trio.to_thread.run_sync

    async def count(fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        looks.append(fn)
        return await run_sync(fn, *args, **options)

    async with following(table, output=["gate"], tail_lines=0):
        # The readers are there: what is counted below are the looks for last lines.
        monkeypatch.setattr("ringmaster.feed.session.trio.to_thread.run_sync", count)
        async with following(table, output=["gate"], tail_lines=1) as follower:
            assert len(looks) == 4
            await follower.until(lambda f: len(f.texts) == 100)
            assert all(text == f"last of {source[1][5:]}\n" for source, text in follower.texts.items())


async def test_marks_come_as_much_more_seldom_as_they_are_bigger(table: Table, monkeypatch: pytest.MonkeyPatch):
    claim = await claim_task(table)
    for number in range(1, 21):
        await Job(table, claim, f"gate-{number}").begin()
    async with following(table, output=["gate"]) as few:
        monkeypatch.setattr(sessions, "MARK_SOURCES", 1)
        async with following(table, output=["gate"]) as many:
            monkeypatch.setattr(sessions, "MARK_S", 100.0)
            marked_at = many.session._marked_at
            assert many.session._next_mark_at == marked_at + 2000.0
            monkeypatch.setattr(sessions, "MARK_SOURCES", 1000)
            assert few.session._next_mark_at == few.session._marked_at + 100.0


async def test_who_wants_what_is_new_is_not_told_what_a_slow_one_waits_for(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ringmaster.feed.reader.AHEAD_BYTES", 1000)
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    source = (claim.attempt.id, "agent", "stdout")
    async with following(table, output=["stdout"]) as slow:
        agent.append("old\n" * 100_000)
        # It takes nothing, so the reader stays near where it is.
        await trio.testing.wait_all_tasks_blocked(0.02)
        async with following(table, output=["stdout"], tail_lines=0) as quick:
            agent.append("new\n")
            await quick.until(lambda f: f.texts)
            assert quick.texts == {source: "new\n"}
        await slow.until(lambda f: f.offsets.get(source) == 400_004)
        assert slow.texts[source].endswith("old\nnew\n")
