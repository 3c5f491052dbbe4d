"""Methods about workers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.model.worker import Worker
from ringmaster.protocol.mutation import Mutation


class WorkerSpawnParams(Mutation, frozen=True, kw_only=True):
    """id: empty makes one up (w1, w2, …). agent: scripted, command, or a name from the settings.

    command: argv template for `command`. count: how many alike; with an id they are ID-1, ID-2, …
    is_pulled: the daemon gives it nothing; tasks are pulled for it, as for the agent `hand` always.
    """

    agent: str
    id: str = ""
    command: tuple[str, ...] = ()
    project_id: str = ""
    capabilities: tuple[str, ...] = ()
    count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    is_pulled: bool = False


class WorkerIdParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a worker's name or a unique prefix."""

    id: str


class WorkerWaitParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a worker that tasks are pulled for; '' for any seat of the agent `hand`. timeout_s: None waits for ever.

    is_seat_enough: only until its seat is empty, for any worker in any state.
    """

    id: str = ""
    is_seat_enough: bool = False
    timeout_s: Annotated[float, msgspec.Meta(ge=0)] | None = None


class WorkerWaited(msgspec.Struct, frozen=True, kw_only=True):
    """is_ready: a pull may find a task now, or the seat is empty. state: of the worker; a stopped one gets nothing."""

    is_ready: bool
    state: str


class WorkerSetParams(Mutation, frozen=True, kw_only=True):
    """id: a worker's name or a unique prefix. is_all: every worker instead."""

    id: str = ""
    is_all: bool = False


class WorkerListParams(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters."""


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker with what it does now. shown: idle, working, paused, stopping, stopped, damaged.

    problem: why it is given nothing, where its row cannot be read.
    """

    worker: Worker
    shown: str
    task_id: str = ""
    task_title: str = ""
    since_at: float | None = None
    problem: str = ""


class WorkerList(msgspec.Struct, frozen=True, kw_only=True):
    """All workers by name."""

    workers: tuple[WorkerView, ...]
