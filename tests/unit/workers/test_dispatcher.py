"""Filling seats: every free seat is looked at, and nothing that is due wakes the dispatcher for ever."""

from __future__ import annotations

import random

import pytest

from ringmaster.model.project import ProjectConfig
from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue.control import spawn_worker
from ringmaster.queue.intake import add_task
from ringmaster.store import projects
from ringmaster.store.connection import Connection
from ringmaster.workers.dispatcher import SEATS_PER_ROUND, fill_seats
from tests.fakes.empty_store import open_empty_store
from tests.fakes.seats import make_seat

TOKENS = [f"token-{number}" for number in range(SEATS_PER_ROUND)]
NOW = 1_000.0


def add_worker(conn: Connection, id: str, agent: str) -> None:
    spawn_worker(conn, make_seat(id=id, agent=agent), actor="test")


def fill_house(conn: Connection, *, idle: int, agent: str = "", not_before_at: float | None = None) -> str:
    """A project, `idle` seats of another agent before the one that fits, and a task."""
    projects.insert_project(conn, id="toy", path="/toy", common_dir="/toy/.git", target="main", config=ProjectConfig())
    for number in range(idle):
        add_worker(conn, f"a{number}", "other")
    params = TaskAddParams(title="One", agent=agent, not_before_at=not_before_at)
    return add_task(conn, params, actor="test", max_attempts=3, rng=random.Random(1))


@pytest.mark.parametrize(("idle", "max_running"), [(SEATS_PER_ROUND + 1, 64), (5, 2)])
async def test_seats_that_can_take_nothing_hide_no_seat_behind_them(idle: int, max_running: int) -> None:
    async with open_empty_store(clock=lambda: NOW) as store:
        task_id = await store.write(fill_house, idle=idle, agent="scripted")
        await store.write(add_worker, "z", "scripted")
        dispatched = await store.write(fill_seats, TOKENS, max_running, random.Random(2))
        assert [claim.task.id for claim in dispatched.claims] == [task_id]


async def test_a_task_that_is_due_without_a_seat_for_it_does_not_wake_the_dispatcher() -> None:
    async with open_empty_store(clock=lambda: NOW) as store:
        await store.write(fill_house, idle=0, not_before_at=NOW - 1)
        dispatched = await store.write(fill_seats, TOKENS, 64, random.Random(2))
        assert dispatched.next_due_at is None
        await store.write(add_worker, "z", "scripted")
        dispatched = await store.write(fill_seats, TOKENS, 64, random.Random(2))
        assert len(dispatched.claims) == 1
