"""Methods by which a person keeps tasks back, ends and opens them, and takes such a change back."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ringmaster.protocol.mutation import Mutation
from ringmaster.protocol.task import GuardedMutation, Moment, TaskView, Text


class TaskHoldParams(GuardedMutation, frozen=True, kw_only=True):
    """Keep a task from being given out until it is released. An attempt under way goes on. message: why."""

    id: str
    message: Text = ""


class TaskReleaseParams(GuardedMutation, frozen=True, kw_only=True):
    """Give a held task out again; a draft is opened."""

    id: str


class TaskDeferParams(GuardedMutation, frozen=True, kw_only=True):
    """Give an open task out not before a time, unix seconds."""

    id: str
    until_at: Moment


class TaskReopenParams(GuardedMutation, frozen=True, kw_only=True):
    """Take up again a task that is done, failed or cancelled. message: why."""

    id: str
    message: Text = ""


class TaskCloseParams(GuardedMutation, frozen=True, kw_only=True):
    """Call a task done that no agent works on. message: why.

    children: of an epic, what becomes of those that have not ended; '' refuses while there are any.
    """

    id: str
    message: Text = ""
    children: Literal["", "keep", "cancel"] = ""


class TaskUndoParams(Mutation, frozen=True, kw_only=True):
    """Take back a person's edit, cancel, dependency, hold, defer, close or reopen.

    target: the number of its event; a task, for the newest change of it; '' for the newest of all. An undo can be
    undone by naming its own event.
    """

    target: Annotated[str, msgspec.Meta(max_length=300)] = ""


class TaskUndone(msgspec.Struct, frozen=True, kw_only=True):
    """seq: the event that was taken back; by_seq: the one that did. others: tasks that came back with this one."""

    view: TaskView
    seq: int
    by_seq: int
    note: str
    others: tuple[str, ...] = ()


class TaskHistoryParams(msgspec.Struct, frozen=True, kw_only=True):
    """What has happened to a task, the oldest first. limit: the newest so many."""

    id: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 500


class HistoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """One event in words. can_undo: `undo` may take it back, unless something has changed since."""

    seq: int
    at: float
    type: str
    actor: str
    words: str
    can_undo: bool = False
    undone_by: int | None = None


class TaskHistory(msgspec.Struct, frozen=True, kw_only=True):
    """id: the task's. is_whole: nothing older was left out."""

    id: str
    lines: tuple[HistoryLine, ...]
    is_whole: bool
