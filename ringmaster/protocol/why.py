"""Why a task is not worked on, what it does, or why it ended: the answer of `task.why`."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringmaster.protocol.task import ReceiptView


class ObstacleKind(StrEnum):
    """What can be in a task's way, in the order in which it is named: its own first, then what holds for others too."""

    UNREADABLE = "unreadable"
    DEPENDENCY = "dependency"
    DECISION = "decision"
    HELD = "held"
    EPIC = "epic"
    DRAFT = "draft"
    ESTOP = "estop"
    ENDING = "ending"
    TRIAL = "trial"
    QUEUE_PAUSED = "queue_paused"
    DISK = "disk"
    MEMORY = "memory"
    PROJECT_REMOVED = "project_removed"
    PROJECT_PAUSED = "project_paused"
    # After what needs a person: time passes by itself.
    NOT_BEFORE = "not_before"
    BUDGET = "budget"
    LIMIT = "limit"
    PROJECT_LIMIT = "project_limit"
    AGENT_LIMIT = "agent_limit"
    LABEL_LIMIT = "label_limit"
    AGENT_PAUSED = "agent_paused"
    ACCOUNT = "account"
    NO_WORKER = "no_worker"
    PULLED = "pulled"
    WORKER_PAUSED = "worker_paused"
    BUSY = "busy"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One step of what another task waits for in turn. id: of a task or a decision; '' for what has none."""

    kind: str
    id: str
    words: str
    state: str = ""
    command: str = ""


class Obstacle(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that keeps a task from being given out.

    id: the other task, the decision, the project, the agent, the worker. since_at: since when; None where nobody noted
    it. seq: the event that made it so, where one did. command: what to do about it; is_mending: it takes this obstacle
    away, at once. chain: what the other task waits for first, what that does, and so on to the root, at most some ten.
    """

    kind: str
    words: str
    id: str = ""
    since_at: float | None = None
    seq: int | None = None
    command: str = ""
    is_mending: bool = False
    chain: tuple[Link, ...] = ()


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """What is done for a task now. job: of its attempt, '' between them. place: in the lane, from 1; 0: in none."""

    words: str
    attempt_id: str
    since_at: float | None
    seq: int | None = None
    agent: str = ""
    worker_id: str = ""
    job: str = ""
    place: int = 0
    command: str = ""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task ended. outcome, reason: of its last attempt. receipts: its gates. command: what can be done now."""

    words: str
    ended_at: float | None
    seq: int | None = None
    attempt_id: str = ""
    outcome: str = ""
    reason: str = ""
    receipts: tuple[ReceiptView, ...] = ()
    command: str = ""


class TaskWhy(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task is as it is. first: what to know of it first, in words with a command: `next_step` of `task.show`.

    obstacles: everything in its way, in order; none where a free seat takes it, or one before it in the order of work.
    left_out: so many more dependencies are in its way than `limit` has room for.
    ahead: how many ready tasks go before it, counted up to some hundred; None where something is in its way.
    """

    id: str
    title: str
    state: str
    shown: str
    first: str
    obstacles: tuple[Obstacle, ...] = ()
    left_out: int = 0
    doing: Doing | None = None
    ending: Ending | None = None
    ahead: int | None = None
