"""Handlers of `task.hold`, `task.close` and the like, of `task.undo` and `task.history`."""

from __future__ import annotations

import functools

from ringmaster.protocol.task import TaskChanged
from ringmaster.protocol.task_control import (
    TaskCloseParams,
    TaskDeferParams,
    TaskHistory,
    TaskHistoryParams,
    TaskHoldParams,
    TaskReleaseParams,
    TaskReopenParams,
    TaskUndone,
    TaskUndoParams,
)
from ringmaster.queue import closing, holding
from ringmaster.queue.history import task_history
from ringmaster.queue.lookup import resolve_task
from ringmaster.queue.undo import undo as undo_change
from ringmaster.rpc.handlers.task import change_task
from ringmaster.rpc.scope import refuse_other_task
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store.connection import Connection


async def hold(ctx: Ctx, params: TaskHoldParams) -> TaskChanged:
    """Keep it back."""
    change = functools.partial(holding.hold_task, message=params.message, actor=actor_of(ctx.caller))
    return await change_task(ctx, "task.hold", params, params.id, change)


async def release(ctx: Ctx, params: TaskReleaseParams) -> TaskChanged:
    """Give it out again."""
    change = functools.partial(holding.release_task, actor=actor_of(ctx.caller))
    return await change_task(ctx, "task.release", params, params.id, change)


async def defer(ctx: Ctx, params: TaskDeferParams) -> TaskChanged:
    """Keep it back until a time."""
    change = functools.partial(holding.defer_task, until_at=params.until_at, actor=actor_of(ctx.caller))
    return await change_task(ctx, "task.defer", params, params.id, change)


async def reopen(ctx: Ctx, params: TaskReopenParams) -> TaskChanged:
    """Take it up again."""
    change = functools.partial(closing.reopen_task, message=params.message, actor=actor_of(ctx.caller))
    return await change_task(ctx, "task.reopen", params, params.id, change)


async def close(ctx: Ctx, params: TaskCloseParams) -> TaskChanged:
    """Call it done."""
    change = functools.partial(
        closing.close_task, message=params.message, actor=actor_of(ctx.caller), children=params.children
    )
    return await change_task(ctx, "task.close", params, params.id, change)


async def undo(ctx: Ctx, params: TaskUndoParams) -> TaskUndone:
    """Take a change back."""
    rules = ctx.services.settings.order.rules

    def store(conn: Connection) -> TaskUndone:
        return undo_change(conn, params.target, actor=actor_of(ctx.caller), rules=rules)

    return await mutate(ctx, "task.undo", params, TaskUndone, store)


async def history(ctx: Ctx, params: TaskHistoryParams) -> TaskHistory:
    """What has happened to it."""

    def read(conn: Connection) -> TaskHistory:
        task_id = resolve_task(conn, params.id)
        refuse_other_task(ctx.caller, task_id)
        return task_history(conn, task_id, params.limit)

    return await ctx.services.store.read(read)
