"""Handlers of `task.order` and `task.graph`."""

from __future__ import annotations

from ringmaster.protocol.order import TaskGraph, TaskGraphParams, TaskOrder, TaskOrderParams
from ringmaster.queue.order_view import explain_ready, task_graph
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx


async def order(ctx: Ctx, params: TaskOrderParams) -> TaskOrder:
    """Why the next tasks come in their order."""
    refuse_attempts(ctx.caller, "the order of work")
    rules = ctx.services.settings.order.rules
    return await ctx.services.store.read(explain_ready, params.project_id, params.limit, rules)


async def graph(ctx: Ctx, params: TaskGraphParams) -> TaskGraph:
    """What waits for what."""
    refuse_attempts(ctx.caller, "the graph of tasks")
    return await ctx.services.store.read(task_graph, params.id, params.project_id, params.limit)
