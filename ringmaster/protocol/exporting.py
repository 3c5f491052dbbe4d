"""Methods that give what is here to another system."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.protocol.mutation import Mutation


class TaskExportParams(Mutation, frozen=True, kw_only=True):
    """Write every task into a file that `task.import` takes to the same.

    kind: `beads` as the issues.jsonl of a beads repository; `jsonl` is our own format, with every field. path:
    absolute, on the daemon's machine; a file that is there is replaced when the new one is whole. project_id: of one
    project.
    """

    kind: Literal["beads", "jsonl"]
    path: str
    project_id: str = ""


class TaskExported(msgspec.Struct, frozen=True, kw_only=True):
    """tasks: how many are in the file. notes: a line for each that could not be; more_notes: how many are not shown."""

    path: str
    tasks: int
    notes: tuple[str, ...] = ()
    more_notes: int = 0
