"""Handlers of `task.*`."""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec
import trio

from ringmaster.agents.registry import agent_for
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.states import ENDED_TASK_STATES, DecisionState, TaskState
from ringmaster.output.patches import shown_patch
from ringmaster.output.secrets import find_redactor
from ringmaster.protocol.comment import TaskCommentParams
from ringmaster.protocol.exporting import TaskExported, TaskExportParams
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from ringmaster.protocol.task import (
    GuardedMutation,
    TaskAcceptParams,
    TaskAddParams,
    TaskCancelParams,
    TaskChanged,
    TaskDepParams,
    TaskDetail,
    TaskDiff,
    TaskDiffParams,
    TaskEditParams,
    TaskList,
    TaskListParams,
    TaskReadyParams,
    TaskRejectParams,
    TaskRetryParams,
    TaskShowParams,
    TaskView,
    TaskWaited,
    TaskWaitParams,
)
from ringmaster.queue import comments, control, intake
from ringmaster.queue.listing import TEXT_LIMIT, list_part, ready_list
from ringmaster.queue.lookup import resolve_attempt, resolve_task
from ringmaster.queue.view import task_detail, task_view, view_of
from ringmaster.redaction.cleaning import whole_characters
from ringmaster.redaction.lines import LOOK_BACK
from ringmaster.rpc.dispatch import Deferred
from ringmaster.rpc.exporting import write_out
from ringmaster.rpc.handlers.why import look_at_scene
from ringmaster.rpc.importing import take_over
from ringmaster.rpc.parked import look_for_taken
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.scope import own_task, refuse_other_task
from ringmaster.rpc.services import Ctx, actor_of, mutate, mutate_soon
from ringmaster.store import attempts, decisions
from ringmaster.store.connection import Connection
from ringmaster.store.tasks import row_by_id
from ringmaster.workspace.diff import changed_files, diffstat, patch_part
from ringmaster.workspace.git import GitError

DIFF_LIMIT_BYTES = 1_000_000
DIFF_FRAME_BYTES = 3_000_000


def _refuse_unknown_agent(ctx: Ctx, agent: str) -> None:
    """Raises NOT_FOUND naming the agents there are: a task for one that is none would wait for ever."""
    if agent:
        agent_for(agent, ctx.services.settings)


def add(ctx: Ctx, params: TaskAddParams) -> Deferred[TaskChanged]:
    """Store a task."""
    sur = ctx.services.sur
    _refuse_unknown_agent(ctx, params.agent)

    def store(conn: Connection) -> TaskChanged:
        row = intake.store_task(
            conn,
            params,
            actor=actor_of(ctx.caller),
            max_attempts=sur.settings.limits.max_attempts,
            rng=sur.id_rng,
            rules=sur.settings.order.rules,
        )
        return TaskChanged(view=task_view(conn, row, {}), note=intake.seat_note(conn, row.task.agent))

    return mutate_soon(ctx, "task.add", params, TaskChanged, store)


async def change_task(
    ctx: Ctx,
    method: str,
    params: GuardedMutation,
    text: str,
    change: Callable[[Connection, str], str | None],
    *,
    is_essential: bool = False,
) -> TaskChanged:
    """Do something to the task that `text` names, and answer with its row and in words."""

    def store(conn: Connection) -> TaskChanged:
        task_id = resolve_task(conn, text)
        intake.check_guard(row_by_id(conn, task_id).task, params)
        note = change(conn, task_id)
        return TaskChanged(view=view_of(conn, task_id), note=note or "")

    return await mutate(ctx, method, params, TaskChanged, store, is_essential=is_essential)


async def edit(ctx: Ctx, params: TaskEditParams) -> TaskChanged:
    """Change fields."""
    _refuse_unknown_agent(ctx, params.agent or "")

    def change(conn: Connection, task_id: str) -> str:
        rules = ctx.services.settings.order.rules
        intake.edit_task(conn, msgspec.structs.replace(params, id=task_id), actor=actor_of(ctx.caller), rules=rules)
        return intake.seat_note(conn, params.agent or "")

    return await change_task(ctx, "task.edit", params, params.id, change)


async def dep(ctx: Ctx, params: TaskDepParams) -> TaskChanged:
    """Change what it waits for."""

    def change(conn: Connection, task_id: str) -> str:
        return intake.change_dependencies(conn, task_id, params, actor=actor_of(ctx.caller))

    return await change_task(ctx, "task.dep", params, params.id, change)


async def cancel(ctx: Ctx, params: TaskCancelParams) -> TaskChanged:
    """Cancel, or ask for the live attempt to be ended."""
    change = functools.partial(
        control.cancel_with_words,
        message=params.message,
        actor=actor_of(ctx.caller),
        rng=ctx.services.sur.rng,
        dependents=params.dependents,
    )
    return await change_task(ctx, "task.cancel", params, params.id, change, is_essential=True)


async def retry(ctx: Ctx, params: TaskRetryParams) -> TaskChanged:
    """Put on the queue now."""
    change = functools.partial(
        control.retry_with_words, message=params.message, actor=actor_of(ctx.caller), rng=ctx.services.sur.rng
    )
    return await change_task(ctx, "task.retry", params, params.id, change)


async def accept(ctx: Ctx, params: TaskAcceptParams) -> TaskChanged:
    """Let the waiting attempt go on."""
    change = functools.partial(control.accept_task, message=params.message, actor=actor_of(ctx.caller))
    return await change_task(ctx, "task.accept", params, params.id, change)


async def reject(ctx: Ctx, params: TaskRejectParams) -> TaskChanged:
    """End the waiting attempt."""
    change = functools.partial(control.reject_task, message=params.message, actor=actor_of(ctx.caller))
    return await change_task(ctx, "task.reject", params, params.id, change)


async def import_(ctx: Ctx, params: TaskImportParams) -> TaskImported:
    """Take over another system's tasks."""
    return await take_over(ctx, params)


async def export(ctx: Ctx, params: TaskExportParams) -> TaskExported:
    """Give every task to another system."""
    return await write_out(ctx, params)


def comment(ctx: Ctx, params: TaskCommentParams) -> Deferred[TaskChanged]:
    """Keep what was said about a task."""

    def store(conn: Connection) -> TaskChanged:
        task_id = resolve_task(conn, params.id)
        comments.add_comment(conn, task_id, params.text, actor=actor_of(ctx.caller))
        return TaskChanged(view=view_of(conn, task_id), note="commented")

    return mutate_soon(ctx, "task.comment", params, TaskChanged, store)


async def list_(ctx: Ctx, params: TaskListParams) -> TaskList:
    """A page of tasks. What is said to be parked was looked for in the user's branch before."""
    own = own_task(ctx.caller)
    if own:
        return TaskList(tasks=(await ctx.services.store.read(view_of, own),))
    page = await _gather(ctx, params)
    parked = [view.task.project_id for view in page.tasks if view.is_parked]
    if parked:
        await look_for_taken(ctx.services.sur, parked)
        page = await _gather(ctx, params)
    return page


async def _gather(ctx: Ctx, params: TaskListParams) -> TaskList:
    """The page as it is stored, in looks of a bounded size."""
    views: list[TaskView] = []
    cursor: int | None = params.cursor
    text = 0
    while cursor is not None and len(views) < params.limit and text < TEXT_LIMIT:
        part = await ctx.services.store.read(list_part, params, cursor, params.limit - len(views))
        cursor = part.next_cursor
        text += sum(len(view.task.description) for view in part.views)
        views.extend(part.views)
    return TaskList(tasks=tuple(views), next_cursor=cursor)


async def ready(ctx: Ctx, params: TaskReadyParams) -> TaskList:
    """What the next free seats would get."""
    if own_task(ctx.caller):
        return TaskList(tasks=())
    return TaskList(tasks=await ctx.services.store.read(ready_list, params.project_id, params.limit))


def _own_or_named(conn: Connection, caller: Caller, text: str) -> str:
    task_id = resolve_task(conn, text)
    refuse_other_task(caller, task_id)
    return task_id


async def show(ctx: Ctx, params: TaskShowParams) -> TaskDetail:
    """All about one task."""
    scene = look_at_scene(ctx.services)

    def read(conn: Connection) -> TaskDetail:
        task_id = _own_or_named(conn, ctx.caller, params.id)
        return task_detail(conn, task_id, ctx.services.paths, scene, params.limit)

    detail = await ctx.services.store.read(read)
    if detail.view.is_parked:
        await look_for_taken(ctx.services.sur, [detail.view.task.project_id])
        return await ctx.services.store.read(read)
    return detail


def _find_work(conn: Connection, caller: Caller, text: str) -> Attempt:
    """The attempt that is named, or the newest of a task that left work. Raises WRONG_STATE when there is no work."""
    if "/" in text:
        attempt = attempts.salvaged_by_id(conn, resolve_attempt(conn, text))
        refuse_other_task(caller, attempt.task_id)
        if attempt.base_commit and attempt.head_commit:
            return attempt
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"attempt {attempt.id} has left no work", f"rmctl attempt list {attempt.task_id}"
        )
    task_id = _own_or_named(conn, caller, text)
    for attempt in reversed(attempts.salvaged_of_task(conn, task_id)):
        if attempt.base_commit and attempt.head_commit:
            return attempt
    raise RingmasterError(
        ErrorKind.WRONG_STATE, f"no attempt of {task_id} has left work yet", f"rmctl task show {task_id}"
    )


async def diff(ctx: Ctx, params: TaskDiffParams) -> TaskDiff:
    """What an attempt changed, from the daemon's own repository, redacted by what that attempt was handed.

    A later part costs git the ones before it too.
    """
    attempt = await ctx.services.store.read(_find_work, ctx.caller, params.id)
    bare = ctx.services.paths.repository(attempt.project_id)
    base, head = attempt.base_commit, attempt.head_commit
    ahead = min(params.offset, LOOK_BACK)
    try:
        files = await changed_files(bare, base, head)
        # One more than is shown tells whether there is more.
        patch = await patch_part(bare, base, head, offset=params.offset - ahead, max_bytes=ahead + DIFF_LIMIT_BYTES + 1)
    except GitError as error:
        raise RingmasterError(
            ErrorKind.NOT_FOUND,
            f"the work of {attempt.id} is not kept any more: {error.message}",
            f"rmctl attempt show {attempt.id}",
        ) from error
    before, patch = patch[:ahead], patch[ahead:]
    text, size = _fit_for_frame(patch)
    is_truncated = size < len(patch)
    lines = [f"{file.status} {file.path} {_counts(file.added, file.deleted)}" for file in files]
    stat = "\n".join([*lines, diffstat(files)]) + "\n"

    def redact() -> tuple[str, str]:
        redactor = find_redactor(ctx.services.paths.attempt(attempt.id))
        return redactor.redact(stat), shown_patch(redactor, text, before)

    stat, text = await trio.to_thread.run_sync(redact)
    return TaskDiff(
        id=attempt.task_id,
        attempt_id=attempt.id,
        base=base,
        head=head,
        stat=stat,
        diff=text,
        is_truncated=is_truncated,
        next_offset=params.offset + size if is_truncated else None,
    )


def _fit_for_frame(patch: bytes) -> tuple[str, int]:
    """As much of a patch as one answer holds, and its size in bytes. Bytes that are no text are shown as `\\xNN`.

    It ends with a line where it can: half a key would not be known as one.
    """
    size = len(patch)
    if size > DIFF_LIMIT_BYTES:
        size = patch.rfind(b"\n", 0, DIFF_LIMIT_BYTES) + 1 or whole_characters(patch[:DIFF_LIMIT_BYTES])
    text = patch[:size].decode("utf-8", "backslashreplace")
    # Of control characters and bytes that are no text JSON makes several times their size.
    while len(msgspec.json.encode(text)) > DIFF_FRAME_BYTES:
        size = patch.rfind(b"\n", 0, size // 2) + 1 or whole_characters(patch[: size // 2]) or size // 2
        text = patch[:size].decode("utf-8", "backslashreplace")
    return text, size


def _counts(added: int | None, deleted: int | None) -> str:
    return "binary" if added is None or deleted is None else f"+{added} -{deleted}"


def _standing(conn: Connection, task_id: str) -> TaskWaited:
    """Whether there is nothing to wait for: the task has ended, or nothing goes on without a person."""
    view = view_of(conn, task_id)
    asked = [d for d in decisions.salvaged_of_task(conn, task_id) if d.state is DecisionState.OPEN]
    needs = asked[0].id if asked else ""
    if view.task.state in ENDED_TASK_STATES:
        return TaskWaited(view=view, is_over=True, needs=needs)
    needs = needs or decisions.decision_that_holds(conn, view.task.project_id)
    # What a running attempt has asked is for later, and so is a project's pause: it still works.
    is_stuck = bool(needs) and view.task.state in (TaskState.OPEN, TaskState.VALIDATING)
    return TaskWaited(view=view, is_over=is_stuck, needs=needs if is_stuck else "")


async def wait(ctx: Ctx, params: TaskWaitParams) -> TaskWaited:
    """Answer when the task has ended or needs a person, or when the time is over. Woken by events alone."""
    store, bus = ctx.services.store, ctx.services.bus
    task_id = await store.read(_own_or_named, ctx.caller, params.id)

    def is_about(event: Event) -> bool:
        # What is about no task may be its project's pause.
        return event.task_id in (task_id, "")

    # Listening begins before looking, so that nothing can happen unheard in between.
    with bus.open_subscription(is_about, capacity=64) as events:
        waited = await store.read(_standing, task_id)
        with trio.move_on_after(params.timeout_s if params.timeout_s is not None else float("inf")):
            while not waited.is_over:
                await events.receive_batch()
                waited = await store.read(_standing, task_id)
    return waited
