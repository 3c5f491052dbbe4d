"""`why` names what is in a task's way by the rules that give it out, since when, and what takes it away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.budget import Budget
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import WorkerState
from ringmaster.model.task import Limits, TaskType
from ringmaster.protocol.task import DependencyWish, TaskDepParams
from ringmaster.protocol.why import ObstacleKind, TaskWhy
from ringmaster.queue import control, decide, holding, intake, pausing, report
from ringmaster.queue.limits import Bounds
from ringmaster.queue.obstacles import House
from ringmaster.queue.view import task_detail, task_why
from ringmaster.queue.why import Scene
from ringmaster.settings import Paths
from ringmaster.store import budgets
from ringmaster.workers.dispatcher import fill_seats
from tests.unit.queue.making import Queue

K = ObstacleKind
OPEN_HOUSE = Scene(house=House())


async def why(queue: Queue, task_id: str, scene: Scene = OPEN_HOUSE) -> TaskWhy:
    return await queue.store.read(task_why, task_id, scene)


async def kinds(queue: Queue, task_id: str, scene: Scene = OPEN_HOUSE) -> list[str]:
    return [obstacle.kind for obstacle in (await why(queue, task_id, scene)).obstacles]


async def test_nothing_is_in_the_way_of_what_a_free_seat_takes(queue: Queue):
    first, second = await queue.add_task(), await queue.add_task()
    await queue.add_worker()
    assert ((await why(queue, first)).obstacles, (await why(queue, first)).ahead) == ((), 0)
    assert ((await why(queue, second)).obstacles, (await why(queue, second)).ahead) == ((), 1)
    assert (await why(queue, first)).first == "a worker takes it now"


async def test_everything_is_named_in_order_with_since_when_and_by_which_event(queue: Queue):
    other = await queue.add_task()
    queue.clock.now = 2000.0
    id = await queue.add_task(after=(other,), not_before_at=9000.0, project_id="toy")
    created = (await queue.events("task.created"))[-1]
    queue.clock.now = 3000.0
    await queue.do(
        decide.open_decision, DecisionKind.QUESTION, project_id="toy", task_id=id, question="Which?", rng=queue.rng
    )
    asked = (await queue.events("decision.opened"))[-1]
    queue.clock.now = 4000.0
    await queue.do(holding.hold_task, id, message="waiting for Bob", actor="t")
    held = (await queue.events("task.held"))[-1]
    queue.clock.now = 5000.0
    await queue.do(pausing.pause, "", actor="t")
    paused = (await queue.events("queue.paused"))[-1]
    await queue.do(pausing.pause, "toy", actor="t")
    project = (await queue.events("project.paused"))[-1]
    found = await why(queue, id, Scene(house=House(has_estop=True)))
    assert [(one.kind, one.since_at, one.seq) for one in found.obstacles] == [
        (K.DEPENDENCY, 2000.0, created.seq),
        (K.DECISION, 3000.0, asked.seq),
        (K.HELD, 4000.0, held.seq),
        (K.ESTOP, None, None),
        (K.QUEUE_PAUSED, 5000.0, paused.seq),
        (K.PROJECT_PAUSED, 5000.0, project.seq),
        (K.NOT_BEFORE, 2000.0, created.seq),
        (K.NO_WORKER, None, None),
    ]
    assert found.first == f"it waits for {other} (open): rmctl why {other}"
    assert found.obstacles[2].words == "it is held: waiting for Bob"
    commands = [one.command for one in found.obstacles]
    assert commands[:3] == [
        f"rmctl why {other}",
        f"rmctl decision answer {asked.decision_id} WORDS",
        f"rmctl task release {id}",
    ]
    assert commands[6] == f"rmctl retry {id}"


async def test_a_dependency_is_told_by_its_kind_and_down_to_its_root(queue: Queue):
    root = await queue.begin(max_attempts=1)
    names = (root.attempt.id, root.attempt.token)
    middle = await queue.add_task(after=(root.task.id,))
    id = await queue.add_task(depends=(DependencyWish(id=middle, kind=DependencyKind.WAITS_FOR),))
    [running] = (await why(queue, id)).obstacles[:1]
    assert running.words == f"it waits for the children of {middle} (open)"
    assert [link.words for link in running.chain] == [
        f"{middle}: it waits for {root.task.id} (running)",
        f"{root.task.id} is running",
    ]
    await queue.do(report.end_attempt, *names, Outcome.FAILED, "no", rng=queue.rng)
    [decision] = await queue.asked(root.task.id)
    [failed] = (await why(queue, id)).obstacles[:1]
    assert [link.kind for link in failed.chain] == [K.DEPENDENCY, K.DECISION]
    assert failed.chain[-1].command == f"rmctl decision answer {decision.id} retry|close|cancel"
    # What waits for one that failed is told what to do about that.
    [direct] = (await why(queue, middle)).obstacles[:1]
    assert (direct.words, direct.command) == (
        f"it waits for {root.task.id} (failed)",
        f"rmctl retry {root.task.id}",
    )


async def test_a_long_chain_is_told_as_far_as_anybody_reads(queue: Queue):
    ids = [await queue.add_task()]
    for _ in range(30):
        ids.append(await queue.add_task(after=(ids[-1],)))
    [obstacle, *_] = (await why(queue, ids[-1])).obstacles
    assert [link.id for link in obstacle.chain] == ids[-3:-13:-1]


async def test_what_was_opened_again_is_in_the_way_since_then(queue: Queue):
    other = await queue.add_task()
    id = await queue.add_task(after=(other,))
    await queue.do(control.cancel_task, other, actor="t")
    await queue.do(intake.change_dependencies, id, TaskDepParams(id=id, remove=(other,)), actor="t")
    assert K.DEPENDENCY not in await kinds(queue, id)
    queue.clock.now = 7000.0
    await queue.do(intake.change_dependencies, id, TaskDepParams(id=id, add=(other,)), actor="t")
    [obstacle, *_] = (await why(queue, id)).obstacles
    changed = (await queue.events("task.dependencies_changed"))[-1]
    assert (obstacle.since_at, obstacle.seq) == (7000.0, changed.seq)
    assert obstacle.words == f"it waits for {other} (cancelled)"


async def test_a_budget_that_a_dearer_task_waits_for_is_in_the_way_of_those_behind_it(queue: Queue):
    scene = Scene(house=House(), bounds=Bounds(metered={"claude": None}))
    await queue.do(budgets.set_budget, Budget("toy", None, 10.0))
    await queue.add_worker("w1", agent="claude")
    await queue.add_worker("w2", agent="claude")
    await queue.add_task(limits=Limits(budget_usd=5.0))
    done = await queue.do(fill_seats, ["token"], 64, queue.rng, {}, scene.bounds)
    assert len(done.claims) == 1
    dear = await queue.add_task(limits=Limits(budget_usd=8.0))
    cheap = await queue.add_task(limits=Limits(budget_usd=1.0))
    assert await kinds(queue, dear, scene) == [K.BUDGET]
    # It would fit, but a stream of such would keep the dear one back for ever.
    assert await kinds(queue, cheap, scene) == [K.BUDGET]
    assert not (await queue.do(fill_seats, ["token"], 64, queue.rng, {}, scene.bounds)).claims


async def test_very_many_dependencies_are_told_without_reading_all_that_they_wait_for(queue: Queue):
    root = await queue.add_task()
    others = [await queue.add_task(after=(root,)) for _ in range(60)]
    id = await queue.add_task(after=tuple(others))
    found = [one for one in (await why(queue, id)).obstacles if one.kind == K.DEPENDENCY]
    assert len(found) == 60
    assert [bool(one.chain) for one in found] == [True] * 20 + [False] * 40
    assert (await why(queue, id)).first.startswith(f"it waits for {found[0].id} (open), and for 59 more")


async def test_of_very_many_tasks_some_are_named_and_the_rest_is_counted(queue: Queue, tmp_path: Path):
    others = [await queue.add_task() for _ in range(5)]
    id = await queue.add_task(after=tuple(others), is_held=True)
    for dependent in range(4):
        await queue.add_task(after=(id,), title=str(dependent))
    found = await queue.store.read(task_why, id, OPEN_HOUSE, 2)
    assert [one.kind for one in found.obstacles] == [K.DEPENDENCY, K.DEPENDENCY, K.HELD, K.NO_WORKER]
    assert (found.left_out, "and for 4 more" in found.first) == (3, True)
    paths = Paths(name="t", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c")
    detail = await queue.store.read(task_detail, id, paths, None, 2)
    assert [one.kind for one in detail.blockers] == ["task", "task", "hold"]
    assert (len(detail.depends), len(detail.dependents)) == (2, 2)
    assert detail.left_out == {"blockers": 3, "depends": 3, "dependents": 2}
    assert "and for 4 more" in detail.next_step
    whole = await queue.store.read(task_detail, id, paths)
    assert (len(whole.blockers), whole.left_out) == (6, {})


async def test_a_question_of_a_task_that_runs_is_named(queue: Queue):
    task = (await queue.begin()).task
    await queue.do(
        decide.open_decision, DecisionKind.QUESTION, project_id="toy", task_id=task.id, question="Which?", rng=queue.rng
    )
    told = await why(queue, task.id)
    assert [one.kind for one in told.obstacles] == [K.DECISION]
    assert told.first.startswith("Which? rmctl decision answer")
    assert told.doing is not None


async def test_what_one_more_worker_would_meet_is_named_while_there_is_none(queue: Queue):
    await queue.do(budgets.set_budget, Budget("toy", 0, None))
    assert await kinds(queue, await queue.add_task()) == [K.BUDGET, K.NO_WORKER]


async def test_workers_that_are_kept_back_alike_are_one_obstacle(queue: Queue):
    id = await queue.add_task()
    for name in ("w1", "w2", "w3"):
        await queue.add_worker(name)
        await queue.do(control.set_worker_state, name, WorkerState.PAUSED, actor="t")
    await queue.add_worker("p1", is_pulled=True)
    await queue.add_worker("p2", is_pulled=True)
    pulled, paused = (await why(queue, id)).obstacles
    assert (pulled.kind, pulled.id) == (K.PULLED, "p1")
    assert (paused.id, paused.words) == ("w1", "worker w1, which can take it, is paused (and so are 2 more)")


async def test_an_epic_is_told_from_work(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    assert await kinds(queue, epic, Scene(house=House(has_estop=True))) == [K.EPIC], "it is given to nobody"
    assert (await why(queue, epic)).first.startswith("it is an epic without children")
    await queue.add_task(parent_id=epic)
    assert "its only child is left" in (await why(queue, epic)).first


async def test_a_seat_is_told_by_what_keeps_it_back(queue: Queue):
    id = await queue.add_task(agent="scripted")
    assert await kinds(queue, id) == [K.NO_WORKER]
    await queue.add_worker("w1")
    assert await kinds(queue, id) == []
    await queue.do(control.set_worker_state, "w1", WorkerState.PAUSED, actor="t")
    [paused] = (await why(queue, id)).obstacles
    event = (await queue.events("worker.paused"))[-1]
    assert (paused.kind, paused.id, paused.seq) == (K.WORKER_PAUSED, "w1", event.seq)
    await queue.add_worker("p1", is_pulled=True)
    assert await kinds(queue, id) == [K.PULLED, K.WORKER_PAUSED]
    await queue.do(control.set_worker_state, "w1", WorkerState.ACTIVE, actor="t")
    await queue.claim("w1")
    # A seat that only has to become free is what it waits for, whatever keeps others from it.
    assert await kinds(queue, await queue.add_task(agent="scripted")) == [K.BUSY]


@pytest.mark.parametrize(
    ("house", "kind"),
    [
        (House(has_estop=True), K.ESTOP),
        (House(is_ending=True), K.ENDING),
        (House(starts_left=0), K.TRIAL),
        (House(is_degraded=True), K.DISK),
        (House(has_room=False), K.DISK),
        (House(max_running=0), K.LIMIT),
    ],
)
async def test_what_holds_for_all_is_named(queue: Queue, house: House, kind: ObstacleKind):
    id = await queue.add_task()
    await queue.add_worker()
    assert await kinds(queue, id, Scene(house=house)) == [kind]


async def test_what_is_under_way_says_what_it_does(queue: Queue):
    found = await queue.begin()
    told = await why(queue, found.task.id)
    assert told.obstacles == ()
    assert told.doing is not None
    started = (await queue.events("attempt.started"))[-1]
    assert (told.doing.seq, told.doing.agent, told.doing.worker_id) == (started.seq, "scripted", "w1")
    assert told.first == f"attempt {found.attempt.id} works on it: rmctl logs {found.attempt.id} -f"
    await queue.do(_start_job, found.attempt.id, found.task.id, "setup")
    told = await why(queue, found.task.id)
    assert told.doing is not None
    assert (told.doing.job, told.doing.words) == ("setup", f"attempt {found.attempt.id} works on it; its set-up runs")


def _start_job(conn: Any, attempt_id: str, task_id: str, kind: str) -> None:
    conn.emit("attempt.job_started", project_id="toy", task_id=task_id, attempt_id=attempt_id, data={"kind": kind})


async def test_what_waits_in_the_lane_says_its_place(queue: Queue):
    urgent, other = await queue.begin(priority=0), await queue.begin(priority=3)
    await queue.hand_over(other)
    await queue.hand_over(urgent)
    told = [(await why(queue, found.task.id)).doing for found in (urgent, other)]
    assert [doing.place for doing in told if doing is not None] == [1, 2]
    assert (await why(queue, other.task.id)).first.startswith(
        f"attempt {other.attempt.id} is in the lane for gate and landing, 1 before it:"
    )
    names = (urgent.attempt.id, urgent.attempt.token)
    await queue.do(report.wait_for_person, *names, DecisionKind.ACCEPT, question="ok?", detail="", rng=queue.rng)
    # Who waits for a person is in nobody's way.
    assert (await why(queue, urgent.task.id)).obstacles[0].kind == K.DECISION
    doing = (await why(queue, other.task.id)).doing
    assert doing is not None
    assert doing.place == 1


async def test_what_has_ended_says_why(queue: Queue):
    found = await queue.begin(max_attempts=1)
    names = (found.attempt.id, found.attempt.token)
    await queue.do(report.end_attempt, *names, Outcome.TIMED_OUT, "it took too long", rng=queue.rng)
    told = await why(queue, found.task.id)
    event = (await queue.events("task.failed"))[-1]
    assert told.ending is not None
    assert (told.ending.outcome, told.ending.reason) == ("timed_out", "it took too long")
    assert (told.ending.seq, told.ending.ended_at) == (event.seq, event.at)
    assert [obstacle.kind for obstacle in told.obstacles] == [K.DECISION]
    id = await queue.add_task()
    await queue.do(control.cancel_task, id, actor="t")
    assert (await why(queue, id)).first == f"it is cancelled; to take it up again: rmctl retry {id}"


async def test_a_damaged_row_is_told_first(queue: Queue, tmp_path: Path):
    id = await queue.add_task()
    await queue.store.write(lambda conn: conn.execute("UPDATE tasks SET labels = 'x'"))
    assert (await why(queue, id)).first.startswith("its row cannot be read (labels)")
