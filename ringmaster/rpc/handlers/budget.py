"""Handlers of `budget.*`."""

from __future__ import annotations

from ringmaster.protocol.budget import BudgetList, BudgetSetParams, BudgetShowParams, BudgetView
from ringmaster.queue.budget import list_budgets, set_budget
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx, actor_of, mutate


async def show(ctx: Ctx, params: BudgetShowParams) -> BudgetList:
    """Budgets, and what was spent of them today."""
    refuse_attempts(ctx.caller, "budgets")
    return await ctx.services.store.read(list_budgets, params.project_id)


async def set_(ctx: Ctx, params: BudgetSetParams) -> BudgetView:
    """Change what a project may have in a day."""
    actor = actor_of(ctx.caller)
    return await mutate(ctx, "budget.set", params, BudgetView, lambda conn: set_budget(conn, params, actor=actor))
