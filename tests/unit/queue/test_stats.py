"""Figures over time: where points begin, what falls into which, and how much one read looks at."""

from __future__ import annotations

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.receipt import GateResult, Receipt
from ringmaster.protocol.stats import MOST_POINTS, StatsPoint, StatsSeriesParams
from ringmaster.queue import stats
from ringmaster.queue.costs import Costs, note_costs
from ringmaster.queue.report import end_attempt
from ringmaster.queue.stats import list_begins, middle, plan_series, read_points, success_rate
from ringmaster.store.connection import Connection
from ringmaster.store.receipts import insert_receipt
from tests.unit.queue.making import Queue

HOUR, DAY = 3_600, 86_400
NOON = 20_000 * DAY + 12 * HOUR


async def series(queue: Queue, **params: object) -> list[StatsPoint]:
    plan = await queue.store.read(plan_series, StatsSeriesParams(**params))  # type: ignore[arg-type]
    points: list[StatsPoint] = []
    while len(points) < len(plan.begins):
        points += await queue.store.read(read_points, plan, len(points))
    return points


def tell_landed(conn: Connection, task_id: str) -> None:
    conn.emit("task.landed", project_id="toy", task_id=task_id)


def test_days_begin_by_the_clock_that_was_asked_for():
    assert list_begins(NOON, NOON, size_s=DAY, offset_s=0) == (NOON - 12 * HOUR,)
    assert list_begins(NOON, NOON, size_s=DAY, offset_s=2 * HOUR) == (NOON - 14 * HOUR,)
    assert list_begins(NOON, NOON, size_s=DAY, offset_s=-13 * HOUR) == (NOON - 23 * HOUR,)
    assert list_begins(NOON, NOON + 900, size_s=HOUR, offset_s=1800) == (NOON - 1800,)
    # A point holds its beginning and not its end.
    assert list_begins(NOON, NOON + HOUR - 1, size_s=HOUR, offset_s=0) == (NOON,)
    assert list_begins(NOON - 1, NOON + HOUR, size_s=HOUR, offset_s=0) == (NOON - HOUR, NOON, NOON + HOUR)
    assert len(list_begins(0, NOON, size_s=HOUR, offset_s=0)) == 30


def test_a_time_that_is_none_or_too_long_is_refused():
    longest = NOON + (MOST_POINTS - 1) * HOUR
    assert len(list_begins(NOON, longest, size_s=HOUR, offset_s=0)) == MOST_POINTS
    for since_at, until_at in ((NOON, longest + HOUR), (NOON + 1, NOON)):
        with pytest.raises(RingmasterError) as refused:
            list_begins(since_at, until_at, size_s=HOUR, offset_s=0)
        assert refused.value.kind is ErrorKind.USAGE
        assert refused.value.hint


def test_what_tells_nothing_of_the_work_is_no_part_of_the_success_rate():
    assert success_rate({}) is None
    assert success_rate({"interrupted": 5, "rate_limited": 1}) is None
    assert success_rate({"interrupted": 5, "gate_failed": 1}) == 0.0
    assert success_rate({"succeeded": 3, "failed": 1, "cancelled": 9}) == 0.75


def test_a_clock_that_was_set_back_makes_no_time_shorter_than_nothing():
    assert middle(()) is None
    assert middle((1.0, 9.0, 2.0)) == 2.0
    assert middle((-5.0,)) == 0.0


async def test_each_end_counts_in_the_hour_in_which_it_was(queue: Queue):
    queue.clock.now = NOON
    await queue.add_project("other")
    ends = ((Outcome.FAILED, NOON + HOUR - 1), (Outcome.GATE_FAILED, NOON + HOUR), (Outcome.INTERRUPTED, NOON + HOUR))
    for outcome, at in ends:
        queue.clock.now = NOON
        attempt = (await queue.begin(project_id="toy")).attempt
        costs = Costs(cost_usd=0.5, tokens_in=10, tokens_out=3)
        await queue.do(note_costs, attempt.id, attempt.token, costs)
        queue.clock.now = at
        await queue.do(end_attempt, attempt.id, attempt.token, outcome, "so", rng=queue.rng)
    await queue.begin(project_id="other")
    queue.clock.now = NOON + 2 * HOUR

    first, second, third = await series(queue, by="hour", since_at=NOON)
    assert (first.begin_at, first.end_at, first.is_open) == (NOON, NOON + HOUR, False)
    assert (first.attempts, first.success_rate) == ({"failed": 1}, 0.0)
    assert (first.cost_usd, first.tokens_in, first.tokens_out) == (0.5, 10, 3)
    assert second.attempts == {"gate_failed": 1, "interrupted": 1}
    assert (second.cost_usd, second.tokens_in, second.tokens_out) == (1.0, 20, 6)
    # What still runs has not ended in any.
    assert third == StatsPoint(begin_at=NOON + 2 * HOUR, end_at=NOON + 3 * HOUR, is_open=True)
    assert (await series(queue))[-1].attempts == {"failed": 1, "gate_failed": 1, "interrupted": 1}
    assert all(not point.attempts for point in await series(queue, project_id="other"))
    with pytest.raises(RingmasterError, match="nobody"):
        await series(queue, project_id="nobody")


async def test_gates_count_when_they_ended_with_what_they_took(queue: Queue):
    queue.clock.now = NOON + HOUR
    for number, (began_at, ended_at) in enumerate(((NOON - 60, NOON - 1), (NOON - 60, NOON), (NOON, NOON + 30))):
        receipt = Receipt(
            id=0,
            project_id="toy",
            attempt_id="",
            gate="true",
            commit=str(number),
            tree=str(number),
            result=GateResult.RED,
            tests_total=None,
            tests_failed=(),
            is_flaky=False,
            job="",
            started_at=began_at,
            ended_at=ended_at,
        )
        await queue.do(insert_receipt, receipt)
    before, now, _ = await series(queue, by="hour", since_at=NOON - 1)
    assert ((before.gates, before.gate_s), (now.gates, now.gate_s)) == ((1, 59.0), (2, 90.0))


async def test_what_landed_took_from_its_arrival_and_not_from_when_another_system_made_it(queue: Queue):
    queue.clock.now = NOON
    for _ in range(3):
        await queue.add_task()
    ids = [
        task_id for (task_id,) in await queue.store.read(lambda conn: conn.rows("SELECT id FROM tasks ORDER BY seq"))
    ]
    # Rows as an import leaves them, and as code before there was an arrival left them.
    await queue.do(lambda conn: conn.execute("UPDATE tasks SET created_at = 5 WHERE id = ?", (ids[0],)))
    await queue.do(lambda conn: conn.execute("UPDATE tasks SET arrived_at = 0 WHERE id = ?", (ids[1],)))
    for task_id, after_s in zip(ids, (100, 300, 1_000), strict=True):
        queue.clock.now = NOON + after_s
        await queue.do(tell_landed, task_id)
    await queue.do(lambda conn: conn.emit("task.failed", project_id="toy", task_id=ids[0]))
    (point,) = await series(queue, by="hour", since_at=NOON)
    assert (point.landed, point.failed, point.cancelled, point.landed_after_s) == (3, 1, 0, 300.0)


async def test_one_read_looks_at_so_much_and_at_one_point_at_least(queue: Queue, monkeypatch):
    queue.clock.now = NOON
    for _ in range(3):
        attempt = (await queue.begin()).attempt
        await queue.do(end_attempt, attempt.id, attempt.token, Outcome.CANCELLED, "so", rng=queue.rng)
        queue.clock.now += HOUR
    plan = await queue.store.read(plan_series, StatsSeriesParams(by="hour", since_at=NOON))
    whole = await queue.store.read(read_points, plan, 0)
    assert [point.cancelled for point in whole] == [1, 1, 1, 0]
    # An attempt that was cancelled is one entry, the end of its task another.
    monkeypatch.setattr(stats, "ENTRIES_AT_ONCE", 2 * (2 + stats.ENTRIES_OF_A_POINT))
    assert await queue.store.read(read_points, plan, 0) == whole[:2]
    assert await queue.store.read(read_points, plan, 2) == whole[2:]
    monkeypatch.setattr(stats, "ENTRIES_AT_ONCE", 0)
    assert await queue.store.read(read_points, plan, 1) == whole[1:2]
