"""An account: who pays for agents, told apart by a digest of the credential."""

from __future__ import annotations

import msgspec


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """An account's row.

    agent: the agent by which it was last seen. paused_until_at: nothing is started on it before; None: not paused.
    """

    id: str
    agent: str
    label: str
    paused_until_at: float | None
    paused_reason: str
    updated_at: float
