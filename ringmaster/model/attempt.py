"""An attempt: one start of one agent on one task. It carries the token."""

from __future__ import annotations

from typing import Any

import msgspec

from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import AttemptState


class LandingIntent(msgspec.Struct, frozen=True, kw_only=True):
    """What a landing is about to do, stored before it does it: move `ref` from `old` to `new`.

    is_parked: `ref` is the landed branch beside the target, because the target cannot be moved now.
    """

    ref: str
    old: str
    new: str
    is_parked: bool = False


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt's row.

    token: proves the right to write; kept out of every list and reply but the claim's.
    seat: id of the worker whose seat it holds while `running`.
    base_commit: where its branch began; head_commit: the work as fetched from the workspace.
    is_accepted: a person accepted this head for landing.
    is_cancel_requested: a person wants it ended; the supervisor ends it and then the row.
    landing: the intent, while `landing` and after.
    lane_at: when it entered the lane; with the task's priority, its place in it.
    report: what the agent said and how it ended, as the supervisor read it.
    session_id: the conversation, for an agent that has them. account: who pays, see `model.account`.
    cost_usd, tokens_in, tokens_out: of this attempt alone. model: the one that answered most.
    lease_s: how long whoever pulled it may be silent; 0 for a supervised one. lease_left_s: what was left of that
        when it was last written; None while no lease runs, 0 once it has run out. See docs/pulling.md.
    """

    id: str
    task_id: str
    number: int
    project_id: str
    worker_id: str
    agent: str
    token: str
    state: AttemptState
    outcome: Outcome | None
    reason: str
    branch: str
    base_commit: str
    head_commit: str
    is_accepted: bool
    is_cancel_requested: bool
    landing: LandingIntent | None
    lane_at: float | None
    report: dict[str, Any]
    started_at: float
    ended_at: float | None
    session_id: str = ""
    account: str = ""
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    model: str = ""
    lease_s: float = 0.0
    lease_left_s: float | None = None
