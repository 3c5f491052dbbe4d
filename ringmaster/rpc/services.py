"""What handlers are given: the parts of the daemon, and the few effects that only the daemon itself has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec

from ringmaster.bus import Bus
from ringmaster.doctor.facts import PageFacts
from ringmaster.feed.feed import Feed
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.proc.inotify import Watcher
from ringmaster.protocol.daemon import Health, KeepResult
from ringmaster.protocol.dashboard import DashboardLink
from ringmaster.protocol.mutation import Mutation
from ringmaster.protocol.rollout import ReloadAnswer, RolloutStatus
from ringmaster.reload.meter import Meter
from ringmaster.rpc.dispatch import Context, Deferred
from ringmaster.rpc.rights import Caller, CallerKind
from ringmaster.settings import Paths, Settings
from ringmaster.store import Store
from ringmaster.store.connection import Connection
from ringmaster.store.idempotency import once
from ringmaster.workers.projects import Projects
from ringmaster.workers.surroundings import Surroundings

R = TypeVar("R")


class ReloadControl(Protocol):
    """What handlers ask of the part that reloads. Nothing here waits for a gate or a switch."""

    async def request(self, is_dry_run: bool, actor: str) -> ReloadAnswer:
        """Have newer code looked for, or only say what would be taken. `cursor` is left to the caller.

        After the answer `requested` there comes a `generation.*` event, or `reload.found_nothing`.
        """
        ...

    def status(self) -> RolloutStatus:
        """Where reloading stands; looks at memory alone. `last` is left to the caller."""
        ...

    async def undo(self, generation: int | None, actor: str) -> ReloadAnswer:
        """Have the switch to a good generation begun. generation: None for the good one before the running one.

        There comes `generation.restored`, or `reload.undo_failed`. Raises RingmasterError where it cannot be begun.
        """
        ...


def refuse_link() -> DashboardLink:
    """Of a daemon without a page."""
    raise RingmasterError(ErrorKind.WRONG_STATE, "this daemon serves no page", "set is_enabled of [stream], restart it")


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Built by the daemon, one per process; nothing in it is closed here.

    sur: what the supervisor works with too. watcher: runs for as long as the server does. started_at:
    of this process, unix seconds. request_stop: asks the daemon to end and returns at once; its mode is `drain`,
    which leaves agents at work, or `abort`, which ends them first. keep, health: the daemon's own; `health`
    only looks at memory. meter: the one that the server counts its calls in. feed: open as long as the server serves.
    make_link: lets a page in; raises RingmasterError where none is served. page: how it is, for the doctor.
    """

    sur: Surroundings
    watcher: Watcher
    projects: Projects
    started_at: float
    request_stop: Callable[[str], None]
    keep: Callable[[], Awaitable[KeepResult]]
    health: Callable[[], Health]
    reload: ReloadControl
    meter: Meter
    feed: Feed
    make_link: Callable[[], DashboardLink] = refuse_link
    page: Callable[[], PageFacts] = lambda: PageFacts(is_enabled=False)

    @property
    def store(self) -> Store:
        """The store."""
        return self.sur.store

    @property
    def bus(self) -> Bus[Event]:
        """Every event after its commit."""
        return self.sur.bus

    @property
    def paths(self) -> Paths:
        """Where this instance's files lie."""
        return self.sur.paths

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.sur.settings


Ctx = Context[Services]


def actor_of(caller: Caller) -> str:
    """Who did it, as events and answers name them."""
    return f"attempt:{caller.attempt_id}" if caller.kind is CallerKind.ATTEMPT else str(caller.kind)


async def mutate(
    ctx: Ctx,
    method: str,
    params: Mutation,
    result: type[R],
    fn: Callable[[Connection], R],
    *,
    is_essential: bool = False,
) -> R:
    """Run `fn` in the one transaction of a mutating method, once per idempotency key; durable when it returns.

    is_essential: also tried while the disk is full, for what ends work and never for what begins it.
    """
    write = ctx.services.store.write_essential if is_essential else ctx.services.store.write
    return await write(once, params.idempotency_key, method, _document(params), result, fn)


def mutate_soon(ctx: Ctx, method: str, params: Mutation, result: type[R], fn: Callable[[Connection], R]) -> Deferred[R]:
    """As `mutate`, for a plain handler with nothing to do after it: the write's end sends the answer."""
    store, key, document = ctx.services.store, params.idempotency_key, _document(params)
    return Deferred(lambda on_done: store.write_soon(on_done, once, key, method, document, result, fn))


def _document(params: Mutation) -> bytes:
    return msgspec.json.encode(params) if params.idempotency_key else b""
