"""What attempts cost, and what the limits of who pays for them hold back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.budget import is_cost
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.cost import AgentCost, CostList, CostListParams, DayCost, ModelCost, TaskCost
from ringmaster.queue.lookup import resolve_project
from ringmaster.store import accounts, attempts, projects, spending
from ringmaster.store.connection import Connection, Row, Value

QUARTER_S = 900
T = TypeVar("T", bound=msgspec.Struct)
Sums = tuple[int, float, int, int]
"""Attempts, dollars, tokens in, tokens out: the last four of every row here."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of an agent came to.

    cost_usd, tokens_in, tokens_out: of this attempt alone.
    is_told: the agent told all of its cost; otherwise what it came to is not known.
    pause_until_at: nothing is started on its account before then, because of `pause_reason`; None: no pause.
    """

    session_id: str = ""
    model: str = ""
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    is_told: bool = True
    pause_until_at: float | None = None
    pause_reason: str = ""


def begin_agent(
    conn: Connection, attempt: Attempt, *, session_id: str, model: str, account_id: str, agent: str, label: str
) -> Attempt:
    """Note the conversation and who pays, before the agent starts. account_id: '' for nobody. Raises LEASE_LOST."""
    attempts.check_token(conn, attempt.id, attempt.token)
    if account_id:
        accounts.note_account(conn, id=account_id, agent=agent, label=label)
    spending.begin(conn, attempt.id)
    attempts.begin_agent(conn, attempt, session_id=session_id, account=account_id, model=model)
    return attempts.attempt_by_id(conn, attempt.id)


def note_costs(conn: Connection, attempt_id: str, token: str, costs: Costs) -> None:
    """Note what the attempt cost, and pause its account if it must rest. Raises LEASE_LOST, USAGE for no number."""
    refuse_odd_cost(costs.cost_usd)
    attempt = attempts.check_token(conn, attempt_id, token)
    if costs.is_told:
        spending.tell(conn, attempt_id, costs.cost_usd)
    attempts.set_spent(
        conn,
        attempt,
        session_id=costs.session_id or attempt.session_id,
        model=costs.model or attempt.model,
        cost_usd=costs.cost_usd,
        tokens_in=costs.tokens_in,
        tokens_out=costs.tokens_out,
    )
    if costs.pause_until_at is not None and attempt.account:
        accounts.pause_account(conn, attempt.account, until_at=costs.pause_until_at, reason=costs.pause_reason)
        conn.emit(
            "account.paused",
            attempt_id=attempt.id,
            worker_id=attempt.worker_id,
            data={"account": attempt.account, "until_at": costs.pause_until_at, "reason": costs.pause_reason},
        )


def refuse_odd_cost(cost_usd: float) -> None:
    """Refuse what is no number of dollars: once added to a day's sum it would not go away.

    Raises:
        RingmasterError: USAGE.
    """
    if not is_cost(cost_usd):
        raise RingmasterError(ErrorKind.USAGE, f"{cost_usd} is no number of dollars", "a cost is finite, and 0 or more")


def resume_account(conn: Connection, account_id: str, *, actor: str) -> bool:
    """End an account's pause; False when it had none."""
    if not accounts.resume_account(conn, account_id):
        return False
    conn.emit("account.resumed", actor=actor, data={"account": account_id})
    return True


def local_day(at: float) -> str:
    """The date of a time where this process is."""
    return time.strftime("%Y-%m-%d", time.localtime(at))


def read_costs(conn: Connection, params: CostListParams, day_of: Callable[[float], str] = local_day) -> CostList:
    """What was spent, by model, agent, day and task. day_of: the date of a time, in unix seconds.

    Raises:
        RingmasterError: NOT_FOUND for a project that there never was.
    """
    project_id = params.project_id
    # What a removed project cost, too, is still asked for.
    if project_id and project_id not in projects.all_ids(conn):
        project_id = resolve_project(conn, project_id)
    values: dict[str, Value] = {"since_at": params.since_at, "project_id": project_id}
    by_model = _as(ModelCost, conn.rows(attempts.queries.cost_by_model, values))
    by_task = _as(TaskCost, conn.rows(attempts.queries.cost_by_task, {**values, "limit": params.limit}))
    quarters = conn.rows(attempts.queries.cost_by_quarter, values)
    by_day = _add_up((day_of(quarter * QUARTER_S), sums) for quarter, *sums in quarters)
    by_agent = _add_up((row.agent, _sums(row)) for row in by_model)
    return CostList(
        cost_usd=sum(row.cost_usd for row in by_model),
        tokens_in=sum(row.tokens_in for row in by_model),
        tokens_out=sum(row.tokens_out for row in by_model),
        by_model=tuple(by_model),
        by_task=tuple(row for row in by_task if row.tokens_in or row.tokens_out),
        by_agent=tuple(sorted(_as(AgentCost, by_agent), key=lambda row: (-row.cost_usd, -row.tokens_in))),
        by_day=tuple(_as(DayCost, by_day)[: params.limit]),
    )


def _sums(row: ModelCost) -> Sums:
    return row.attempts, row.cost_usd, row.tokens_in, row.tokens_out


def _add_up(parts: Iterable[tuple[str, Iterable[float]]]) -> list[Row]:
    """Rows of a key and its sums, in the order in which the keys come."""
    totals: dict[str, list[float]] = {}
    for key, sums in parts:
        totals[key] = [old + new for old, new in zip(totals.get(key, (0, 0, 0, 0)), sums, strict=True)]
    return [(key, *sums) for key, sums in totals.items()]


def _as(kind: type[T], rows: Iterable[Row]) -> list[T]:
    return [kind(**dict(zip(kind.__struct_fields__, row, strict=True))) for row in rows]
