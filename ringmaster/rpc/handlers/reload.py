"""Handlers of `reload.*`."""

from __future__ import annotations

import msgspec

from ringmaster.protocol.rollout import ReloadAnswer, ReloadRequestParams
from ringmaster.queue import rollout
from ringmaster.reload.candidate_spec import STAGES
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store.idempotency import answered


async def request(ctx: Ctx, params: ReloadRequestParams) -> ReloadAnswer:
    """Look for newer code now. What becomes of it is in the events after the answer's cursor."""
    services, actor = ctx.services, actor_of(ctx.caller)
    if params.is_dry_run:
        return await services.reload.request(True, actor)
    document = msgspec.json.encode(params)
    earlier = await services.store.read(answered, params.idempotency_key, "reload.request", document, ReloadAnswer)
    if earlier is not None:
        return earlier
    # Before the look: whatever that begins comes behind this cursor.
    cursor = await services.store.write(rollout.request_reload, actor=actor)
    found = msgspec.structs.replace(
        await services.reload.request(False, actor),
        cursor=cursor,
        stages=STAGES,
        probation_s=services.settings.own.probation_s,
    )
    return await mutate(ctx, "reload.request", params, ReloadAnswer, lambda conn: found)
