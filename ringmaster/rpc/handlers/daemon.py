"""Handlers of `daemon.*`."""

from __future__ import annotations

import platform

import msgspec
import trio

from ringmaster import __version__
from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.codes import PROTOCOL_VERSION
from ringmaster.protocol.daemon import (
    ConfigCheckResult,
    EmptyParams,
    GcParams,
    GcResult,
    Health,
    KeepParams,
    KeepResult,
    Status,
    StopParams,
    Stopping,
    Version,
)
from ringmaster.protocol.measure import Measures
from ringmaster.queue.status import read_overview
from ringmaster.rpc.parked import look_for_taken
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.settings import load_settings, taken_over
from ringmaster.store import attempts, versions
from ringmaster.store.connection import Connection
from ringmaster.store.idempotency import answered
from ringmaster.workers.cleanup import clean_up
from ringmaster.workers.room import look_at_house, shortages
from ringmaster.workspace.git import run_git


async def status(ctx: Ctx, params: EmptyParams) -> Status:
    """The one screen, from one snapshot. What is said to be parked was looked for in the user's branch before."""
    refuse_attempts(ctx.caller, "the whole daemon")
    seen = await ctx.services.store.read(read_overview)
    if seen.parked:
        await look_for_taken(ctx.services.sur, [parked.project_id for parked in seen.parked])
        seen = await ctx.services.store.read(read_overview)
    paths, reload = ctx.services.paths, ctx.services.reload.status()
    return Status(
        name=paths.name,
        state_dir=str(paths.state),
        version=__version__,
        health=ctx.services.health(),
        generation=reload.running,
        reload_step=reload.step,
        shortages=shortages(look_at_house(ctx.services.sur)),
        **msgspec.structs.asdict(seen),
    )


def health(ctx: Ctx, params: EmptyParams) -> Health:
    """How the process is; looks at memory alone, so that it answers whatever the store does."""
    return ctx.services.health()


async def version(ctx: Ctx, params: EmptyParams) -> Version:
    """What runs on what."""
    schema, sqlite = await ctx.services.store.read(versions.read_versions)
    git = (await run_git("version", cwd=ctx.services.paths.state)).text
    reload = ctx.services.reload.status()
    return Version(
        version=__version__,
        protocol=PROTOCOL_VERSION,
        schema=schema,
        python=platform.python_version(),
        sqlite=sqlite,
        git=git.removeprefix("git version "),
        generation=reload.running,
        release=reload.release,
        commit=reload.commit,
    )


async def measures(ctx: Ctx, params: EmptyParams) -> Measures:
    """What the daemon measured of itself since it began."""
    refuse_attempts(ctx.caller, "the whole daemon")
    times = ctx.services.store.times
    return Measures(
        rpc=ctx.services.meter.snapshot(),
        statements=await trio.to_thread.run_sync(times.rows),
        timed_share=times.share,
    )


async def stop(ctx: Ctx, params: StopParams) -> Stopping:
    """Ask the daemon to end. The answer comes before the end does."""
    pid = ctx.services.health().pid

    def store(conn: Connection) -> Stopping:
        live = len(attempts.salvaged_live(conn))
        conn.emit("daemon.stop_requested", actor=actor_of(ctx.caller), data={"mode": params.mode, "live": live})
        return Stopping(pid=pid, live_attempts=live)

    stopping = await mutate(ctx, "daemon.stop", params, Stopping, store, is_essential=True)
    ctx.services.request_stop(params.mode)
    return stopping


async def keep(ctx: Ctx, params: KeepParams) -> KeepResult:
    """See to it that a keeper watches the daemon."""
    return await ctx.services.keep()


async def gc(ctx: Ctx, params: GcParams) -> GcResult:
    """Remove what has been kept long enough, or say what would go."""
    sur = ctx.services.sur
    document = msgspec.json.encode(params)
    earlier = await sur.store.read(answered, params.idempotency_key, "daemon.gc", document, GcResult)
    if earlier is not None:
        return earlier
    done = await clean_up(sur, is_dry_run=params.is_dry_run, actor=actor_of(ctx.caller))
    return await mutate(ctx, "daemon.gc", params, GcResult, lambda conn: done, is_essential=True)


def config_check(ctx: Ctx, params: EmptyParams) -> ConfigCheckResult:
    """Read the settings file anew and say whether the daemon could start with it; nothing is taken over."""
    path = ctx.services.paths.config
    try:
        settings = load_settings(path)
    except RingmasterError as error:
        return ConfigCheckResult(path=str(path), is_valid=False, words=error.message)
    current = ctx.services.settings
    if settings != current:
        how = "restart it" if taken_over(settings, current) == current else "send it SIGHUP"
        return ConfigCheckResult(
            path=str(path), is_valid=True, words=f"valid; it differs from what the daemon runs with: {how}"
        )
    words = "valid" if path.exists() else "there is no file; the defaults hold"
    return ConfigCheckResult(path=str(path), is_valid=True, words=words)
