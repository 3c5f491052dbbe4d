"""The cap on all output together: beyond it the oldest attempts that nobody needs any more lose theirs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ringmaster.model.states import ENDED_TASK_STATES, DecisionState
from ringmaster.output.files import OUTPUTS, note_removal
from ringmaster.store import attempts, decisions, tasks
from ringmaster.store.connection import Connection
from ringmaster.workers.jobs import is_any_job_held, is_of_another


class Output(msgspec.Struct, frozen=True):
    """What an attempt's jobs wrote. size: bytes on the disk."""

    attempt_id: str
    directory: Path
    size: int


def find_outputs(root: Path) -> list[Output]:
    """The output of every attempt that has any. Blocking: a look at each file."""
    found = []
    for directory in sorted(root.glob("*/*")):
        size = sum(_size_of(path) for path in _files_of(directory))
        if size:
            found.append(Output(f"{directory.parent.name}/{directory.name}", directory, size))
    return found


def choose_outputs(conn: Connection, found: list[Output], cap_bytes: int) -> list[Output]:
    """What goes, so that the rest is within the cap: the attempts that ended first.

    Never of an attempt that lives, of a task with an open question, or of the newest attempt of a task that has not
    ended. An attempt without a row is not ours to judge.
    """
    over = sum(output.size for output in found) - cap_bytes
    if over <= 0:
        return []
    by_id = {output.attempt_id: output for output in found}
    ended: list[tuple[float, Output]] = []
    for task_id in sorted({output.attempt_id.rpartition("/")[0] for output in found}):
        asked = decisions.salvaged_of_task(conn, task_id)
        if not tasks.is_known(conn, task_id) or any(one.state is DecisionState.OPEN for one in asked):
            continue
        rows = attempts.salvaged_of_task(conn, task_id)
        if rows and tasks.row_by_id(conn, task_id).task.state not in ENDED_TASK_STATES:
            rows = rows[:-1]
        ended += [(row.ended_at, by_id[row.id]) for row in rows if row.ended_at is not None and row.id in by_id]
    chosen = []
    for _, output in sorted(ended, key=lambda pair: (pair[0], pair[1].attempt_id)):
        if over <= 0:
            break
        chosen.append(output)
        over -= output.size
    return chosen


def is_in_use(output: Output, instance_id: str) -> bool:
    """Whether a job still runs, or was started by another instance. Blocking."""
    return is_any_job_held(output.directory) or is_of_another(output.directory, instance_id)


def remove_output(output: Output, now: float) -> None:
    """Remove what the jobs wrote and say so beside it; how they ended stays. May be repeated. Blocking."""
    # First: what is gone without a word would look as if nothing had ever been said.
    note_removal(output.directory, now)
    for path in _files_of(output.directory):
        path.unlink(missing_ok=True)


def _files_of(directory: Path) -> list[Path]:
    return [path for name in OUTPUTS for path in directory.glob(f"*/{name}")]


def _size_of(path: Path) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
