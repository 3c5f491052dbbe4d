"""Handlers of `cost.*`."""

from __future__ import annotations

from ringmaster.protocol.cost import CostList, CostListParams, ModelCost, TaskCost
from ringmaster.rpc.services import Ctx
from ringmaster.store import attempts
from ringmaster.store.connection import Connection, Value


async def list_(ctx: Ctx, params: CostListParams) -> CostList:
    """What was spent, by model and by task."""

    def read(conn: Connection) -> CostList:
        values: dict[str, Value] = {"since_at": params.since_at, "project_id": params.project_id}
        by_model = [
            ModelCost(**dict(zip(ModelCost.__struct_fields__, row, strict=True)))
            for row in conn.rows(attempts.queries.cost_by_model, values)
        ]
        by_task = [
            TaskCost(**dict(zip(TaskCost.__struct_fields__, row, strict=True)))
            for row in conn.rows(attempts.queries.cost_by_task, {**values, "limit": params.limit})
        ]
        return CostList(
            cost_usd=sum(row.cost_usd for row in by_model),
            tokens_in=sum(row.tokens_in for row in by_model),
            tokens_out=sum(row.tokens_out for row in by_model),
            by_model=tuple(by_model),
            by_task=tuple(row for row in by_task if row.tokens_in or row.tokens_out),
        )

    return await ctx.services.store.read(read)
