"""Methods that take over what another system has."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.protocol.mutation import Mutation


class TaskImportParams(Mutation, frozen=True, kw_only=True):
    """Take over the tasks of another system, with their ids; those that are there already stay as they are.

    kind: `ringmaster` is the original's SQLite database, `beads` the issues.jsonl of a beads repository, `jsonl` what
    `task.export` writes. path: absolute, on the daemon's machine. project_id: where everything goes that `projects`
    does not name; empty finds each project by its name or repository. projects: projects here by their names there,
    or, of beads, by the prefix of ids; `-` leaves one out. is_dropping_circles: keep the dependency that closes a
    circle, which is refused otherwise, as `related`. is_dry_run: only say what would be taken.
    """

    kind: Literal["ringmaster", "beads", "jsonl"]
    path: str
    project_id: str = ""
    projects: dict[str, str] = msgspec.field(default_factory=dict)
    is_dropping_circles: bool = False
    is_dry_run: bool = False


class TaskImported(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken, or would be.

    new, there_already: tasks. changed_there: those that are there already and that the file has otherwise; they stay.
    states: new tasks by the state they have here. dependencies, decisions, comments: of the new tasks. projects: where
    the tasks of each project there went. notes: a line for each thing that was not taken as it was; more_notes: how
    many are not shown.
    """

    is_dry_run: bool
    new: int
    there_already: int
    states: dict[str, int]
    dependencies: int
    decisions: int
    projects: dict[str, str]
    notes: tuple[str, ...]
    more_notes: int
    changed_there: int = 0
    comments: int = 0
