"""The rows as the events tell them, kept by nothing but the events. What differs from the tables is a fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ringmaster.model.event import Event
from tests.sim.database import SimulatedStore

DAY_S = 86_400
ENDED = ("done", "failed", "cancelled")
MOVED_BY = {
    "task.validating": "validating",
    "task.landing": "landing",
    "task.done": "done",
    "task.failed": "failed",
    "task.cancelled": "cancelled",
    "task.opened": "open",
}
# Which events may take a task out of a state in which it has ended, and why.
REOPENING = ("retry", "reopened", "a child is open", "what ended it was taken back")


class Broken(AssertionError):
    """Something that must hold does not."""


def require(holds: object, words: str) -> None:
    """Raise `Broken` unless it holds."""
    if not holds:
        raise Broken(words)


@dataclass(slots=True)
class TaskFacts:
    """What events told of one task."""

    state: str
    priority: int
    type: str
    is_held: bool = False
    attempts: int = 0
    live: str = ""


@dataclass(slots=True)
class Mirror:
    """Kept by `take`; `compare` holds it against the tables.

    outcomes: of attempts that have ended. seats: worker -> its attempt. waits: (task, other, kind) -> mode.
    scheduled: what is not to be given out before a time. begun: on each day of UTC the attempts of each project, and of
    '' in all.
    """

    last_seq: int = 0
    tasks: dict[str, TaskFacts] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    seats: dict[str, str] = field(default_factory=dict)
    seat_states: dict[str, str] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)
    waits: dict[tuple[str, str, str], str] = field(default_factory=dict)
    scheduled: dict[str, float] = field(default_factory=dict)
    begun: dict[int, Counter[str]] = field(default_factory=dict)

    def day_of(self, now: float) -> int:
        """The day that counts: a clock that is set back by a day gives nothing back, one that was far ahead is over."""
        today = int(now // DAY_S)
        return max([today, *(day for day in self.begun if day <= today + 1)])

    def take(self, events: Sequence[Event], now: float) -> None:
        """Follow what one commit has told, at a time by the wall's clock."""
        self.look_at_time(now)
        for event in events:
            require(event.seq == self.last_seq + 1, f"event {event.seq} follows {self.last_seq}")
            self.last_seq = event.seq
            noun, _, verb = event.type.partition(".")
            if noun == "task":
                self._take_task(event, verb)
            elif noun == "attempt":
                self._take_attempt(event, verb)
            elif noun == "decision":
                self._take_decision(event, verb)
            elif noun == "worker":
                self._take_worker(event, verb)
            elif noun == "project" and verb in ("added", "paused", "resumed"):
                self.projects[event.project_id] = "paused" if verb == "paused" else "active"

    def look_at_time(self, now: float) -> None:
        """What has waited for its time need not wait again when the clock is set back."""
        for id in [id for id, at in self.scheduled.items() if at <= now]:
            del self.scheduled[id]

    def _schedule(self, task_id: str, at: float | None) -> None:
        if at is None:
            self.scheduled.pop(task_id, None)
        else:
            self.scheduled[task_id] = at

    def _take_task(self, event: Event, verb: str) -> None:
        if verb == "created":
            return self._create(event.task_id, msgspec.json.decode(event.data))
        task = self.tasks[event.task_id]
        new = MOVED_BY.get(event.type)
        if new is not None:
            self._move(event, task, new)
        elif verb == "edited":
            after = msgspec.json.decode(event.data)["after"]
            require(task.state in ("draft", "open", "failed"), f"{event.task_id} was edited while {task.state}")
            task.priority = after.get("priority", task.priority)
            task.type = after.get("type", task.type)
            if after.get("state") == "draft":
                # That it is open again is an event of its own.
                task.state = "draft"
        elif verb == "dependencies_changed":
            told = msgspec.json.decode(event.data)
            for other in told["removed"]:
                del self.waits[event.task_id, other, told["kind"]]
            for other in told["added"]:
                self._wait(event.task_id, other, told["kind"], told["mode"])
        elif verb == "restored":
            # Undone: it is as it was before.
            told = msgspec.json.decode(event.data)
            task.state = told["state"]
        elif verb == "deferred":
            self._schedule(event.task_id, msgspec.json.decode(event.data)["until_at"])
        elif verb in ("held", "released", "unheld"):
            task.is_held = verb == "held"
            # Of a release that is undone, and had opened a draft, one event tells both.
            task.state = msgspec.json.decode(event.data).get("state", task.state)

    def _create(self, task_id: str, told: dict[str, Any]) -> None:
        require(task_id not in self.tasks, f"{task_id} was made twice")
        state = "draft" if told.get("is_draft") else "open"
        self.tasks[task_id] = TaskFacts(state, told["priority"], told.get("type", "task"), told.get("is_held", False))
        for other in told["after"]:
            self._wait(task_id, other, "blocks", "")
        for wish in told.get("depends", ()):
            self._wait(task_id, wish["id"], wish.get("kind", "blocks"), wish.get("mode", ""))
        if told.get("parent_id"):
            self._wait(task_id, told["parent_id"], "parent-child", "")

    def _wait(self, task_id: str, other: str, kind: str, mode: str) -> None:
        self.waits.setdefault((task_id, other, kind), (mode or "all") if kind == "waits-for" else "")

    def _move(self, event: Event, task: TaskFacts, new: str) -> None:
        if task.state in ENDED and task.state != new:
            told = msgspec.json.decode(event.data)
            is_reopened = new == "open" and told.get("reason") in REOPENING
            is_settled = task.state == "failed" and new in ("done", "cancelled")
            is_unneeded = told.get("done_by") == "unneeded"
            require(is_reopened or is_settled or is_unneeded, f"{event.task_id} went from {task.state} to {new}")
        task.state = new
        if new == "open":
            self._schedule(event.task_id, msgspec.json.decode(event.data).get("not_before_at"))

    def _take_attempt(self, event: Event, verb: str) -> None:
        id = event.attempt_id
        if verb == "started":
            task = self.tasks[event.task_id]
            require(id not in self.live and id not in self.outcomes, f"attempt {id} began twice")
            require(not task.live, f"{event.task_id} was given to {id} while {task.live} has it")
            require(task.state == "open", f"{event.task_id} was given out while {task.state}")
            require(event.task_id not in self.scheduled, f"{event.task_id} was given out before its time")
            task.state, task.live = "running", id
            self.begun.setdefault(self.day_of(event.at), Counter()).update((event.project_id, ""))
            task.attempts += 1
            self.live[id] = event.task_id
            require(not self.seats.get(event.worker_id), f"{event.worker_id} has {self.seats.get(event.worker_id)}")
            self.seats[event.worker_id] = id
        elif verb == "ended":
            require(id not in self.outcomes, f"attempt {id} ended twice")
            require(self.live.pop(id, "") == event.task_id, f"attempt {id} ended and did not live")
            self.tasks[event.task_id].live = ""
            self.outcomes[id] = msgspec.json.decode(event.data)["outcome"]
        else:
            is_about_end = verb in ("job_ended", "job_started")
            require(not id or id in self.live or is_about_end, f"{event.type} of {id}, which does not live")

    def _take_decision(self, event: Event, verb: str) -> None:
        id = event.decision_id
        if verb == "opened":
            require(id not in self.decisions, f"decision {id} was opened twice")
            self.decisions[id] = "open"
        elif verb == "reopened":
            require(self.decisions.get(id) == "withdrawn", f"decision {id} was reopened while {self.decisions.get(id)}")
            self.decisions[id] = "open"
        else:
            require(self.decisions.get(id) == "open", f"decision {id} was {verb} while {self.decisions.get(id)}")
            self.decisions[id] = verb

    def _take_worker(self, event: Event, verb: str) -> None:
        id = event.worker_id
        if verb == "freed":
            require(self.seats.get(id) == event.attempt_id, f"{id} gave up {event.attempt_id}, which was not in it")
            self.seats[id] = ""
        elif verb == "removed":
            require(not self.seats.pop(id), f"{id} was removed with work in it")
            del self.seat_states[id]
        else:
            self.seats.setdefault(id, "")
            self.seat_states[id] = {"paused": "paused", "stopped": "stopped"}.get(verb, "active")

    def compare(self, store: SimulatedStore) -> None:
        """Every table that events tell of, row by row."""
        self._differ(
            "tasks",
            {id: (t.state, t.priority, t.type, t.is_held, t.attempts) for id, t in self.tasks.items()},
            {
                row[0]: (row[1], row[2], row[3], bool(row[4]), row[5])
                for row in store.rows(
                    "SELECT id, state, priority, type, held_at IS NOT NULL, attempt_number FROM tasks ORDER BY seq"
                )
            },
        )
        rows = store.rows("SELECT id, task_id, state, outcome FROM attempts")
        self._differ("live attempts", self.live, {row[0]: row[1] for row in rows if row[2] != "ended"})
        self._differ("outcomes", self.outcomes, {row[0]: row[3] for row in rows if row[2] == "ended"})
        waits = store.rows("SELECT task_id, blocker_id, kind, mode FROM dependencies")
        self._differ("dependencies", self.waits, {(row[0], row[1], row[2]): row[3] for row in waits})
        self._differ("decisions", self.decisions, dict(store.rows("SELECT id, state FROM decisions")))
        self._differ("seats", self.seats, dict(store.rows("SELECT id, attempt_id FROM workers")))
        self._differ("workers", self.seat_states, dict(store.rows("SELECT id, state FROM workers")))
        self._differ("projects", self.projects, dict(store.rows("SELECT id, state FROM projects")))

    @staticmethod
    def _differ(noun: str, told: dict[Any, Any], found: dict[Any, Any]) -> None:
        if told != found:
            keys = [key for key in {**told, **found} if told.get(key) != found.get(key)][:3]
            words = "; ".join(f"{key}: events say {told.get(key)}, the row {found.get(key)}" for key in keys)
            raise Broken(f"{noun} are not what the events tell: {words}")
