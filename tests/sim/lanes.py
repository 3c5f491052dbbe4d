"""What the lane of a project does with work that was handed over: gates, questions, and landings cut short anywhere."""

from __future__ import annotations

from typing import Any

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import LANDING_KINDS, DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report
from ringmaster.queue.decide import pause_project
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.workers.trouble import blame_project
from tests.sim.agents import end, is_full
from tests.sim.lives import Life
from tests.sim.moves import named
from tests.sim.world import World


def serve(world: World) -> None:
    """The lane of some project, if it has been woken, takes its first attempt a step further."""
    life = world.life
    if life is None:
        return
    woken = [id for id, is_woken in life.lanes.items() if is_woken and id not in life.landing]
    if not woken or world.paths.estop.is_there or world.store.is_degraded:
        return
    project_id = world.rng.choice(woken)
    attempt = world.read(attempts.next_in_lane, project_id)
    if attempt is None:
        life.lanes[project_id] = False
        return
    try:
        if attempt.state == "landing":
            world.tell(f"{attempt.id} goes on with its landing")
            life.land(attempt)
        elif attempt.is_cancel_requested:
            end(world, attempt, Outcome.CANCELLED)
        else:
            _judge(world, life, attempt)
    except RingmasterError as error:
        if not is_full(error):
            raise


def _judge(world: World, life: Life, attempt: Attempt) -> None:
    rng, names = world.rng, (attempt.id, attempt.token)
    chance = rng.random()
    if chance < 0.25:
        outcome = rng.choice((Outcome.GATE_FAILED, Outcome.GATE_FAILED, Outcome.CONFLICT, Outcome.NO_CHANGES))
        end(world, attempt, outcome)
    elif chance < 0.3:
        world.write(_blame_base, attempt, world)
        world.tell(f"{attempt.id}: the base is red")
    elif chance < 0.4 and not attempt.is_accepted:
        kind = rng.choice(sorted(LANDING_KINDS))
        world.write(report.wait_for_person, *names, kind, question="may it?", detail="", rng=rng)
        world.tell(f"{attempt.id} waits: {kind}")
    elif chance < 0.43:
        sur: Any = world
        error = RingmasterError(ErrorKind.WRONG_STATE, "the checkout is gone", "mend it")
        world.write(blame_project, attempt, error, "cannot land", sur)
        world.tell(f"{attempt.id}: its project is to blame")
    else:
        commit = f"{rng.getrandbits(160):040x}"
        world.tell(f"{attempt.id} is about to land")
        life.land(attempt, commit)


def _blame_base(conn: Connection, attempt: Attempt, world: World) -> None:
    pause_project(
        conn,
        attempt.project_id,
        DecisionKind.BASE_RED,
        question="the base is red: mend it, then resume",
        reason="red",
        rng=world.rng,
    )
    report.end_attempt(conn, attempt.id, attempt.token, Outcome.INTERRUPTED, "red", rng=world.rng)


MOVES = named({serve: 20}, is_stirring=True)
