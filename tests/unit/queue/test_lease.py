"""Who may pull for which seat, and what a pull leaves in the rows."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import WorkerState
from ringmaster.model.worker import HAND
from ringmaster.queue import control, lease
from ringmaster.queue.claim import Claim
from ringmaster.queue.limits import Bounds
from ringmaster.settings import Paths
from ringmaster.store import attempts, leases, workers
from tests.unit.queue.making import Queue


async def pull(queue: Queue, worker_id: str = "", **changes: object) -> Claim | None:
    values: dict[str, object] = {"lease_s": 60.0, "is_run": False, "max_running": 8, "actor": "test", **changes}
    return await queue.do(lease.pull, worker_id, "token", rng=queue.rng, **values)  # type: ignore[arg-type]


async def refusal(queue: Queue, worker_id: str, **changes: object) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        await pull(queue, worker_id, **changes)
    return caught.value


async def test_a_pull_makes_the_seat_it_names_and_takes_what_a_claim_would(queue: Queue):
    assert await pull(queue, "ann") is None
    urgent = [await queue.add_task(priority=p) for p in (2, 0)][1]
    found = await pull(queue, "ann")
    assert found is not None
    assert (found.task.id, found.attempt.agent, found.attempt.lease_s) == (urgent, HAND, 60.0)
    seat = await queue.store.read(workers.worker_by_id, "ann")
    assert (seat.is_pulled, seat.attempt_id) == (True, found.attempt.id)
    row = await queue.store.read(attempts.attempt_by_id, found.attempt.id)
    assert (row.lease_s, row.lease_left_s, lease.standing_of(row)) == (60.0, None, "preparing")


async def test_whoever_names_no_seat_gets_a_free_one(queue: Queue):
    for _ in range(3):
        await queue.add_task()
    first, second = await pull(queue), await pull(queue)
    assert first is not None
    assert second is not None
    assert (first.attempt.worker_id, second.attempt.worker_id) == ("h1", "h2")
    await queue.do(lease.begin_lease, first.attempt.id, "token")
    await queue.hand_over(first)
    third = await pull(queue)
    assert third is not None
    assert third.attempt.worker_id == "h1"


async def test_seats_that_are_not_for_pulling_are_refused_in_words(queue: Queue):
    await queue.add_worker("mine", agent="scripted")
    await queue.add_worker("tmux", agent="claude", is_pulled=True)
    await queue.add_task()
    await queue.add_task()
    assert (await refusal(queue, "mine")).kind is ErrorKind.WRONG_STATE
    assert "rmctl worker run tmux" in (await refusal(queue, "tmux")).hint
    assert (await refusal(queue, "ann", is_run=True)).kind is ErrorKind.NOT_FOUND
    assert (await refusal(queue, "Bad Name")).kind is ErrorKind.USAGE
    found = await pull(queue, "ann")
    assert found is not None
    taken = await refusal(queue, "ann")
    assert (taken.kind, found.attempt.id in taken.message) == (ErrorKind.WRONG_STATE, True)
    await queue.do(control.set_worker_state, "tmux", WorkerState.PAUSED, actor="test")
    assert (await refusal(queue, "tmux", is_run=True)).kind is ErrorKind.REFUSED


async def test_limits_hold_for_who_pulls_too(queue: Queue):
    await queue.add_project("small", max_running=1)
    for _ in range(2):
        await queue.add_task(project_id="small")
    assert await pull(queue, "ann", max_running=0) is None
    assert await pull(queue, "ann") is not None
    assert await pull(queue, "bob") is None, "the project runs no more than it may"
    seat = await queue.store.read(workers.worker_by_id, "bob")
    assert not await queue.store.read(lease.is_worth_pulling, seat, 8)
    await queue.add_task(project_id="toy")
    assert await queue.store.read(lease.is_worth_pulling, seat, 8)
    assert not await queue.store.read(lease.is_worth_pulling, seat, 1)


async def test_what_has_become_due_is_worth_a_pull_which_takes_it(queue: Queue):
    task_id = await queue.add_task(not_before_at=1500.0)
    assert await pull(queue, "ann") is None
    seat = await queue.store.read(workers.worker_by_id, "ann")
    assert not await queue.store.read(lease.is_worth_pulling, seat, 8)
    queue.clock.now = 1500.0
    assert await queue.store.read(lease.is_worth_pulling, seat, 8)
    found = await pull(queue, "ann")
    assert found is not None
    assert found.task.id == task_id


async def test_what_is_due_is_not_worth_a_pull_that_the_agents_limit_refuses(queue: Queue):
    await queue.add_task(not_before_at=1500.0)
    queue.clock.now = 1500.0
    seat = lease.any_hand_seat(queue.clock.now)
    assert await queue.store.read(lease.is_worth_pulling, seat, 8, Bounds(agents={seat.agent: 1}))
    assert not await queue.store.read(lease.is_worth_pulling, seat, 8, Bounds(agents={seat.agent: 0}))


async def test_every_write_of_a_lease_finds_only_its_own_state(queue: Queue):
    await queue.add_task()
    found = await pull(queue, "ann")
    assert found is not None
    attempt = found.attempt
    for early in (leases.renew_lease, leases.expire_lease):
        assert not await queue.do(early, attempt)
    assert await queue.do(leases.begin_lease, attempt)
    assert not await queue.do(leases.begin_lease, attempt), "begun once"
    assert await queue.do(leases.note_left, attempt, 7.0)
    assert await queue.do(leases.renew_lease, attempt)
    assert await queue.do(leases.expire_lease, attempt)
    for late in (leases.renew_lease, leases.expire_lease):
        assert not await queue.do(late, attempt)
    assert not await queue.do(leases.note_left, attempt, 7.0)
    assert not await queue.do(leases.hand_in, attempt, {"said": {}})
    row = await queue.store.read(attempts.attempt_by_id, attempt.id)
    assert (row.lease_left_s, lease.standing_of(row)) == (0.0, "run_out")


async def test_a_pulled_attempt_has_a_place_of_its_own(queue: Queue, tmp_path: Path):
    paths = Paths(name="t", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c")
    supervised = (await queue.begin()).attempt
    assert lease.workspace_of(supervised, paths) == paths.workspace("toy", supervised.task_id)
    pulled = msgspec.structs.replace(supervised, lease_s=1.0, number=2)
    assert lease.workspace_of(pulled, paths).name == f"{pulled.task_id}-2"
