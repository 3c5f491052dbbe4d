"""Methods about the daemon itself."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.generation import Generation
from ringmaster.protocol.budget import BudgetView
from ringmaster.protocol.mutation import Mutation
from ringmaster.protocol.queue import QueuePauseView
from ringmaster.protocol.why import Obstacle
from ringmaster.protocol.worker import WorkerView


class EmptyParams(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """version: of the software; protocol: of the wire; schema: of the database.

    python, sqlite, git: what it runs on. generation, release, commit: of the daemon's own code that runs; 0 and empty
    where it runs from no release.
    """

    version: str
    protocol: int
    schema: int
    python: str
    sqlite: str
    git: str
    generation: int = 0
    release: str = ""
    commit: str = ""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """state: ok, degraded (the disk is full), stopping or estop; words: what that means and what to do.

    is_kept: somebody starts it again after a crash. unit: the systemd unit that does, empty with a keeper or nobody;
    is_user_unit: that unit is the user manager's.
    """

    state: str
    words: str
    pid: int
    started_at: float
    is_kept: bool
    unit: str = ""
    is_user_unit: bool = False


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks by what a person sees."""

    draft: int = 0
    ready: int = 0
    blocked: int = 0
    scheduled: int = 0
    waiting: int = 0
    running: int = 0
    validating: int = 0
    landing: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0


class ParkedView(msgspec.Struct, frozen=True, kw_only=True):
    """Landed work that waits for a checkout, and the one command that takes it."""

    project_id: str
    ref: str
    commit: str
    reason: str
    command: str


class PausedView(msgspec.Struct, frozen=True, kw_only=True):
    """A paused project and why."""

    project_id: str
    reason: str


class RestingView(msgspec.Struct, frozen=True, kw_only=True):
    """An account on which nothing is started before `until_at`, and why.

    agent: the one that was last seen with it. label: in words.
    """

    account: str
    agent: str
    label: str
    until_at: float
    reason: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows for the one screen. cursor: the newest event; follow from here.

    last_reload: the newest generation of the daemon's own code that was tried or refused.
    budgets: those that let nothing begin any more today.
    queue_pause: while nothing at all is given out, because somebody said so.
    """

    queue: QueueCounts
    workers: tuple[WorkerView, ...]
    decisions: tuple[Decision, ...]
    parked: tuple[ParkedView, ...]
    paused: tuple[PausedView, ...]
    projects: int
    cursor: int
    resting: tuple[RestingView, ...] = ()
    last_reload: Generation | None = None
    budgets: tuple[BudgetView, ...] = ()
    queue_pause: QueuePauseView | None = None


class Status(Overview, frozen=True, kw_only=True):
    """One screen: the daemon, the queue, the workers, what needs a person.

    generation: the one that answers, 0 where it runs from no release. reload_step: what a reload is about just now.
    shortages: what the machine lacks, for which nothing is given out.
    """

    name: str
    state_dir: str
    version: str
    health: Health
    generation: int = 0
    reload_step: str = ""
    shortages: tuple[Obstacle, ...] = ()


class StopParams(Mutation, frozen=True, kw_only=True):
    """mode: drain lets what runs go on without the daemon (agents outlive it); abort ends the attempts first."""

    mode: Literal["drain", "abort"] = "drain"


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon is on its way out. pid: wait for it to be gone."""

    pid: int
    live_attempts: int


class KeepParams(Mutation, frozen=True, kw_only=True):
    """No parameters of its own: keeping a daemon that is kept changes nothing."""


class KeepResult(msgspec.Struct, frozen=True, kw_only=True):
    """A keeper watches the daemon. was_kept: it did already."""

    keeper_pid: int
    was_kept: bool


class GcParams(Mutation, frozen=True, kw_only=True):
    """is_dry_run: say what would go, change nothing."""

    is_dry_run: bool = False


class GcResult(msgspec.Struct, frozen=True, kw_only=True):
    """What went, what stays and why, in words; bytes freed or to be freed."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    freed_bytes: int
    is_dry_run: bool


class ConfigCheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The settings file as the daemon sees it."""

    path: str
    is_valid: bool
    words: str
