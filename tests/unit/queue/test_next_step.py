"""What comes next is said in words, with a command where a person must do something."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.outcomes import Outcome
from ringmaster.model.project import ProjectConfig
from ringmaster.model.states import WorkerState
from ringmaster.model.worker import HAND
from ringmaster.queue import control, decide, lease, registry, report
from ringmaster.queue.view import task_detail
from ringmaster.settings import Paths
from tests.unit.queue.making import Queue


async def next_step(queue: Queue, task_id: str, tmp_path: Any) -> str:
    paths = Paths(name="t", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c")
    return (await queue.store.read(task_detail, task_id, paths)).next_step


async def test_before_a_seat_the_first_thing_in_the_way_is_named(queue: Queue, tmp_path: Any):
    first = await queue.add_task(capabilities=("gpu",), agent="claude")
    assert "rmctl worker spawn --agent claude --cap gpu" in await next_step(queue, first, tmp_path)
    second = await queue.add_task(after=(first,))
    assert await next_step(queue, second, tmp_path) == f"it waits for {first} (open): rmctl why {first}"
    draft = await queue.add_task(is_draft=True)
    assert f"rmctl task edit {draft} --open" in await next_step(queue, draft, tmp_path)
    later = await queue.add_task(not_before_at=queue.clock.now + 60)
    assert await next_step(queue, later, tmp_path) == f"it runs in 60 s, or at once: rmctl retry {later}"
    plain = await queue.add_task()
    await queue.add_worker()
    assert await next_step(queue, plain, tmp_path) == "a worker takes it now"
    await queue.do(control.set_worker_state, "w1", WorkerState.PAUSED, actor="t")
    assert "rmctl worker start w1" in await next_step(queue, plain, tmp_path)
    await queue.do(registry.edit_project, "toy", changes={"max_running": 0}, target="", state="", actor="t")
    assert "runs 0 of 0 attempts" in await next_step(queue, plain, tmp_path)
    await queue.do(registry.edit_project, "toy", changes={}, target="", state="paused", actor="t")
    words = "project toy is paused by a person: rmctl project edit toy --resume"
    assert words == await next_step(queue, plain, tmp_path)


async def test_what_only_waits_to_be_pulled_says_so(queue: Queue, tmp_path: Any):
    task_id = await queue.add_task()
    await queue.add_worker("tmux", agent="claude", is_pulled=True)
    assert await next_step(queue, task_id, tmp_path) == "it waits to be pulled: rmctl worker run tmux"
    await queue.add_worker("ann", agent=HAND, is_pulled=True)
    assert await next_step(queue, task_id, tmp_path) == "it waits to be pulled: rmctl pull"
    found = await queue.do(
        lease.pull, "ann", "token", lease_s=60.0, is_run=False, max_running=8, actor="test", rng=queue.rng
    )
    assert found is not None
    words = await next_step(queue, task_id, tmp_path)
    assert words == f"ann works on it by hand: rmctl attempt show {found.attempt.id}"


async def test_a_full_house_is_told_from_a_free_seat(queue: Queue, tmp_path: Any):
    found = await queue.begin()
    waiting = await queue.add_task()
    assert "in its turn" in await next_step(queue, waiting, tmp_path)
    assert f"rmctl logs {found.attempt.id} -f" in await next_step(queue, found.task.id, tmp_path)
    await queue.hand_over(found)
    assert "in the lane" in await next_step(queue, found.task.id, tmp_path)


async def test_what_a_person_is_asked_comes_with_its_answer(queue: Queue, tmp_path: Any):
    found = await queue.begin(max_attempts=1)
    names = (found.attempt.id, found.attempt.token)
    await queue.do(report.end_attempt, *names, Outcome.FAILED, "no", rng=queue.rng)
    decision = (await queue.asked(found.task.id))[0]
    words = await next_step(queue, found.task.id, tmp_path)
    assert words.endswith(f"? rmctl decision answer {decision.id} retry|close|cancel")
    await queue.do(decide.answer_decision, decision.id, answer="cancel", message="", actor="t")
    assert f"rmctl retry {found.task.id}" in await next_step(queue, found.task.id, tmp_path)


@pytest.mark.parametrize("kind", [DecisionKind.ACCEPT, DecisionKind.NO_GATE])
async def test_waiting_work_is_looked_at_first(queue: Queue, tmp_path: Any, kind: DecisionKind):
    found = await queue.begin()
    await queue.hand_over(found)
    names = (found.attempt.id, found.attempt.token)
    await queue.do(report.wait_for_person, *names, kind, question="?", detail="", rng=queue.rng)
    id = found.task.id
    assert f"rmctl task diff {id}, then rmctl task accept {id} or" in await next_step(queue, id, tmp_path)


def test_a_name_is_made_of_any_directory():
    names = {"Toy Box": "toy-box", "a.git": "a", "Ünï": "n", "": "project", "--x": "x", "ok_1": "ok_1"}
    assert {given: registry.name_for(given) for given in names} == names
    for name in names.values():
        registry.check_name(name)


def test_a_change_of_settings_keeps_the_others():
    config = registry.merged_config(ProjectConfig(gate="a", setup=("b",)), {"gate": "c"})
    assert (config.gate, config.setup) == ("c", ("b",))
