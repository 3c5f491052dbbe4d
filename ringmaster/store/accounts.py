"""Rows of accounts: who pays, and whose rate limit has to end first."""

from __future__ import annotations

from ringmaster.model.account import AccountState
from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder

queries = load_queries("accounts")
decode_account = decoder(AccountState)


def note_account(conn: Connection, *, id: str, agent: str, label: str) -> None:
    """Remember an account that an attempt begins on; a pause of it stays."""
    conn.execute(queries.note, {"id": id, "agent": agent, "label": label, "now": conn.now})


def pause_account(conn: Connection, account_id: str, *, until_at: float, reason: str) -> bool:
    """Start nothing on it before then; False for an account that is not known."""
    return conn.execute(queries.pause, {"id": account_id, "until_at": until_at, "reason": reason, "now": conn.now}) > 0


def resume_account(conn: Connection, account_id: str) -> bool:
    """End its pause; False when it had none."""
    return conn.execute(queries.resume, {"id": account_id, "now": conn.now}) > 0


def all_accounts(conn: Connection) -> list[AccountState]:
    """Every account that was ever used."""
    return decode_account.all(conn.rows(queries.all))


def resting_agents(conn: Connection) -> dict[str, AccountState]:
    """The agents whose account, as it was when one last started, is paused now."""
    newest: dict[str, AccountState] = {}
    for account in sorted(all_accounts(conn), key=lambda account: account.updated_at):
        newest[account.agent] = account
    return {
        agent: account
        for agent, account in newest.items()
        if account.paused_until_at is not None and account.paused_until_at > conn.now
    }


def paused_accounts(conn: Connection) -> list[AccountState]:
    """Those that are paused now."""
    return decode_account.all(conn.rows(queries.paused, {"now": conn.now}))
