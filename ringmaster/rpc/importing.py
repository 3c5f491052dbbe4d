"""What `task.import` does: another program's file, read beside the loop and taken in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from ringmaster.model.beads import translate_beads
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import Translation
from ringmaster.model.importing_lines import translate_lines
from ringmaster.model.importing_original import translate
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from ringmaster.queue.importing import plan_import, store_import
from ringmaster.rpc.services import Ctx, actor_of
from ringmaster.store.connection import Connection
from ringmaster.store.idempotency import answered, once
from ringmaster.store.original import OldProject, read_original

MOST_BYTES = 1 << 30
"""Of a file: all of it is in memory at once."""

READERS: dict[str, Callable[[bytes, float], Translation]] = {"beads": translate_beads, "jsonl": translate_lines}


def _read(kind: str, path: Path, now: float) -> tuple[tuple[OldProject, ...], Translation]:
    if kind == "ringmaster":
        old = read_original(path)
        return old.projects, translate(old.tasks, old.dependencies, now)
    return (), READERS[kind](_read_file(path), now)


def _read_file(path: Path) -> bytes:
    hint = "of a beads repository it is .beads/issues.jsonl"
    if not path.is_file():
        raise RingmasterError(ErrorKind.NOT_FOUND, f"there is no file {path}", hint)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise RingmasterError(ErrorKind.REFUSED, f"{path} is too big: {MOST_BYTES} bytes is the most", hint)
        return path.read_bytes()
    except OSError as error:
        raise RingmasterError(ErrorKind.PERMISSION, f"{path} cannot be read: {error.strerror}", hint) from error


async def take_over(ctx: Ctx, params: TaskImportParams) -> TaskImported:
    """Read the file, then take everything that is new in it.

    Raises:
        RingmasterError: what the readers and `plan_import` refuse; USAGE for a path that is not absolute.
    """
    path = Path(params.path)
    if not path.is_absolute():
        raise RingmasterError(ErrorKind.USAGE, f"{params.path[:200]!r} is no absolute path", "rmctl task import --help")
    store, sur = ctx.services.store, ctx.services.sur
    document = msgspec.json.encode(params)
    earlier = await store.read(answered, params.idempotency_key, "task.import", document, TaskImported)
    if earlier is not None:
        return earlier
    # Beside the loop and before the transaction: all of it takes as long as the file is big.
    old, translation = await trio.to_thread.run_sync(_read, params.kind, path, time.time())
    planned = await store.read(plan_import, translation, old, params)
    if params.is_dry_run:
        return planned.told

    def store_it(conn: Connection) -> TaskImported:
        plan = planned if planned.is_still_so(conn) else plan_import(conn, translation, old, params)
        return store_import(
            conn,
            plan,
            actor=actor_of(ctx.caller),
            max_attempts=sur.settings.limits.max_attempts,
            rng=sur.rng,
            rules=sur.settings.order.rules,
        )

    return await store.write_long(once, params.idempotency_key, "task.import", document, TaskImported, store_it)
