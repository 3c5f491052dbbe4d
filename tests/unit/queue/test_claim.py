"""Which seat gets which task, and that it gets it alone."""

from __future__ import annotations

from ringmaster.model.states import ProjectState, WorkerState
from ringmaster.queue import control
from ringmaster.store import projects
from tests.unit.queue.making import Queue


async def test_the_most_urgent_and_then_the_oldest_is_next(queue: Queue):
    ids = {p: await queue.add_task(priority=p) for p in (3, 0, 2)}
    late = await queue.add_task(priority=0)
    got = []
    for _ in range(4):
        found = await queue.claim(await queue.add_worker())
        assert found is not None
        got.append(found.task.id)
    assert got == [ids[0], late, ids[2], ids[3]]
    assert await queue.claim(await queue.add_worker()) is None


async def test_a_claim_changes_task_seat_and_attempt_together(queue: Queue):
    found = await queue.begin()
    assert found.task.state == "running"
    assert (found.attempt.id, found.attempt.number) == (f"{found.task.id}/1", 1)
    started = (await queue.events("attempt.started"))[0]
    assert (started.task_id, started.attempt_id, started.worker_id) == (found.task.id, found.attempt.id, "w1")
    # The seat is taken: it gets no second one.
    await queue.add_task()
    assert await queue.claim("w1") is None


async def test_a_seat_takes_only_what_it_can_and_may(queue: Queue):
    await queue.add_project("other")
    await queue.add_task(project_id="toy", agent="claude")
    await queue.add_task(project_id="toy", capabilities=("gpu", "net"))
    await queue.add_task(project_id="other")
    await queue.add_worker("plain", project_id="toy")
    await queue.add_worker("half", project_id="toy", capabilities=("gpu",))
    assert await queue.claim("plain") is None
    assert await queue.claim("half") is None
    await queue.add_worker("able", project_id="toy", capabilities=("net", "gpu", "more"))
    await queue.add_worker("claude", agent="claude", project_id="toy")
    await queue.add_worker("any")
    able, claude, anyone = [await queue.claim(name) for name in ("able", "claude", "any")]
    assert able is not None
    assert able.task.capabilities == ("gpu", "net")
    assert claude is not None
    assert claude.task.agent == "claude"
    assert anyone is not None
    assert anyone.task.project_id == "other"


async def test_what_waits_is_not_given_out(queue: Queue):
    await queue.add_worker()
    first = await queue.add_task(is_draft=True)
    await queue.add_task(after=(first,))
    later = await queue.add_task(not_before_at=1500.0)
    assert await queue.claim() is None
    queue.clock.now = 1500.0
    found = await queue.claim()
    assert found is not None
    assert found.task.id == later


async def test_a_paused_project_and_a_paused_worker_get_nothing(queue: Queue):
    await queue.add_worker()
    await queue.add_task()
    await queue.do(control.set_worker_state, "w1", WorkerState.PAUSED, actor="test")
    assert await queue.claim() is None
    await queue.do(control.set_worker_state, "w1", WorkerState.ACTIVE, actor="test")
    await queue.do(projects.set_project_state, "toy", ProjectState.PAUSED, "because")
    assert await queue.claim() is None
    await queue.do(projects.set_project_state, "toy", ProjectState.ACTIVE, "")
    assert await queue.claim() is not None


async def test_a_project_runs_no_more_than_it_may(queue: Queue):
    await queue.add_project("small", max_running=1)
    first = await queue.begin(project_id="small")
    await queue.add_task(project_id="small")
    worker = await queue.add_worker()
    assert await queue.claim(worker) is None
    # What is judged or landed holds no seat, so the next may begin.
    await queue.hand_over(first)
    assert await queue.claim(worker) is not None


async def test_a_row_that_cannot_be_read_is_put_aside_and_the_next_is_taken(queue: Queue):
    bad, good = await queue.add_task(priority=0), await queue.add_task()
    await queue.store.write(lambda conn: conn.execute("UPDATE tasks SET limits = '[' WHERE id = ?", (bad,)))
    found = await queue.claim(await queue.add_worker())
    assert found is not None
    assert found.task.id == good
    decision = (await queue.asked(bad))[0]
    assert (decision.kind, "limits" in decision.detail) == ("poisoned", True)
    assert (await queue.events("task.failed"))[0].task_id == bad
