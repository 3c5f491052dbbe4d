"""Methods about tasks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.task import Limits, Task
from ringmaster.protocol.attempt import AttemptView
from ringmaster.protocol.mutation import Mutation

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Text = Annotated[str, msgspec.Meta(max_length=1_000_000)]
Priority = Annotated[int, msgspec.Meta(ge=0, le=4)]
Words = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=10_000)], ...], msgspec.Meta(max_length=200)]


class TaskAddParams(Mutation, frozen=True, kw_only=True):
    """project_id: empty takes the only project there is. after: ids of the tasks it waits for (`blocks`).

    is_draft: not given out before `task.edit` opens it. is_diff_needed: False for a task that may end
    without a change (a question, a report). max_attempts: 0 takes the setting.
    """

    title: Title
    project_id: str = ""
    description: Text = ""
    priority: Priority = 2
    labels: Words = ()
    acceptance: Words = ()
    after: Words = ()
    capabilities: Words = ()
    agent: str = ""
    model: str = ""
    limits: Limits = Limits()
    max_attempts: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    is_draft: bool = False
    is_diff_needed: bool = True
    not_before_at: float | None = None


class TaskEditParams(Mutation, frozen=True, kw_only=True):
    """Fields left None stay. `is_draft=False` opens a draft.

    Only `draft`, `open` and `failed` tasks can be edited.
    """

    id: str
    title: Title | None = None
    description: Text | None = None
    priority: Priority | None = None
    labels: Words | None = None
    acceptance: Words | None = None
    capabilities: Words | None = None
    agent: str | None = None
    model: str | None = None
    limits: Limits | None = None
    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    is_draft: bool | None = None
    is_diff_needed: bool | None = None


class TaskDepParams(Mutation, frozen=True, kw_only=True):
    """Make `id` wait for each of `add`, and no longer for each of `remove`. A cycle is refused and named."""

    id: str
    add: Words = ()
    remove: Words = ()


class TaskIdParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a task's id or a unique prefix of it."""

    id: str


class TaskListParams(msgspec.Struct, frozen=True, kw_only=True):
    """state: stored or derived states; empty for all that have not ended, or with `is_all` for those too.

    Tasks that have not ended come in the order of work, others in order of arrival. cursor: from `next_cursor`.
    """

    project_id: str = ""
    state: tuple[str, ...] = ()
    label: str = ""
    is_all: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    cursor: int = 0


class TaskReadyParams(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that the next free seats would get, in that order."""

    project_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50


class TaskCancelParams(Mutation, frozen=True, kw_only=True):
    """Cancel an open task, or ask for a live attempt to be ended; `landing` is too late."""

    id: str
    message: Text = ""


class TaskRetryParams(Mutation, frozen=True, kw_only=True):
    """Put a failed, cancelled or scheduled task on the queue now, with its attempts uncounted."""

    id: str
    message: Text = ""


class TaskAcceptParams(Mutation, frozen=True, kw_only=True):
    """Let a waiting attempt go on to the lane."""

    id: str
    message: Text = ""


class TaskRejectParams(Mutation, frozen=True, kw_only=True):
    """End a waiting attempt; the words go into the next prompt."""

    id: str
    message: Text


class TaskWaitParams(msgspec.Struct, frozen=True, kw_only=True):
    """Answer when the task has ended (done, failed, cancelled) or needs a person, or when `timeout_s` is over."""

    id: str
    timeout_s: float | None = None


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task as a person sees it. shown: the derived state, or `poisoned` for a row that cannot be read whole.

    seq: its place in order of arrival. is_parked: it has landed, and waits for the user's checkout. is_asking: a
    person is asked about it, whatever it does meanwhile.
    """

    task: Task
    shown: str
    seq: int
    is_parked: bool = False
    is_asking: bool = False


class TaskList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tasks; `next_cursor` is None on the last one. A page can be empty and not the last."""

    tasks: tuple[TaskView, ...]
    next_cursor: int | None = None


class BlockerView(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the way: a task that is not done or a decision not answered, in words."""

    kind: str
    id: str
    state: str
    words: str


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """A gate run, for people."""

    commit: str
    result: str
    gate: str
    tests: str
    is_flaky: bool
    wall_s: float
    job: str


class TaskDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All about one task. next_step: what happens next or what a person must do, in words, with the command."""

    view: TaskView
    blockers: tuple[BlockerView, ...]
    dependents: tuple[str, ...]
    attempts: tuple[AttemptView, ...]
    decisions: tuple[Decision, ...]
    receipts: tuple[ReceiptView, ...]
    next_step: str


class TaskChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The row after the change. note: what else it did, in words."""

    view: TaskView
    note: str = ""


class TaskDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The newest attempt's work against its base, as `git diff` prints it."""

    id: str
    attempt_id: str
    base: str
    head: str
    stat: str
    diff: str
    is_truncated: bool


class TaskWaited(msgspec.Struct, frozen=True, kw_only=True):
    """is_over: False when the time ran out. needs: the open decision, if a person is needed."""

    view: TaskView
    is_over: bool
    needs: str = ""
