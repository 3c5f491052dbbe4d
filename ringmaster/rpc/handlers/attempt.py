"""Handlers of `attempt.*`."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.attempt import (
    AttemptAskParams,
    AttemptIdParams,
    AttemptList,
    AttemptListParams,
    AttemptReported,
    AttemptReportParams,
    AttemptView,
)
from ringmaster.queue import report as reporting
from ringmaster.queue.lookup import resolve_attempt, resolve_task
from ringmaster.queue.view import attempt_view
from ringmaster.rpc.rights import CallerKind
from ringmaster.rpc.scope import own_task, refuse_other_task
from ringmaster.rpc.services import Ctx, mutate
from ringmaster.store import attempts
from ringmaster.store.connection import Connection


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


async def report(ctx: Ctx, params: AttemptReportParams) -> AttemptReported:
    """What an attempt says of how it went: a signal."""
    _refuse_foreign(ctx, params.attempt_id)

    def store(conn: Connection) -> AttemptReported:
        said = {"status": params.status, "summary": params.summary}
        reporting.add_to_report(conn, params.attempt_id, params.token, {"said": said})
        return AttemptReported(attempt_id=params.attempt_id)

    return await mutate(ctx, "attempt.report", params, AttemptReported, store, is_essential=True)


async def ask(ctx: Ctx, params: AttemptAskParams) -> AttemptReported:
    """An attempt's question to a person."""
    _refuse_foreign(ctx, params.attempt_id)

    def store(conn: Connection) -> AttemptReported:
        decision_id = reporting.ask(
            conn,
            params.attempt_id,
            params.token,
            question=params.question,
            detail=params.detail,
            options=params.options,
            rng=ctx.services.sur.rng,
        )
        return AttemptReported(attempt_id=params.attempt_id, decision_id=decision_id)

    return await mutate(ctx, "attempt.ask", params, AttemptReported, store, is_essential=True)
