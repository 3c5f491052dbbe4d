"""What `task.export` does: every task into a file, from one snapshot and beside the loop."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.exporting import TaskExported, TaskExportParams
from ringmaster.queue.exporting import iter_exported
from ringmaster.queue.lookup import resolve_project
from ringmaster.rpc.services import Ctx, mutate
from ringmaster.store.disk import make_disk_full_error
from ringmaster.store.idempotency import answered
from ringmaster.store.snapshot import open_snapshot

NOTES_SHOWN = 200


async def write_out(ctx: Ctx, params: TaskExportParams) -> TaskExported:
    """Write the file; it is whole and on the disk when this returns, or as it was before.

    Raises:
        RingmasterError: USAGE for a path that is not absolute; NOT_FOUND for a project or directory; PERMISSION;
            DISK_FULL.
    """
    if not os.path.isabs(params.path):
        raise RingmasterError(ErrorKind.USAGE, f"{params.path[:200]!r} is no absolute path", "rmctl task export --help")
    document = msgspec.json.encode(params)
    earlier = await ctx.services.store.read(answered, params.idempotency_key, "task.export", document, TaskExported)
    if earlier is not None:
        return earlier
    settings = ctx.services.settings
    made = await trio.to_thread.run_sync(
        _write, ctx.services.paths.database, params, settings.limits.max_attempts, time.time()
    )
    return await mutate(ctx, "task.export", params, TaskExported, lambda conn: made, is_essential=True)


def _write(database: Path, params: TaskExportParams, max_attempts: int, now: float) -> TaskExported:
    count, problems = 0, []
    with open_snapshot(database, now) as conn:
        project_id = resolve_project(conn, params.project_id) if params.project_id else ""
        with _open_in_place_of(Path(params.path)) as file:
            for exported in iter_exported(conn, params.kind, project_id, max_attempts=max_attempts):
                if exported.problem:
                    problems.append(f"left out: {exported.id}, {exported.problem}")
                    continue
                file.write(exported.line + b"\n")
                count += 1
    return TaskExported(
        path=params.path,
        tasks=count,
        notes=tuple(problems[:NOTES_SHOWN]),
        more_notes=max(0, len(problems) - NOTES_SHOWN),
    )


@contextmanager
def _open_in_place_of(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another when it is whole. Raises RingmasterError, with nothing changed."""
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    if path.exists() and not path.is_file():
        raise RingmasterError(ErrorKind.USAGE, f"{path} is no file", "name a file")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except FileNotFoundError as error:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"there is no directory {path.parent}", "make it first") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise make_disk_full_error() from error
        raise RingmasterError(
            ErrorKind.PERMISSION, f"{path} cannot be written: {error.strerror}", "name another file"
        ) from error
    finally:
        part.unlink(missing_ok=True)
