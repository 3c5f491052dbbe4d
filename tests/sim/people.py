"""What people do: tasks in, edits, dependencies, words of power, answers, seats, projects."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.model.decisions import options_of
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.project import ProjectConfig
from ringmaster.model.states import WorkerState
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyWish, TaskAddParams, TaskDepParams, TaskEditParams
from ringmaster.queue import control, costs, decide, intake, registry
from ringmaster.store import decisions, workers
from tests.fakes.seats import make_seat
from tests.sim.moves import named
from tests.sim.world import World

AGENTS = ("a", "b")
SKILLS = ("gpu", "net")
LABELS = ("x", "y")
KINDS = (DependencyKind.BLOCKS, DependencyKind.BLOCKS, *DependencyKind)
MODES: tuple[Literal["", "all", "any"], ...] = ("", "all", "any")
MOST_TASKS = 60
MOST_SEATS = 8


def settle_in(world: World) -> None:
    """The projects and seats that a world begins with."""
    rng = world.rng
    for name in ("p", "q", "r")[: rng.choice((1, 2, 2, 3))]:
        config = ProjectConfig(max_running=rng.choice((1, 2, 3, 8)))
        world.write(
            registry.add_project,
            name=name,
            path=f"/{name}",
            common_dir=f"/{name}/.git",
            target="main",
            config=config,
            actor="sim",
        )
        world.projects.append(name)
    world.rules.max_running = rng.choice((1, 2, 3, 8))
    choose_limits(world)
    world.rules.payers = {agent: f"pays-{agent}" for agent in AGENTS if rng.random() < 0.7}
    for _ in range(rng.choice((0, 1, 2, 4))):
        spawn_seat(world)
    for _ in range(rng.choice((1, 5, 12))):
        add_task(world)


def choose_limits(world: World) -> None:
    """How many may run at once of an agent, and of a label."""
    rng = world.rng
    world.rules.agents = {agent: rng.choice((0, 1, 1, 2)) for agent in AGENTS if rng.random() < 0.15}
    world.rules.labels = {label: rng.choice((0, 1, 1, 2)) for label in LABELS if rng.random() < 0.3}


def any_task(world: World) -> str:
    """Some task, one of the newest more often; '' when there is none."""
    tasks = world.tasks
    if not tasks:
        return ""
    return world.rng.choice(tasks[-8:] if world.rng.random() < 0.6 else tasks)


def add_task(world: World) -> None:
    """A new task, with whatever it waits for."""
    rng = world.rng
    if len(world.tasks) >= MOST_TASKS:
        return edit_task(world)
    wall = world.clock.wall()
    others = {any_task(world) for _ in range(rng.choice((0, 0, 0, 1, 2)))} if world.tasks else set()
    params = TaskAddParams(
        title="t",
        project_id=rng.choice(world.projects),
        priority=rng.choice((0, 1, 2, 2, 3, 4)),
        type=TaskType.EPIC if rng.random() < 0.15 else TaskType.TASK,
        agent=rng.choice(("", "", "", *AGENTS)),
        capabilities=(rng.choice(SKILLS),) if rng.random() < 0.15 else (),
        labels=tuple(label for label in LABELS if rng.random() < 0.2),
        parent_id=any_task(world) if rng.random() < 0.25 else "",
        depends=tuple(DependencyWish(id=id, kind=rng.choice(KINDS), mode=rng.choice(MODES)) for id in sorted(others)),
        max_attempts=rng.choice((0, 1, 2)),
        is_draft=rng.random() < 0.05,
        is_held=rng.random() < 0.05,
        is_diff_needed=rng.random() < 0.8,
        not_before_at=wall + rng.choice((5, 500)) if rng.random() < 0.1 else None,
        deadline_at=wall + rng.choice((60, 90_000)) if rng.random() < 0.1 else None,
    )
    id = world.ask(intake.add_task, params, actor="sim", max_attempts=3, rng=rng)
    world.tell(f"{id} P{params.priority} {params.type} of {params.project_id} {params.agent} {params.capabilities}")
    world.tell(f"parent {params.parent_id}, {[(wish.kind, wish.mode, wish.id) for wish in params.depends]}")


def edit_task(world: World) -> None:
    """Some fields change."""
    rng, id = world.rng, any_task(world)
    if not id:
        return
    choice = rng.randrange(7)
    params = TaskEditParams(
        id=id,
        priority=rng.randrange(5) if choice in (0, 1) else None,
        type=rng.choice((TaskType.TASK, TaskType.EPIC)) if choice == 2 else None,
        is_draft=rng.random() < 0.3 if choice == 3 else None,
        deadline_at=rng.choice((0, world.clock.wall() + 1000)) if choice == 4 else None,
        agent=rng.choice(("", *AGENTS)) if choice == 5 else None,
        labels=tuple(label for label in LABELS if rng.random() < 0.5) if choice == 6 else None,
    )
    world.tell(f"{id} { ({name: value for name, value in msgspec.structs.asdict(params).items() if value}) }")
    world.ask(intake.edit_task, params, actor="sim")


def change_dependencies(world: World) -> None:
    """A task waits for another, or no longer."""
    rng, id, other = world.rng, any_task(world), any_task(world)
    if not id:
        return
    kind, mode = rng.choice(KINDS), rng.choice(MODES)
    if rng.random() < 0.6:
        params = TaskDepParams(id=id, add=(other,), kind=kind, mode=mode)
    else:
        waits = sorted(key for key in world.mirror.waits if key[0] == id)
        other, kind = rng.choice(waits)[1:] if waits else (other, kind)
        params = TaskDepParams(id=id, remove=(other,), kind=DependencyKind(kind))
    world.tell(f"{id}: {params.add} {params.remove} {kind} {mode}")
    world.ask(intake.change_dependencies, id, params, actor="sim")


def cancel(world: World) -> None:
    """A task is not wanted any more."""
    id = any_task(world)
    world.tell(id)
    world.ask(control.cancel_task, id, actor="sim")


def retry(world: World) -> None:
    """A task is to run again now."""
    id = any_task(world)
    world.tell(id)
    words = world.rng.choice(("", "words"))
    world.ask(control.retry_with_words, id, message=words, actor="sim", rng=world.rng)


def answer(world: World) -> None:
    """A question is answered."""
    asked = world.read(decisions.open_decisions, 100)
    if not asked:
        return
    decision = world.rng.choice(asked)
    words = world.rng.choice(options_of(decision.kind) or ("words", *decision.options))
    world.tell(f"{decision.kind} about {decision.task_id or decision.project_id}: {words}")
    world.ask(decide.answer_decision, decision.id, answer=words, message="m", actor="sim")


def accept_or_reject(world: World) -> None:
    """A task's waiting attempt is let through, or not."""
    id = any_task(world)
    word = control.accept_task if world.rng.random() < 0.5 else control.reject_task
    world.tell(f"{word.__name__} {id}")
    world.ask(word, id, message="no", actor="sim")


def change_project(world: World) -> None:
    """A project is paused, resumed or given other limits."""
    rng, name = world.rng, world.rng.choice(world.projects)
    changes = {"max_running": rng.choice((0, 1, 2, 8))} if rng.random() < 0.3 else {}
    state = "" if changes else rng.choice(("active", "active", "paused"))
    world.tell(f"{name} {changes} {state}")
    world.ask(registry.edit_project, name, changes=changes, target="", state=state, actor="sim")


def spawn_seat(world: World) -> None:
    """One seat more."""
    rng = world.rng
    if len(world.mirror.seats) >= MOST_SEATS:
        return change_seat(world)
    seat = make_seat(
        id="",
        agent=rng.choice(AGENTS),
        project_id=rng.choice(world.projects) if rng.random() < 0.2 else "",
        capabilities=SKILLS[: rng.choice((0, 0, 1, 2))],
    )
    world.tell(f"{world.ask(control.spawn_worker, seat, actor='sim')} {seat.agent} {seat.capabilities}")


def change_seat(world: World) -> None:
    """A seat is paused, stopped, started or removed."""
    rng, seats = world.rng, world.read(workers.all_workers)
    if not seats:
        return
    id = rng.choice(seats).id
    state = rng.choice((WorkerState.ACTIVE, WorkerState.ACTIVE, WorkerState.PAUSED, WorkerState.STOPPED, None))
    world.tell(f"{id} {state or 'removed'}")
    if state is None:
        world.ask(control.remove_worker, id, actor="sim")
    else:
        world.ask(control.set_worker_state, id, state, actor="sim")


def resume_account(world: World) -> None:
    """An account need not rest any longer."""
    for account in sorted(world.rules.payers.values()):
        world.ask(costs.resume_account, account, actor="sim")


MOVES = named(
    {
        add_task: 14,
        edit_task: 4,
        change_dependencies: 6,
        cancel: 3,
        retry: 4,
        answer: 8,
        accept_or_reject: 2,
        change_project: 2,
        spawn_seat: 1,
        change_seat: 2,
        resume_account: 1,
    }
)
