"""Handlers of `stats.*`."""

from __future__ import annotations

import msgspec

from ringmaster.protocol.stats import StatsPoint, StatsSeries, StatsSeriesParams
from ringmaster.queue.stats import Plan, plan_series, read_points
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.scope import own_project, refuse_other_project
from ringmaster.rpc.services import Ctx
from ringmaster.store.connection import Connection


async def series(ctx: Ctx, params: StatsSeriesParams) -> StatsSeries:
    """Figures over time, read in pieces: however much there is, nobody waits long for the reader.

    The pieces are of snapshots that follow one another; what is over does not change between them.
    """
    store = ctx.services.store
    plan = await store.read(_plan, ctx.caller, params)
    points: list[StatsPoint] = []
    while len(points) < len(plan.begins):
        points += await store.read(read_points, plan, len(points))
    return StatsSeries(by=params.by, offset_s=params.offset_s, project_id=plan.project_id, points=tuple(points))


def _plan(conn: Connection, caller: Caller, params: StatsSeriesParams) -> Plan:
    """What an attempt asks for without a project is its own."""
    asked = msgspec.structs.replace(params, project_id=params.project_id or own_project(conn, caller))
    plan = plan_series(conn, asked)
    refuse_other_project(conn, caller, plan.project_id)
    return plan
