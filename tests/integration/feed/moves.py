"""What can happen to a feed: in the daemon, to its files, and between it and its clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ringmaster.protocol.feed import FeedOutput, FeedSubscribeParams
from tests.integration.feed.truth import NEVER, Attempt, Job
from tests.integration.feed.view import View
from tests.integration.feed.world import TASKS, WORKERS, Starving, World

OUTPUTS: tuple[FeedOutput, ...] = ("steps", "stdout", "stderr", "setup", "gate")
EVENTS = ("task.updated", "queue.paused", "decision.opened", "task.failed", "worker.paused")
JOBS = ("agent", "agent", "setup", "gate-1", "gate-2")


class Move(NamedTuple):
    """Something that can happen. make: says in words what it did, '' where there was nothing to do."""

    name: str
    weight: float
    make: Callable[[World], str | Awaitable[str]]


def _live(world: World) -> list[Attempt]:
    return [attempt for attempt in world.truth.attempts.values() if attempt.end_seq == NEVER]


def _running(world: World) -> list[Job]:
    return [job for job in world.truth.jobs() if not job.is_dead]


def begin_attempt(world: World) -> str:
    busy = {attempt.task_id for attempt in _live(world)}
    free = [task for task in TASKS if task[1] not in busy]
    if not free:
        return ""
    attempt = world.begin_attempt(*world.rng.choice(free), world.rng.choice(WORKERS))
    return f"{attempt.id} begins for {attempt.worker_id}"


def begin_job(world: World) -> str:
    places = [(attempt, name) for attempt in _live(world) for name in JOBS if name not in attempt.jobs]
    if not places:
        return ""
    attempt, name = world.rng.choice(places)
    is_said = world.rng.random() < 0.9
    world.begin_job(attempt, name, is_said=is_said)
    return f"{name} of {attempt.id} begins" + ("" if is_said else " and nobody says so")


def write_output(world: World) -> str:
    jobs = _running(world)
    if not jobs:
        return ""
    job = world.rng.choice(jobs)
    channel = world.rng.choice(("stdout", "stdout", "stderr"))
    text = job.text(channel)
    text.grow(world.rng, world.rng.choice((2, 6, 20)))
    left = len(text.data) - text.written
    count = world.rng.choice((1, 3, 10, 60, left, left))
    world.append(job, channel, count)
    return f"{job.attempt.id} {job.name} {channel} grows by {min(count, left)} to {text.written}"


def pour_output(world: World) -> str:
    jobs = _running(world)
    if not jobs:
        return ""
    job = world.rng.choice(jobs)
    job.stdout.grow(world.rng, 700)
    world.append(job, "stdout", len(job.stdout.data))
    return f"{job.attempt.id} {job.name} stdout leaps to {job.stdout.written}"


def end_job(world: World) -> str:
    jobs = _running(world)
    if not jobs:
        return ""
    job = world.rng.choice(jobs)
    _say_last_words(world, job)
    world.finish_job(job)
    return f"{job.name} of {job.attempt.id} is dead"


def _say_last_words(world: World, job: Job) -> None:
    for channel in ("stdout", "stderr"):
        # Whole or not.
        text = job.text(channel)
        world.append(job, channel, world.rng.choice((0, 5, len(text.data))))
        while text.is_within_key:
            world.append(job, channel, 1)
        text.end_here()


def tell_end_of_job(world: World) -> str:
    # Also behind the end of its attempt: who ends that does not wait for a gate.
    dead = [job for job in world.truth.jobs() if job.is_end_owed(world.truth.first_seq)]
    if not dead:
        return ""
    job = world.rng.choice(dead)
    world.say_job_ended(job)
    return f"{job.name} of {job.attempt.id} has ended: {job.end_seq}"


def end_attempt(world: World) -> str:
    live = _live(world)
    if not live:
        return ""
    attempt = world.rng.choice(live)
    kind = world.rng.random()
    running = [job for job in attempt.jobs.values() if not job.is_dead]
    if running and kind < 0.5:
        return ""
    if kind < 0.75:
        for job in running:
            _say_last_words(world, job)
            world.finish_job(job, is_killed=True)
    world.end_attempt(attempt, names_worker=world.rng.random() < 0.7)
    return f"{attempt.id} has ended: {attempt.end_seq}"


def emit(world: World) -> str:
    count = world.rng.choice((1, 1, 2, 9, 25))
    for _ in range(count):
        _emit(world)
    return f"{count} events up to {world.truth.last_seq}"


def _emit(world: World) -> None:
    rng = world.rng
    kind = rng.choice(EVENTS)
    about = rng.choice((None, *TASKS))
    if about is None:
        world.emit(kind, worker_id=rng.choice(("", *WORKERS)))
        return
    project_id, task_id = about
    attempts = [attempt for attempt in world.truth.attempts.values() if attempt.task_id == task_id]
    attempt_id = rng.choice(attempts).id if attempts and rng.random() < 0.5 else ""
    world.emit(kind, project_id=project_id, task_id=task_id, attempt_id=attempt_id)


def choose_params(world: World) -> FeedSubscribeParams:
    """Some subscription, with whole ids."""
    rng = world.rng
    project_id = task_id = attempt_id = worker_id = ""
    kind = rng.random()
    if kind < 0.15:
        project_id = rng.choice(TASKS)[0]
    elif kind < 0.3:
        task_id = rng.choice(TASKS)[1]
    elif kind < 0.45:
        worker_id = rng.choice(WORKERS)
    elif kind < 0.6 and world.truth.attempts:
        attempt_id = rng.choice(list(world.truth.attempts))
        task_id = attempt_id.partition("/")[0]
    types = rng.choice(((), (), (), ("attempt.",), ("attempt.job_ended",), ("task.updated", "queue.")))
    return FeedSubscribeParams(
        project_id=project_id,
        task_id=task_id,
        attempt_id=attempt_id,
        worker_id=worker_id,
        type=types,
        level="important" if rng.random() < 0.05 else "all",
        output=tuple(rng.sample(OUTPUTS, rng.choice((0, 1, 2, 3, 5, 5, 5)))),
        tail_lines=rng.choice((0, 0, 1, 3, None, None)),
    )


def connect(world: World) -> str:
    away = [client for client in world.clients if client.connection is None]
    if not away or world.feed is None or world.nursery is None:
        return ""
    client = world.rng.choice(away)
    came: View | None = None
    if client.marks and world.rng.random() < 0.85:
        came = client.marks[-1] if world.rng.random() < 0.7 else world.rng.choice(client.marks)
    params = choose_params(world) if came is None or world.rng.random() < 0.15 else came.params
    client.connect(world.nursery, world.feed, params, came)
    since = "now" if came is None else f"{came.seq} {came.live}"
    return f"{client.name} comes with {params} from {since}"


def replace(world: World) -> str:
    here = [client for client in world.clients if client.connection is not None and not client.connection.is_over]
    if not here:
        return ""
    client = world.rng.choice(here)
    params = choose_params(world)
    client.replace(params)
    return f"{client.name} asks for {params} instead"


def pull(world: World) -> str:
    here = [client for client in world.clients if client.connection is not None]
    if not here:
        return ""
    client = world.rng.choice(here)
    count = world.rng.choice((1, 2, 4, 30))
    assert client.connection is not None
    for _ in range(count):
        client.connection.permits.release()
    return f"{client.name} may be sent {count} frames"


def take(world: World) -> str:
    here = [client for client in world.clients if client.connection is not None]
    if not here:
        return ""
    client = world.rng.choice(here)
    count = world.rng.choice((1, 3, 100))
    client.take(count)
    return f"{client.name} takes {count}: it is at {client.view.seq} {client.view.live}"


async def disconnect(world: World) -> str:
    here = [client for client in world.clients if client.connection is not None]
    if not here:
        return ""
    client = world.rng.choice(here)
    await client.leave()
    return f"{client.name} is cut off"


def pass_time(world: World) -> str:
    count = world.rng.choice((0.005, 0.1, 0.3, 1.1))
    world.clock.mono += count
    return f"{count} s pass"


def clean_up(world: World) -> str:
    ended = [
        attempt
        for attempt in world.truth.attempts.values()
        if attempt.end_seq != NEVER and attempt.jobs and all(job.is_dead for job in attempt.jobs.values())
    ]
    if not ended:
        return ""
    away = [client.marks[-1] for client in world.clients if client.connection is None and client.marks]
    named = [attempt for attempt in ended for view in away for source in view.live if source.attempt_id == attempt.id]
    attempt = world.rng.choice(named or ended)
    is_by_cap = world.rng.random() < 0.5
    world.remove_output(attempt, is_by_cap=is_by_cap)
    return f"the output of {attempt.id} is removed" + (" by the cap" if is_by_cap else "")


def prune(world: World) -> str:
    world.prune_events(world.rng.choice((3, 20, 10_000)))
    return f"events before {world.truth.first_seq} are gone"


async def lose_what_is_followed(world: World) -> str:
    """Who follows is away for so long that the attempt ends, its output is removed, and perhaps events too."""
    followed = [
        (client, world.truth.attempts[source.attempt_id])
        for client in world.clients
        if client.marks
        for source in client.marks[-1].live
    ]
    if not followed:
        return ""
    client, attempt = world.rng.choice(followed)
    await client.leave()
    for job in attempt.jobs.values():
        if not job.is_dead:
            _say_last_words(world, job)
            world.finish_job(job)
            world.say_job_ended(job)
    if attempt.end_seq == NEVER:
        world.end_attempt(attempt, names_worker=True)
    kind = world.rng.choice(("output", "events", "both"))
    if kind != "events":
        world.remove_output(attempt, is_by_cap=world.rng.random() < 0.5)
    if kind != "output":
        _emit(world)
        world.prune_events(10_000)
    return f"{client.name} is away while {attempt.id} ends: {kind} of it are gone"


async def swap(world: World) -> str:
    is_told = world.rng.choice(("reload", "stop", ""))
    await world.stop(is_told=is_told)
    assert world.nursery is not None
    await world.start(world.nursery)
    return f"another image takes over: {is_told or 'the one before was killed'}"


def starve(world: World) -> str:
    Starving.is_on = not Starving.is_on
    world.truth.may_fail = True
    return "descriptors run out" if Starving.is_on else "there are descriptors again"


MOVES = (
    Move("begin_attempt", 4, begin_attempt),
    Move("begin_job", 6, begin_job),
    Move("write_output", 22, write_output),
    Move("pour_output", 2, pour_output),
    Move("end_job", 4, end_job),
    Move("tell_end_of_job", 4, tell_end_of_job),
    Move("end_attempt", 3, end_attempt),
    Move("emit", 5, emit),
    Move("connect", 7, connect),
    Move("replace", 1.5, replace),
    Move("pull", 14, pull),
    Move("take", 10, take),
    Move("disconnect", 3, disconnect),
    Move("pass_time", 8, pass_time),
    Move("clean_up", 1.5, clean_up),
    Move("prune", 1, prune),
    Move("lose_what_is_followed", 1, lose_what_is_followed),
    Move("swap", 1, swap),
    Move("starve", 0.3, starve),
)
# Without these nothing comes of the others.
NEEDED = ("begin_attempt", "begin_job", "write_output", "connect", "pull", "take", "pass_time")
