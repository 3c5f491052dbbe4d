"""Methods about tasks."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ringmaster.model.comment import Comment
from ringmaster.model.decision import Decision
from ringmaster.model.dependency import OTHERS, DependencyKind
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, Task, TaskType
from ringmaster.protocol.attempt import AttemptView
from ringmaster.protocol.mutation import Mutation

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Text = Annotated[str, msgspec.Meta(max_length=1_000_000)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=32_503_680_000)]
"""Unix seconds up to the year 3000."""
Priority = Annotated[int, msgspec.Meta(ge=0, le=4)]
Words = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=10_000)], ...], msgspec.Meta(max_length=200)]


class DependencyWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a task is to have to do with another. mode: of `waits-for`, `all` or `any` children; '' is `all`."""

    id: str
    kind: DependencyKind = DependencyKind.BLOCKS
    mode: Literal["", "all", "any"] = ""


class GuardedMutation(Mutation, frozen=True, kw_only=True):
    """A change of a task that is refused (`conflict`) unless its row is as the caller believes.

    if_state: one of these stored states; empty for any. if_version: exactly this `version`; None for any.
    """

    if_state: tuple[TaskState, ...] = ()
    if_version: int | None = None


class TaskAddParams(Mutation, frozen=True, kw_only=True):
    """project_id: empty takes the only project there is. after: ids of the tasks it waits for (`blocks`).

    depends: what it has to do with others besides. parent_id: makes it a child of that task, with an id below its.
    deadline_at: when it should be done. is_held: not given out before it is released.

    is_draft: not given out before `task.edit` opens it. is_diff_needed: False for a task that may end
    without a change (a question, a report); None asks its type. max_attempts: 0 takes the setting.
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
    is_diff_needed: bool | None = None
    not_before_at: Moment | None = None
    type: TaskType = TaskType.TASK
    parent_id: str = ""
    depends: Annotated[tuple[DependencyWish, ...], msgspec.Meta(max_length=200)] = ()
    deadline_at: Moment | None = None
    is_held: bool = False


class TaskEditParams(GuardedMutation, frozen=True, kw_only=True):
    """Fields left None stay. `is_draft=False` opens a draft. deadline_at: 0 takes it away.

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
    type: TaskType | None = None
    deadline_at: Moment | None = None


class TaskDepParams(GuardedMutation, frozen=True, kw_only=True):
    """Make `id` depend on each of `add`, and no longer on each of `remove`, in one way. A circle is refused and named.

    mode: of `waits-for`, `all` or `any` children; '' is `all`.
    """

    id: str
    add: Words = ()
    remove: Words = ()
    kind: DependencyKind = DependencyKind.BLOCKS
    mode: Literal["", "all", "any"] = ""


class TaskIdParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a task's id or a unique prefix of it."""

    id: str


class TaskShowParams(TaskIdParams, frozen=True, kw_only=True):
    """id: a task's id or a unique prefix. limit: of the other tasks in each list; the answer counts the rest."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = OTHERS


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


class TaskCancelParams(GuardedMutation, frozen=True, kw_only=True):
    """Cancel an open task, or ask for a live attempt to be ended; `landing` is too late.

    dependents: those that wait for it go on waiting, wait no longer (its children do), or are cancelled with it; for a
    live attempt this is done once it has ended.
    """

    id: str
    message: Text = ""
    dependents: Literal["keep", "free", "cancel"] = "keep"


class TaskRetryParams(GuardedMutation, frozen=True, kw_only=True):
    """Put a failed, cancelled or scheduled task on the queue now, with its attempts uncounted."""

    id: str
    message: Text = ""


class TaskAcceptParams(GuardedMutation, frozen=True, kw_only=True):
    """Let a waiting attempt go on to the lane."""

    id: str
    message: Text = ""


class TaskRejectParams(GuardedMutation, frozen=True, kw_only=True):
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
    """Something in the way: a task, a decision not answered, a hold, in words. how: a task's kind of dependency."""

    kind: str
    id: str
    state: str
    words: str
    how: str = ""


class DependencyView(msgspec.Struct, frozen=True, kw_only=True):
    """Another task that this one has to do with. words: how, as `runs only if rm-abc12 fails`.

    is_open: it is in the way now. state: the other's stored state.
    """

    id: str
    kind: str
    mode: str
    state: str
    title: str
    is_open: bool
    words: str


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """A gate run, for people. job: its directory below the state directory; `logs.read` takes its last part.

    failed: the names of tests that failed, as its JUnit report has them, at most some hundred.
    """

    commit: str
    result: str
    gate: str
    tests: str
    is_flaky: bool
    wall_s: float
    job: str
    attempt_id: str = ""
    started_at: float | None = None
    failed: tuple[str, ...] = ()


class ImportedView(msgspec.Struct, frozen=True, kw_only=True):
    """What the system that a task came from knew of it besides. source: which. fields: the short ones."""

    source: str
    fields: dict[str, str]


class TaskDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All about one task. next_step: what happens next or what a person must do, in words, with the command.

    depends: every other task it has to do with, in the way or not; its parent comes first. dependents: who waits or
    waited for it, its children aside, of which the task's row has the counts. left_out: how many more there are of each
    of these lists, and of `blockers`, by the name of the list.
    """

    view: TaskView
    blockers: tuple[BlockerView, ...]
    dependents: tuple[str, ...]
    attempts: tuple[AttemptView, ...]
    decisions: tuple[Decision, ...]
    receipts: tuple[ReceiptView, ...]
    next_step: str
    comments: tuple[Comment, ...] = ()
    imported: ImportedView | None = None
    depends: tuple[DependencyView, ...] = ()
    left_out: dict[str, int] = {}


class TaskChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The row after the change. note: what else it did, in words."""

    view: TaskView
    note: str = ""


class TaskDiffParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a task, for the newest attempt that left work, or TASK/NUMBER for one. offset: bytes to pass over."""

    id: str
    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0


class TaskDiff(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt's work against its base, as `git diff` prints it, a part of some million bytes.

    stat: every file with its counts, whichever part this is. is_truncated: there is more, from `next_offset` on.
    Parts begin and end anywhere but within a character.
    """

    id: str
    attempt_id: str
    base: str
    head: str
    stat: str
    diff: str
    is_truncated: bool
    next_offset: int | None = None


class TaskWaited(msgspec.Struct, frozen=True, kw_only=True):
    """is_over: False when the time ran out. needs: the open decision, if a person is needed."""

    view: TaskView
    is_over: bool
    needs: str = ""
