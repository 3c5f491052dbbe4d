"""Handler of `task.why`, and what the daemon's dispatcher looks at besides the rows."""

from __future__ import annotations

from ringmaster.protocol.task import TaskShowParams
from ringmaster.protocol.why import TaskWhy
from ringmaster.queue.limits import bounds_of
from ringmaster.queue.lookup import resolve_task
from ringmaster.queue.view import task_why
from ringmaster.queue.why import Scene
from ringmaster.rpc.scope import refuse_other_task
from ringmaster.rpc.services import Ctx, Services
from ringmaster.store.connection import Connection
from ringmaster.workers.room import look_at_house


def look_at_scene(services: Services) -> Scene:
    """What the dispatcher looks at now. Blocking: three looks at the file system."""
    sur = services.sur
    return Scene(
        house=look_at_house(sur, is_ending=services.health().state == "stopping"),
        bounds=bounds_of(sur.settings),
        payers={agent: account.id for agent, account in sur.payers.items()},
    )


async def why(ctx: Ctx, params: TaskShowParams) -> TaskWhy:
    """Why a task is not worked on, what it does, or why it ended."""
    scene = look_at_scene(ctx.services)

    def read(conn: Connection) -> TaskWhy:
        task_id = resolve_task(conn, params.id)
        refuse_other_task(ctx.caller, task_id)
        return task_why(conn, task_id, scene, params.limit)

    return await ctx.services.store.read(read)
