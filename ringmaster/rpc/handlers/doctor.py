"""Handlers of `doctor.*`: the daemon looked over, and mended where that is safe: nothing that holds work is touched."""

from __future__ import annotations

import os
import shlex
import time

import msgspec
import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.doctor import DoctorParams, Examination, Mended, MendParams
from ringmaster.rpc.examining import look_over, read_files
from ringmaster.rpc.leftovers import find_stale
from ringmaster.rpc.scope import refuse_attempts
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store.idempotency import answered
from ringmaster.workers.cleanup import clean_up
from ringmaster.workspace.git_directory import remove_tree


async def examine(ctx: Ctx, params: DoctorParams) -> Examination:
    """Look everything over; changes nothing."""
    refuse_attempts(ctx.caller, "the whole daemon")
    return Examination(findings=await look_over(ctx))


async def mend(ctx: Ctx, params: MendParams) -> Mended:
    """Do what is safe: modes of files, a keeper, what gc removes anyway, what a kill cut short."""
    document = msgspec.json.encode(params)
    earlier = await ctx.services.store.read(answered, params.idempotency_key, "doctor.mend", document, Mended)
    if earlier is not None:
        return earlier
    done: list[str] = []
    failed: list[str] = []
    _mend_modes(ctx, done, failed)
    for step in (_mend_keeper, _remove_stale, _clean_up):
        try:
            done += await step(ctx)
        except (RingmasterError, OSError) as error:
            failed.append(str(error))
    mended = Mended(done=tuple(done), failed=tuple(failed))
    return await mutate(ctx, "doctor.mend", params, Mended, lambda conn: mended, is_essential=True)


def _mend_modes(ctx: Ctx, done: list[str], failed: list[str]) -> None:
    for file in read_files(ctx.services.paths):
        if file.mode is None or not file.is_own or not file.mode & 0o077:
            continue
        try:
            os.chmod(file.path, file.wanted)
            done.append(f"chmod {file.wanted:o} {shlex.quote(file.path)}")
        except OSError as error:
            failed.append(f"{file.path}: {error.strerror}")


async def _mend_keeper(ctx: Ctx) -> list[str]:
    if ctx.services.health().is_kept:
        return []
    kept = await ctx.services.keep()
    return [f"keeper {kept.keeper_pid} looks after the daemon now"]


async def _remove_stale(ctx: Ctx) -> list[str]:
    stale = await trio.to_thread.run_sync(find_stale, ctx.services.paths.state, time.time())
    for path in stale:
        await trio.to_thread.run_sync(remove_tree, path)
    return [f"removed {path}" for path in stale]


async def _clean_up(ctx: Ctx) -> list[str]:
    if ctx.services.paths.estop.exists():
        return []
    swept = await clean_up(ctx.services.sur, actor=actor_of(ctx.caller))
    return [f"removed {words}" for words in swept.removed]
