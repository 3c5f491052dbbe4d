"""Handlers of `cost.*`."""

from __future__ import annotations

from ringmaster.protocol.cost import CostList, CostListParams
from ringmaster.queue.costs import read_costs
from ringmaster.rpc.services import Ctx


async def list_(ctx: Ctx, params: CostListParams) -> CostList:
    """What was spent, by model, agent, day and task."""
    return await ctx.services.store.read(read_costs, params)
