"""Methods about agents: which there are, who pays for them, and whether they work."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.protocol.mutation import Mutation


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent that a worker may have.

    program: where it is, '' when it is not to be found; version: its own word, '' when it was not asked or does
    not say. account: who pays, '' when no login or key is found or nobody does; account_label: in words.
    paused_until_at, paused_reason: why its account rests. workers: seats with it.
    paused_at: since when nothing of it is started, because it could not be, for the same `paused_reason`.
    """

    name: str
    kind: str
    program: str
    version: str
    account: str
    account_label: str
    paused_until_at: float | None
    paused_reason: str
    workers: int
    paused_at: float | None = None


class AgentList(msgspec.Struct, frozen=True, kw_only=True):
    """The built-in ones first."""

    agents: tuple[AgentView, ...]


class AgentTestParams(Mutation, frozen=True, kw_only=True):
    """Run an agent once on a tiny task, at the price of a few words. limit_s: it is stopped then."""

    name: str
    limit_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 120.0


class AgentTested(msgspec.Struct, frozen=True, kw_only=True):
    """is_working: it ran, answered and ended well; then a pause of its account is over.

    words: what it said, or what went wrong. mend: the command that mends it, '' when none is known. cost_usd,
    tokens_in, tokens_out: of this run, as it states them.
    """

    name: str
    is_working: bool
    words: str
    account: str
    model: str
    took_s: float
    cost_usd: float
    tokens_in: int
    tokens_out: int
    mend: str = ""
