"""Handlers of `rollout.*`."""

from __future__ import annotations

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.generation import Generation
from ringmaster.protocol.daemon import EmptyParams
from ringmaster.protocol.rollout import (
    ReloadAnswer,
    RolloutHistory,
    RolloutHistoryParams,
    RolloutStatus,
    RolloutUndoParams,
)
from ringmaster.queue import rollout
from ringmaster.reload.measuring import measured_now
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store import generations
from ringmaster.store.connection import Connection
from ringmaster.store.idempotency import answered

WHAT = "the daemon's own code"


async def status(ctx: Ctx, params: EmptyParams) -> RolloutStatus:
    """Where reloading stands, and what became of the last one."""
    refuse_attempts(ctx.caller, WHAT)
    last, asked = await ctx.services.store.read(_read_status)
    return msgspec.structs.replace(ctx.services.reload.status(), last=last, bad_release=asked)


def _read_status(conn: Connection) -> tuple[Generation | None, Decision | None]:
    return generations.last_reload(conn), rollout.find_bad_release(conn)


async def history(ctx: Ctx, params: RolloutHistoryParams) -> RolloutHistory:
    """Generations side by side."""
    refuse_attempts(ctx.caller, WHAT)
    now = ctx.services.reload.status()
    return await ctx.services.store.read(
        rollout.read_history,
        params.limit,
        running=now.running,
        good=now.good,
        current=measured_now(ctx.services.meter),
    )


async def undo(ctx: Ctx, params: RolloutUndoParams) -> ReloadAnswer:
    """Go back to a good generation. What becomes of it is in the events after the answer's cursor.

    Tried on a full disk too: going back may be what makes room.
    """
    services, actor = ctx.services, actor_of(ctx.caller)
    document = msgspec.json.encode(params)
    earlier = await services.store.read(answered, params.idempotency_key, "rollout.undo", document, ReloadAnswer)
    if earlier is not None:
        return earlier
    running = services.reload.status().running
    if not running:
        return await services.reload.undo(params.generation, actor)
    wanted = await services.store.read(rollout.find_undo, params.generation, running=running)
    cursor = await services.store.write_essential(rollout.request_undo, wanted, actor=actor)
    answer, probation_s = await services.reload.undo(wanted.id, actor), services.settings.own.probation_s
    found = msgspec.structs.replace(answer, cursor=cursor, probation_s=probation_s)
    return await mutate(ctx, "rollout.undo", params, ReloadAnswer, lambda conn: found, is_essential=True)
