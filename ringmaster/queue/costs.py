"""What attempts cost, and what the limits of who pays for them hold back."""

from __future__ import annotations

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.store import accounts, attempts
from ringmaster.store.connection import Connection


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of an agent came to.

    cost_usd, tokens_in, tokens_out: of this attempt alone.
    pause_until_at: nothing is started on its account before then, because of `pause_reason`; None: no pause.
    """

    session_id: str = ""
    model: str = ""
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    pause_until_at: float | None = None
    pause_reason: str = ""


def begin_agent(
    conn: Connection, attempt: Attempt, *, session_id: str, model: str, account_id: str, agent: str, label: str
) -> Attempt:
    """Note the conversation and who pays, before the agent starts. account_id: '' for nobody. Raises LEASE_LOST."""
    attempts.check_token(conn, attempt.id, attempt.token)
    if account_id:
        accounts.note_account(conn, id=account_id, agent=agent, label=label)
    attempts.begin_agent(conn, attempt, session_id=session_id, account=account_id, model=model)
    return attempts.attempt_by_id(conn, attempt.id)


def note_costs(conn: Connection, attempt_id: str, token: str, costs: Costs) -> None:
    """Note what the attempt cost, and pause its account if it must rest. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
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


def resume_account(conn: Connection, account_id: str, *, actor: str) -> bool:
    """End an account's pause; False when it had none."""
    if not accounts.resume_account(conn, account_id):
        return False
    conn.emit("account.resumed", actor=actor, data={"account": account_id})
    return True
