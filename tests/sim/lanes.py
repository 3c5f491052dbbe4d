"""What the lane of a project does with work that was handed over: gates, questions, and landings cut short anywhere."""

from __future__ import annotations

from typing import Any

from ringmaster.model.attempt import Attempt, LandingIntent
from ringmaster.model.decisions import LANDING_KINDS, DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report
from ringmaster.queue.decide import pause_project
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.workers.trouble import blame_project
from tests.sim.agents import end, is_full
from tests.sim.mirror import require
from tests.sim.moves import named
from tests.sim.world import World


def serve(world: World) -> None:
    """The lane of some project, if it has been woken, takes its first attempt a step further."""
    life = world.life
    woken = [project_id for project_id, is_woken in life.lanes.items() if is_woken] if life is not None else []
    if life is None or not woken or world.paths.estop.is_there or world.store.is_degraded:
        return
    project_id = world.rng.choice(woken)
    attempt = world.read(attempts.next_in_lane, project_id)
    if attempt is None:
        life.lanes[project_id] = False
        return
    try:
        if attempt.state == "landing":
            _finish_landing(world, attempt)
        elif attempt.is_cancel_requested:
            end(world, attempt, Outcome.CANCELLED)
        else:
            _judge(world, attempt)
    except RingmasterError as error:
        if not is_full(error):
            raise


def _judge(world: World, attempt: Attempt) -> None:
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
        world.write(report.store_intent, *names, LandingIntent(ref="main", old="0" * 40, new=commit))
        world.tell(f"{attempt.id} is about to land")
        # A kill can come between any two of these: most times the rest is a step of its own.
        if rng.random() < 0.3:
            _finish_landing(world, world.read(attempts.attempt_by_id, attempt.id))


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


def _finish_landing(world: World, attempt: Attempt) -> None:
    """Report a landing whose ref has moved; move it, or find that it cannot be moved."""
    rng, names = world.rng, (attempt.id, attempt.token)
    landing = attempt.landing
    require(landing is not None, f"{attempt.id} is landing and has no intent")
    assert landing is not None
    if landing.new not in world.moved:
        chance = rng.random()
        if chance < 0.15:
            world.write(report.take_intent_back, *names, "moved")
            return world.tell(f"{attempt.id}: its target has moved")
        if chance < 0.25:
            is_over = world.write(_ask_about_stuck, attempt, world)
            return world.tell(f"{attempt.id} is stuck{', and given up' if is_over else ''}")
        done = [id for id in world.moved.values() if id.rpartition("/")[0] == attempt.task_id]
        is_again = world.store.rows("SELECT 1 FROM attempts WHERE id = ? AND state = 'landing'", (attempt.id,))
        require(is_again, f"{attempt.id} moved its target while it was not landing, after {done}")
        world.moved[landing.new] = attempt.id
        world.tell(f"{attempt.id} has moved its target")
        if rng.random() < 0.4:
            return
    world.write(report.complete_landing, *names, parked_commit=landing.new if rng.random() < 0.2 else "")
    world.tell(f"{attempt.id} has landed")


def _ask_about_stuck(conn: Connection, attempt: Attempt, world: World) -> bool:
    # As `workers.trouble` does when a landing fails: the project is paused and a person asked.
    pause_project(
        conn,
        attempt.project_id,
        DecisionKind.TARGET_MOVED,
        question="cannot land",
        reason="stuck",
        rng=world.rng,
    )
    return report.ask_about_stuck_landing(conn, attempt, "stuck", place="here", rng=world.rng)


MOVES = named({serve: 20})
