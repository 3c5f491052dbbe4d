"""The cap on all output together: beyond it the oldest attempts that nobody needs any more lose theirs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ringmaster.model.states import ENDED_TASK_STATES, DecisionState
from ringmaster.output.files import OUTPUTS, note_removal
from ringmaster.store import attempts, decisions, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.disk import is_disk_full
from ringmaster.workers.jobs import is_any_job_held, is_of_another


class Output(msgspec.Struct, frozen=True):
    """What an attempt's jobs wrote. size: bytes on the disk."""

    attempt_id: str
    directory: Path
    size: int

    @property
    def task_id(self) -> str:
        """Whose attempt it is."""
        return self.attempt_id.rpartition("/")[0]


def find_outputs(root: Path) -> list[Output]:
    """The output of every attempt that has any. Blocking: a look at each file."""
    found = []
    for directory in sorted(root.glob("*/*")):
        size = sum(_size_of(path) for path in _files_of(directory))
        if size:
            found.append(Output(f"{directory.parent.name}/{directory.name}", directory, size))
    return found


def endings_of(conn: Connection, task_ids: Sequence[str]) -> dict[str, float]:
    """The attempts of these tasks whose output may go, and when each ended.

    Never one that lives, any of a task with an open question, or the newest of a task that has not ended. An attempt
    without a row is not ours to judge.
    """
    ended: dict[str, float] = {}
    for task_id in task_ids:
        asked = decisions.salvaged_of_task(conn, task_id)
        if not tasks.is_known(conn, task_id) or any(one.state is DecisionState.OPEN for one in asked):
            continue
        rows = attempts.salvaged_of_task(conn, task_id)
        if rows and tasks.row_by_id(conn, task_id).task.state not in ENDED_TASK_STATES:
            rows = rows[:-1]
        ended |= {row.id: row.ended_at for row in rows if row.ended_at is not None}
    return ended


def is_in_use(output: Output, instance_id: str) -> bool:
    """Whether a job still runs, or was started by another instance. Blocking."""
    return is_any_job_held(output.directory) or is_of_another(output.directory, instance_id)


def remove_output(output: Output, now: float) -> None:
    """Remove what the jobs wrote and say so beside it; how they ended stays. May be repeated. Blocking."""
    try:
        # First: what is gone without a word would look as if nothing had ever been said.
        note_removal(output.directory, now)
    except OSError as error:
        if not is_disk_full(error):
            raise
        # This very clean-up is to give room, and there is none for the word before.
        _unlink(output)
        note_removal(output.directory, now)
    _unlink(output)


def _unlink(output: Output) -> None:
    for path in _files_of(output.directory):
        path.unlink(missing_ok=True)


def _files_of(directory: Path) -> list[Path]:
    return [path for name in OUTPUTS for path in directory.glob(f"*/{name}")]


def _size_of(path: Path) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
