"""What `task.import` does: another program's file, read beside the loop and taken in one transaction."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import Translation, translate
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from ringmaster.queue.importing import plan_import, store_import
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store.connection import Connection
from ringmaster.store.original import OldDatabase, read_original


def _read(path: Path, now: float) -> tuple[OldDatabase, Translation]:
    old = read_original(path)
    return old, translate(old.tasks, old.dependencies, now)


async def take_over(ctx: Ctx, params: TaskImportParams) -> TaskImported:
    """Read the file, then take everything that is new in it.

    Raises:
        RingmasterError: what `read_original` and `plan_import` refuse; USAGE for a path that is not absolute.
    """
    path = Path(params.path)
    if not path.is_absolute():
        raise RingmasterError(ErrorKind.USAGE, f"{params.path[:200]!r} is no absolute path", "rmctl task import --help")
    # Beside the loop and before the transaction: both take as long as the file is big.
    old, translation = await trio.to_thread.run_sync(_read, path, time.time())
    sur = ctx.services.sur

    def plan_and_store(conn: Connection) -> TaskImported:
        plan = plan_import(conn, translation, old.projects, params)
        if params.is_dry_run:
            return plan.told
        return store_import(
            conn,
            plan,
            actor=actor_of(ctx.caller),
            max_attempts=sur.settings.limits.max_attempts,
            rng=sur.rng,
        )

    if params.is_dry_run:
        return await ctx.services.store.read(plan_and_store)
    return await mutate(ctx, "task.import", params, TaskImported, plan_and_store)
