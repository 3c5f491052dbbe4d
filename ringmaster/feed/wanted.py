"""Which part of the feed a subscriber wants, as values: no clock, no store."""

from __future__ import annotations

import re

import msgspec

from ringmaster.feed.cursor import Source
from ringmaster.model.event import Event
from ringmaster.protocol.feed import FeedLevel, FeedOutput

JOB_EVENTS = ("attempt.job_started", "attempt.job_ended")
IMPORTANT = frozenset(
    {
        *("account.paused", "agent.paused", "project.paused", "queue.paused", "project.parked"),
        *("decision.opened", "decision.reopened", "decision.withdrawn"),
        *("task.failed", "task.landed"),
        *("generation.bad", "generation.good", "generation.restored", "reload.undo_failed", "reload.revert_refused"),
        *("settings.refused", "daemon.recovered", "daemon.stop_requested"),
    }
)
"""What a person must see: questions, ends that failed, what landed, pauses, generations."""

_GATE = re.compile(r"gate-[0-9]+")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription with whole ids. What is empty does not filter."""

    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    worker_id: str = ""
    types: tuple[str, ...] = ()
    level: FeedLevel = "all"
    output: tuple[FeedOutput, ...] = ()

    @property
    def has_output(self) -> bool:
        """Whether any output comes along."""
        return bool(self.output) and self.level == "all"

    def is_about(self, event: Event, worker_id: str) -> bool:
        """Whether an event is about what is wanted, of whatever type. worker_id: of its attempt, where it has one."""
        return (
            (not self.project_id or event.project_id == self.project_id)
            and (not self.task_id or event.task_id == self.task_id)
            and (not self.attempt_id or event.attempt_id == self.attempt_id)
            and (not self.worker_id or self.worker_id in (event.worker_id, worker_id))
        )

    def is_shown(self, event: Event) -> bool:
        """Whether an event that is about it is of a type and level that are wanted."""
        if self.level == "important" and event.type not in IMPORTANT:
            return False
        return not self.types or any(
            event.type == wanted or (wanted.endswith(".") and event.type.startswith(wanted)) for wanted in self.types
        )

    def is_of(self, project_id: str, task_id: str, attempt_id: str, worker_id: str) -> bool:
        """Whether an attempt's output is wanted."""
        return (
            self.has_output
            and self.project_id in ("", project_id)
            and self.task_id in ("", task_id)
            and self.attempt_id in ("", attempt_id)
            and self.worker_id in ("", worker_id)
        )

    def sources_of(self, attempt_id: str, job: str) -> tuple[Source, ...]:
        """The sources of a job that are wanted."""
        if job == "agent":
            kinds: tuple[FeedOutput, ...] = ("steps", "stdout", "stderr")
        elif job == "setup":
            kinds = ("setup",)
        elif _GATE.fullmatch(job):
            kinds = ("gate",)
        else:
            kinds = ()
        return tuple(Source(attempt_id, job, kind) for kind in kinds if kind in self.output)
