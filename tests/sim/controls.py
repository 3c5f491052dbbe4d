"""What people do besides: hold, release, defer, close, reopen, undo, pause, set budgets, leave questions alone."""

from __future__ import annotations

from ringmaster.protocol.budget import BudgetSetParams
from ringmaster.queue import budget, closing, decide, defaults, holding, pausing, undo
from ringmaster.queue.closing import Dependents
from ringmaster.store import decisions
from tests.sim.moves import named
from tests.sim.people import AGENTS, any_task
from tests.sim.world import World


def hold_or_release(world: World) -> None:
    """A task is kept back, or no longer."""
    id = any_task(world)
    word = holding.hold_task if world.rng.random() < 0.4 else holding.release_task
    world.tell(f"{word.__name__} {id}")
    world.ask(word, id, actor="sim")


def defer(world: World) -> None:
    """A task is not to be given out before a time."""
    id, seconds = any_task(world), world.rng.choice((3.0, 60.0, 3000.0))
    world.tell(f"{id} by {seconds} s")
    world.ask(holding.defer_task, id, world.clock.wall() + seconds, actor="sim")


def close_or_reopen(world: World) -> None:
    """A task is called done, or taken up again."""
    id = any_task(world)
    if world.rng.random() < 0.4:
        children = world.rng.choice(("", "keep", "cancel"))
        world.tell(f"close {id} {children}")
        world.ask(closing.close_task, id, actor="sim", children=children)
    else:
        world.tell(f"reopen {id}")
        world.ask(closing.reopen_task, id, actor="sim")


def cancel_with_others(world: World) -> None:
    """A task is not wanted any more; those that wait for it are freed, or not wanted either."""
    id, dependents = any_task(world), world.rng.choice(list(Dependents))
    world.tell(f"{id} {dependents}")
    world.ask(closing.cancel_task, id, actor="sim", dependents=dependents)


def take_back(world: World) -> None:
    """A person takes a change back."""
    target = world.rng.choice(("", any_task(world)))
    world.tell(target)
    world.ask(undo.undo, target, actor="sim")


def pause_or_resume_queue(world: World) -> None:
    """Nothing is given out at all, or again; twice as often again."""
    word = pausing.pause if world.rng.random() < 0.33 else pausing.resume
    world.tell(word.__name__)
    world.ask(word, actor="sim")


def set_budget(world: World) -> None:
    """How many attempts a project, or all of them, may begin in a day."""
    project_id = world.rng.choice(("", *world.projects))
    most = world.rng.choice((None, None, 0, 3, 10))
    world.tell(f"{project_id or 'all'}: {most}")
    params = BudgetSetParams(
        project_id=project_id, is_all=not project_id, max_attempts=most, is_attempts_removed=most is None
    )
    world.ask(budget.set_budget, params, actor="sim")


def resume_agent(world: World) -> None:
    """An agent kind that could not be started has been mended."""
    agent = world.rng.choice(AGENTS)
    world.tell(agent)
    world.ask(decide.resume_agent, agent, actor="sim")


def give_default(world: World) -> None:
    """Some question has waited long enough, as the daemon believes."""
    asked = world.read(decisions.open_decisions, 100)
    if asked:
        world.ask(defaults.give_default, world.rng.choice(asked).id)


MOVES = named(
    {
        hold_or_release: 3,
        defer: 1.5,
        close_or_reopen: 3,
        cancel_with_others: 1.5,
        take_back: 2,
        pause_or_resume_queue: 2,
        set_budget: 1,
        resume_agent: 2,
        give_default: 0.5,
    }
)
