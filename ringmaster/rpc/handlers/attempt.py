"""Handlers of `attempt.*`."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from ringmaster.model.asking import make_advice
from ringmaster.model.ending import DEFAULT_LEASE_S
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import make_token
from ringmaster.output.secrets import find_redactor
from ringmaster.proc.job import LOCK_FD, PYTHON, SHIM
from ringmaster.protocol.attempt import (
    AttemptAskParams,
    AttemptHeartbeat,
    AttemptHeartbeatParams,
    AttemptIdParams,
    AttemptList,
    AttemptListParams,
    AttemptPrompt,
    AttemptPromptSent,
    AttemptPulled,
    AttemptPullParams,
    AttemptReported,
    AttemptReportParams,
    AttemptTokenParams,
    AttemptView,
)
from ringmaster.queue import lease
from ringmaster.queue import report as reporting
from ringmaster.queue.claim import Claim
from ringmaster.queue.limits import bounds_of
from ringmaster.queue.lookup import resolve_attempt, resolve_task
from ringmaster.queue.obstacles import of_house
from ringmaster.queue.view import attempt_view
from ringmaster.redaction.cleaning import clean, decode
from ringmaster.rpc.rights import CallerKind
from ringmaster.rpc.scope import own_task, refuse_other_task
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.settings import Paths
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.store.disk import make_disk_full_error
from ringmaster.workers.room import SHORT, is_room_left, look_at_house, refuse_without_means
from ringmaster.workers.surroundings import Surroundings

PROMPT_BYTES = 16 * 1024 * 1024
SHOWN_BYTES = 500_000
LOOK_BEYOND = 16_384
READY_EVENTS = ("attempt.leased", "attempt.ended")
NOTHING = AttemptPulled(task="", attempt="", token="", workspace="", branch="", lease_s=0.0, worker="")


async def list_(ctx: Ctx, params: AttemptListParams) -> AttemptList:
    """Attempts, newest first."""
    own = own_task(ctx.caller)

    def read(conn: Connection) -> AttemptList:
        if params.task_id or own:
            task_id = resolve_task(conn, params.task_id or own)
            refuse_other_task(ctx.caller, task_id)
            found = attempts.salvaged_of_task(conn, task_id)[::-1]
        elif params.is_live:
            found = attempts.salvaged_live(conn)[::-1]
        else:
            found = attempts.salvaged_newest(conn, params.limit)
        if params.is_live:
            found = [attempt for attempt in found if attempt.outcome is None]
        return AttemptList(
            attempts=tuple(attempt_view(attempt, ctx.services.paths) for attempt in found[: params.limit])
        )

    return await ctx.services.store.read(read)


async def show(ctx: Ctx, params: AttemptIdParams) -> AttemptView:
    """One attempt."""

    def read(conn: Connection) -> AttemptView:
        attempt = attempts.salvaged_by_id(conn, resolve_attempt(conn, params.id))
        refuse_other_task(ctx.caller, attempt.task_id)
        return attempt_view(attempt, ctx.services.paths)

    return await ctx.services.store.read(read)


def _refuse_foreign(ctx: Ctx, attempt_id: str) -> None:
    """An attempt speaks for itself alone, whatever token it holds. Raises PERMISSION."""
    if ctx.caller.kind is CallerKind.ATTEMPT and ctx.caller.attempt_id != attempt_id:
        raise RingmasterError(
            ErrorKind.PERMISSION,
            f"attempt {ctx.caller.attempt_id} may not speak for {attempt_id[:80]}",
            "report on yourself: RM_ATTEMPT and RM_TOKEN name you",
        )


async def pull(ctx: Ctx, params: AttemptPullParams) -> AttemptPulled:
    """Give out the next task to be worked on by hand; answered when its workspace is ready."""
    services = ctx.services
    sur = services.sur
    token = make_token(sur.rng)

    def store(conn: Connection) -> AttemptPulled:
        # In here, where a pull that is repeated does not come: what was given out before is named all the same.
        _refuse_while_held(sur, is_ending=services.health().state == "stopping")
        claim = lease.pull(
            conn,
            params.worker,
            token,
            lease_s=params.lease_s or DEFAULT_LEASE_S,
            is_run=params.is_run,
            max_running=services.settings.daemon.max_running,
            bounds=bounds_of(services.settings),
            actor=actor_of(ctx.caller),
            rng=sur.rng,
        )
        return _pulled(claim, services.paths, is_run=params.is_run) if claim is not None else NOTHING

    with services.bus.open_subscription(lambda event: event.type in READY_EVENTS) as events:
        answer = await mutate(ctx, "attempt.pull", params, AttemptPulled, store)
        if not answer.attempt:
            raise RingmasterError(
                ErrorKind.NOTHING_TO_CLAIM, "there is no task to pull now", "rmctl pull --wait; rmctl task list"
            )
        # The token of a pull that is repeated is another.
        if sur.starts_left is not None and answer.token == token:
            sur.starts_left -= 1
        while not await services.store.read(_is_ready, answer.attempt):
            await events.receive_batch()
    return answer


def _refuse_while_held(sur: Surroundings, *, is_ending: bool) -> None:
    """Raises REFUSED, or DISK_FULL where nothing can be written, for whatever keeps the dispatcher from giving out."""
    for found in of_house(look_at_house(sur, is_ending=is_ending)):
        if found.kind not in SHORT:
            raise RingmasterError(ErrorKind.REFUSED, found.words, found.command)
    if not is_room_left(sur.paths):
        raise make_disk_full_error()
    refuse_without_means(sur)


def _pulled(claim: Claim, paths: Paths, *, is_run: bool) -> AttemptPulled:
    attempt = claim.attempt
    job = paths.attempt(attempt.id) / "agent"
    return AttemptPulled(
        task=attempt.task_id,
        attempt=attempt.id,
        token=attempt.token,
        workspace=str(lease.workspace_of(attempt, paths)),
        branch=lease.branch_of(attempt),
        lease_s=attempt.lease_s,
        worker=attempt.worker_id,
        title=claim.task.title,
        job=str(job) if is_run else "",
        shim=(PYTHON, "-I", "-S", str(SHIM), str(job), str(LOCK_FD)) if is_run else (),
    )


def _is_ready(conn: Connection, attempt_id: str) -> bool:
    """Whether its lease has begun. Raises REFUSED when it ended before that."""
    attempt = attempts.attempt_by_id(conn, attempt_id)
    if attempt.lease_left_s is not None or "said" in attempt.report:
        return True
    if attempt.outcome is not None:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"attempt {attempt.id} could not be made ready and ended as {attempt.outcome}: {attempt.reason}",
            f"rmctl task show {attempt.task_id}",
        )
    return False


def _read_prompt(file: Path, limit: int = PROMPT_BYTES) -> bytes:
    # At once, whatever somebody has put in its place: a thread that waits at a pipe would keep the daemon from ending.
    with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
        return opened.read(limit) or b""


def _make_no_prompt_error(attempt_id: str) -> RingmasterError:
    return RingmasterError(
        ErrorKind.WRONG_STATE, f"attempt {attempt_id} has no prompt yet", f"rmctl attempt show {attempt_id}"
    )


def _read_shown(directory: Path) -> tuple[str, bool]:
    """The prompt in an attempt's directory as a person may see it, and whether there is more of it."""
    data = _read_prompt(directory / "prompt.md", SHOWN_BYTES + 1)
    # A key that the end cuts in two would not be known as one: it is looked for with what follows.
    text = find_redactor(directory).redact(clean(decode(data)))
    if len(data) <= SHOWN_BYTES:
        return text, False
    return text[: text.rfind("\n") + 1] or text[:-LOOK_BEYOND], True


async def prompt_sent(ctx: Ctx, params: AttemptIdParams) -> AttemptPromptSent:
    """What an attempt was told, for whoever may see the attempt. A thread reads it and is waited for."""

    def read(conn: Connection) -> str:
        attempt = attempts.salvaged_by_id(conn, resolve_attempt(conn, params.id))
        refuse_other_task(ctx.caller, attempt.task_id)
        return attempt.id

    attempt_id = await ctx.services.store.read(read)
    directory = ctx.services.paths.attempt(attempt_id)
    try:
        text, is_truncated = await trio.to_thread.run_sync(_read_shown, directory)
    except OSError:
        raise _make_no_prompt_error(attempt_id) from None
    file = str(directory / "prompt.md")
    return AttemptPromptSent(attempt_id=attempt_id, prompt=text, file=file, is_truncated=is_truncated)


async def prompt(ctx: Ctx, params: AttemptTokenParams) -> AttemptPrompt:
    """The prompt of an attempt, for whoever has its token."""
    _refuse_foreign(ctx, params.attempt_id)
    paths = ctx.services.paths
    attempt = await ctx.services.store.read(lease.check_holder, params.attempt_id, params.token, paths)
    file = paths.attempt(attempt.id) / "prompt.md"
    try:
        text = await trio.to_thread.run_sync(_read_prompt, file)
    except OSError:
        raise _make_no_prompt_error(attempt.id) from None
    return AttemptPrompt(attempt_id=attempt.id, prompt=text.decode("utf-8", "replace"), file=str(file))


async def heartbeat(ctx: Ctx, params: AttemptHeartbeatParams) -> AttemptHeartbeat:
    """Whoever pulled it lives: its lease begins anew."""
    _refuse_foreign(ctx, params.attempt_id)
    leases = ctx.services.sur.leases
    # Put off before the write is queued: what lets the lease run out is then behind it, see docs/pulling.md.
    leases.renew(params.attempt_id, params.token, trio.current_time())

    def store(conn: Connection) -> AttemptHeartbeat:
        attempt = lease.heartbeat(conn, params.attempt_id, params.token, ctx.services.paths)
        return AttemptHeartbeat(attempt_id=attempt.id, lease_s=attempt.lease_s)

    answer = await mutate(ctx, "attempt.heartbeat", params, AttemptHeartbeat, store, is_essential=True)
    leases.changed(params.attempt_id)
    return answer


async def report(ctx: Ctx, params: AttemptReportParams) -> AttemptReported:
    """What an attempt says of how it went: a signal, or of work by hand the last word."""
    _refuse_foreign(ctx, params.attempt_id)
    paths = ctx.services.paths
    await _refuse_without_workspace(ctx, params)
    redactor = await trio.to_thread.run_sync(find_redactor, paths.attempt(params.attempt_id))

    def store(conn: Connection) -> AttemptReported:
        said = {"status": params.status, "summary": redactor.shown(params.summary)}
        row = attempts.attempt_by_id(conn, params.attempt_id)
        if lease.is_final(row, params.status):
            lease.hand_in(conn, row.id, params.token, said, paths)
            return AttemptReported(attempt_id=row.id, is_final=True)
        lease.check_holder(conn, row.id, params.token, paths)
        if params.status == "interrupted":
            raise RingmasterError(
                ErrorKind.USAGE,
                f"attempt {row.id} was not pulled, so it cannot be handed back",
                "end it with status failed or needs_decision",
            )
        reporting.add_to_report(conn, row.id, params.token, {"said": said})
        return AttemptReported(attempt_id=row.id)

    return await mutate(ctx, "attempt.report", params, AttemptReported, store, is_essential=True)


async def _refuse_without_workspace(ctx: Ctx, params: AttemptReportParams) -> None:
    """Take no claim of work that cannot be collected: whoever moved the workspace away still can put it back."""
    row = await ctx.services.store.read(attempts.attempt_by_id, params.attempt_id)
    is_claim = params.status in ("succeeded", "needs_decision") and lease.is_final(row, params.status)
    if not is_claim or lease.standing_of(row) != "held" or not attempts.is_token(row, params.token):
        return
    place = lease.workspace_of(row, ctx.services.paths)
    # A link in its place is none: nothing is collected through one.
    if not await trio.to_thread.run_sync(lambda: place.is_dir() and not place.is_symlink()):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"the workspace is not at {place}, so its work cannot be handed in; nothing was changed",
            "move it back there and report again; without it: rmctl report --outcome interrupted",
        )


async def ask(ctx: Ctx, params: AttemptAskParams) -> AttemptReported:
    """An attempt's question to a person."""
    _refuse_foreign(ctx, params.attempt_id)
    redactor = await trio.to_thread.run_sync(find_redactor, ctx.services.paths.attempt(params.attempt_id))
    options = tuple(redactor.shown(option) for option in params.options)

    def store(conn: Connection) -> AttemptReported:
        lease.check_holder(conn, params.attempt_id, params.token, ctx.services.paths)
        decision_id = reporting.ask(
            conn,
            params.attempt_id,
            params.token,
            question=redactor.shown(params.question),
            detail=redactor.shown(params.detail),
            options=options,
            advice=make_advice(
                options=options,
                recommendation=redactor.shown(params.recommendation),
                urgency=params.urgency,
                default_answer=redactor.shown(params.default_answer),
                default_after_s=params.default_after_s,
                now=conn.now,
            ),
            rng=ctx.services.sur.rng,
        )
        return AttemptReported(attempt_id=params.attempt_id, decision_id=decision_id)

    return await mutate(ctx, "attempt.ask", params, AttemptReported, store, is_essential=True)
