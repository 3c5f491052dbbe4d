"""Handlers of `queue.*`."""

from __future__ import annotations

from ringmaster.protocol.queue import QueueChanged, QueuePauseParams, QueueResumeParams
from ringmaster.queue import pausing
from ringmaster.queue.status import queue_pause_view
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store.connection import Connection


async def pause(ctx: Ctx, params: QueuePauseParams) -> QueueChanged:
    """Give out nothing more."""

    def store(conn: Connection) -> QueueChanged:
        note = pausing.pause(conn, params.project_id, message=params.message, actor=actor_of(ctx.caller))
        return QueueChanged(note=note, pause=queue_pause_view(conn))

    return await mutate(ctx, "queue.pause", params, QueueChanged, store, is_essential=True)


async def resume(ctx: Ctx, params: QueueResumeParams) -> QueueChanged:
    """Give out again."""

    def store(conn: Connection) -> QueueChanged:
        note = pausing.resume(conn, params.project_id, actor=actor_of(ctx.caller))
        return QueueChanged(note=note, pause=queue_pause_view(conn))

    return await mutate(ctx, "queue.resume", params, QueueChanged, store)
