"""Handlers of `database.*`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.database import DatabaseBackupParams, DatabaseCheckParams, DatabaseCopy, DatabaseFacts
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx, mutate
from ringmaster.store.copying import copy_database, examine_database
from ringmaster.store.idempotency import answered


async def backup(ctx: Ctx, params: DatabaseBackupParams) -> DatabaseCopy:
    """Copy the database while it is used. The answer comes when the copy is on the disk."""
    if not os.path.isabs(params.path):
        raise RingmasterError(ErrorKind.USAGE, f"{params.path!r} is no whole path", "begin it with /")
    document = msgspec.json.encode(params)
    earlier = await ctx.services.store.read(answered, params.idempotency_key, "database.backup", document, DatabaseCopy)
    if earlier is not None:
        return earlier
    made = await trio.to_thread.run_sync(copy_database, ctx.services.paths.database, Path(params.path))
    # A full disk is a reason to copy, to another one: what was made must not be called refused.
    return await mutate(ctx, "database.backup", params, DatabaseCopy, lambda conn: made, is_essential=True)


async def check(ctx: Ctx, params: DatabaseCheckParams) -> DatabaseFacts:
    """Look through the whole database while it is used."""
    refuse_attempts(ctx.caller, "the database")
    # Some gigabytes take a minute, in which a daemon that is told to stop would not.
    return await trio.to_thread.run_sync(examine_database, ctx.services.paths.database, abandon_on_cancel=True)
