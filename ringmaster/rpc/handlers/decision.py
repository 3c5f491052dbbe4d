"""Handlers of `decision.*`."""

from __future__ import annotations

from ringmaster.model.decision import Decision
from ringmaster.protocol.decision import (
    DecisionAnswered,
    DecisionAnswerParams,
    DecisionIdParams,
    DecisionList,
    DecisionListParams,
)
from ringmaster.queue.decide import answer_decision
from ringmaster.queue.lookup import resolve_decision, resolve_task
from ringmaster.rpc.scope import own_task, refuse_other_task
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.store import decisions
from ringmaster.store.connection import Connection


async def list_(ctx: Ctx, params: DecisionListParams) -> DecisionList:
    """Questions to a person: open ones by urgency, then the oldest; with those answered, the oldest first."""
    own = own_task(ctx.caller)

    def read(conn: Connection) -> DecisionList:
        if params.task_id or own:
            task_id = resolve_task(conn, params.task_id or own)
            refuse_other_task(ctx.caller, task_id)
            found = decisions.salvaged_of_task(conn, task_id)
            if not params.is_all:
                found = sorted((one for one in found if one.state == "open"), key=decisions.order_of_urgency)
            found = found[: params.limit]
        elif params.is_all:
            found = decisions.salvaged_newest(conn, params.limit)
        else:
            found = decisions.salvaged_open(conn, params.limit)
        return DecisionList(decisions=tuple(found))

    return await ctx.services.store.read(read)


async def show(ctx: Ctx, params: DecisionIdParams) -> Decision:
    """One question with its evidence."""

    def read(conn: Connection) -> Decision:
        decision = decisions.salvaged_by_id(conn, resolve_decision(conn, params.id))
        refuse_other_task(ctx.caller, decision.task_id)
        return decision

    return await ctx.services.store.read(read)


async def answer(ctx: Ctx, params: DecisionAnswerParams) -> DecisionAnswered:
    """A person's answer, and what it does."""

    def store(conn: Connection) -> DecisionAnswered:
        decision, note = answer_decision(
            conn,
            resolve_decision(conn, params.id),
            answer=params.answer,
            message=params.message,
            actor=actor_of(ctx.caller),
        )
        return DecisionAnswered(decision=decision, note=note)

    return await mutate(ctx, "decision.answer", params, DecisionAnswered, store)
