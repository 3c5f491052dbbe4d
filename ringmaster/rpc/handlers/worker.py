"""Handlers of `worker.*`."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable

import msgspec
import trio

from ringmaster.agents.command import check_template
from ringmaster.agents.registry import agent_for
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import WorkerState
from ringmaster.model.worker import HAND, Worker
from ringmaster.protocol.worker import (
    WorkerIdParams,
    WorkerList,
    WorkerListParams,
    WorkerSetParams,
    WorkerSpawnParams,
    WorkerView,
    WorkerWaited,
    WorkerWaitParams,
)
from ringmaster.queue import control, lease
from ringmaster.queue.limits import bounds_of
from ringmaster.queue.lookup import resolve_project, resolve_worker
from ringmaster.queue.obstacles import of_house
from ringmaster.queue.view import worker_view
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.settings import AgentSettings, Settings
from ringmaster.store import accounts, tasks, workers
from ringmaster.store.connection import Connection
from ringmaster.workers.dispatcher import LONGEST_WAIT_S, SEAT_EVENTS, WORK_EVENTS
from ringmaster.workers.room import look_at_house

PULL_EVENTS = WORK_EVENTS | SEAT_EVENTS | {"worker.paused", "worker.stopped", "worker.removed"}
DUE_SLACK_S = 0.01
LATE_S = 1.0
HELD_S = 5.0


def _check_agent(params: WorkerSpawnParams, settings: Settings) -> None:
    """Refuse a seat that could never start its agent. Raises NOT_FOUND, USAGE."""
    agent_for(params.agent, settings)
    if params.agent == "command":
        check_template(params.command)
    elif params.command:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"the agent {params.agent!r} takes no command line",
            "use the agent `command`, or leave out what follows --",
        )


def _refuse_missing_program(params: WorkerSpawnParams, settings: Settings) -> None:
    """Raises NOT_FOUND for a program that is not there. Looks at files: call it in a thread."""
    program = params.command[0] if params.command else agent_for(params.agent, settings).program
    # A placeholder is filled in later, and a relative path is one in the workspace: neither can be looked at yet.
    if "{" in program or ("/" in program and not program.startswith("/")):
        return
    if not program or shutil.which(program):
        return
    if params.command:
        hint = "install it or give its whole path after --; the agents there are: rmctl agent list"
    else:
        setting = "argv = [...]" if isinstance(settings.agents.get(params.agent), AgentSettings) else 'bin = "PATH"'
        hint = f"install it, or say where it is in config.toml: [agents.{params.agent}] {setting}"
    where = "it is no program" if program.startswith("/") else "it is not in the daemon's PATH"
    raise RingmasterError(
        ErrorKind.NOT_FOUND, f"the agent {params.agent!r} cannot start {program[:200]!r}: {where}", hint
    )


def _names(params: WorkerSpawnParams) -> list[str]:
    if not params.id or params.count == 1:
        return [params.id] * params.count
    return [f"{params.id}-{number}" for number in range(1, params.count + 1)]


async def spawn(ctx: Ctx, params: WorkerSpawnParams) -> WorkerList:
    """Make one seat or several alike."""
    settings = ctx.services.settings
    _check_agent(params, settings)
    await trio.to_thread.run_sync(_refuse_missing_program, params, settings)

    def store(conn: Connection) -> WorkerList:
        template = Worker(
            id="",
            agent=params.agent,
            command=params.command,
            project_id=resolve_project(conn, params.project_id) if params.project_id else "",
            capabilities=tuple(sorted(set(params.capabilities))),
            state=WorkerState.ACTIVE,
            attempt_id="",
            created_at=conn.now,
            is_pulled=params.is_pulled or params.agent == HAND,
        )
        made = [
            control.spawn_worker(conn, msgspec.structs.replace(template, id=name), actor=actor_of(ctx.caller))
            for name in _names(params)
        ]
        return WorkerList(workers=tuple(worker_view(conn, workers.worker_by_id(conn, name)) for name in made))

    return await mutate(ctx, "worker.spawn", params, WorkerList, store)


async def list_(ctx: Ctx, params: WorkerListParams) -> WorkerList:
    """All seats and what each does."""
    refuse_attempts(ctx.caller, "workers")

    def read(conn: Connection) -> WorkerList:
        return WorkerList(workers=tuple(worker_view(conn, worker) for worker in workers.all_workers(conn)))

    return await ctx.services.store.read(read)


async def show(ctx: Ctx, params: WorkerIdParams) -> WorkerView:
    """One seat."""
    refuse_attempts(ctx.caller, "workers")

    def read(conn: Connection) -> WorkerView:
        return worker_view(conn, workers.worker_by_id(conn, resolve_worker(conn, params.id)))

    return await ctx.services.store.read(read)


async def wait(ctx: Ctx, params: WorkerWaitParams) -> WorkerWaited:
    """Answer when a pull may find a task, when the worker is stopped, or when the time is over."""
    refuse_attempts(ctx.caller, "workers")
    store, bus = ctx.services.store, ctx.services.bus
    # Listening begins before looking, so that nothing can happen unheard in between.
    with (
        bus.open_subscription(lambda event: event.type in PULL_EVENTS, capacity=256) as events,
        trio.move_on_after(params.timeout_s if params.timeout_s is not None else float("inf")),
    ):
        while True:
            waited, due_at = await store.read(_standing, params, ctx.services.settings, _is_held(ctx))
            if waited.is_ready or (waited.state == WorkerState.STOPPED and not params.is_seat_enough):
                return waited
            wait_s = float("inf")
            due_s = due_at - ctx.services.sur.now() if due_at else -LATE_S
            # What has been due for long and is no reason to pull waits for something else, which is an event.
            if due_s > -LATE_S:
                wait_s = max(0.0, due_s) + DUE_SLACK_S
            if _is_held(ctx):
                wait_s = HELD_S
            # As the dispatcher does: settings that are read again are no event.
            with trio.move_on_after(min(wait_s, LONGEST_WAIT_S)):
                await events.receive_batch()
    waited, _ = await store.read(_standing, params, ctx.services.settings, _is_held(ctx))
    return waited


def _is_held(ctx: Ctx) -> bool:
    """Whether nothing is given out whatever there is: a file and the disk say so, and no event when it is over."""
    services = ctx.services
    return any(of_house(look_at_house(services.sur, is_ending=services.health().state == "stopping")))


def _standing(
    conn: Connection, params: WorkerWaitParams, settings: Settings, is_held: bool
) -> tuple[WorkerWaited, float | None]:
    """Whether a pull may find a task now, and when one may without an event: a task is due, its account has rested."""
    worker = workers.worker_by_id(conn, params.id) if params.id else lease.any_hand_seat(conn.now)
    if params.is_seat_enough:
        return WorkerWaited(is_ready=not worker.attempt_id, state=str(worker.state)), None
    is_ready = not is_held and lease.is_worth_pulling(conn, worker, settings.daemon.max_running, bounds_of(settings))
    rest = accounts.resting_agents(conn).get(worker.agent)
    look_at = rest.paused_until_at if rest is not None else tasks.next_due_at(conn)
    return WorkerWaited(is_ready=is_ready, state=str(worker.state)), look_at


async def _each(
    ctx: Ctx,
    method: str,
    params: WorkerSetParams,
    change: Callable[[Connection, str], WorkerView],
    *,
    is_essential: bool = False,
) -> WorkerList:
    """Do something to the worker that is named, or to all. Nothing is done to any when one refuses."""
    if bool(params.id) == params.is_all:
        verb = method.rpartition(".")[2]
        raise RingmasterError(ErrorKind.USAGE, "name one worker or all of them", f"rmctl worker {verb} ID | --all")

    def store(conn: Connection) -> WorkerList:
        names = (
            [worker.id for worker in workers.all_workers(conn)] if params.is_all else [resolve_worker(conn, params.id)]
        )
        return WorkerList(workers=tuple(change(conn, name) for name in names))

    return await mutate(ctx, method, params, WorkerList, store, is_essential=is_essential)


def _set(ctx: Ctx, state: WorkerState, conn: Connection, name: str) -> WorkerView:
    return worker_view(conn, control.set_worker_state(conn, name, state, actor=actor_of(ctx.caller)))


async def start(ctx: Ctx, params: WorkerSetParams) -> WorkerList:
    """Take tasks again."""
    return await _each(ctx, "worker.start", params, functools.partial(_set, ctx, WorkerState.ACTIVE))


async def pause(ctx: Ctx, params: WorkerSetParams) -> WorkerList:
    """Finish what it has, take nothing more."""
    change = functools.partial(_set, ctx, WorkerState.PAUSED)
    return await _each(ctx, "worker.pause", params, change, is_essential=True)


async def stop(ctx: Ctx, params: WorkerSetParams) -> WorkerList:
    """Interrupt what it has."""
    change = functools.partial(_set, ctx, WorkerState.STOPPED)
    return await _each(ctx, "worker.stop", params, change, is_essential=True)


async def remove(ctx: Ctx, params: WorkerSetParams) -> WorkerList:
    """Remove stopped seats; they are answered as they were."""

    def change(conn: Connection, name: str) -> WorkerView:
        last = worker_view(conn, workers.worker_by_id(conn, name))
        control.remove_worker(conn, name, actor=actor_of(ctx.caller))
        return msgspec.structs.replace(last, shown="removed")

    return await _each(ctx, "worker.remove", params, change)
