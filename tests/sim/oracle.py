"""Who may get what, by the words of docs/queue.md and the facts of the rows: the scheduler's choices are held to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import msgspec

from ringmaster.queue.claim import Claim
from ringmaster.settings import DaemonSettings, LimitSettings, Settings
from tests.sim.database import SimulatedStore
from tests.sim.mirror import Mirror, require

READY = """
SELECT rank, seq, id, project_id, agent, capabilities, labels FROM tasks
WHERE state = 'open' AND open_blockers = 0 AND (not_before_at IS NULL OR not_before_at <= ?) ORDER BY rank, seq
"""
WORK = "SELECT rank, seq, id, project_id, agent, capabilities, labels FROM tasks WHERE id = ?"
SEATS = "SELECT id, agent, project_id, capabilities, state, attempt_id, is_pulled FROM workers ORDER BY id"
PROJECTS = "SELECT id, state, config FROM projects"
RUNNING = "SELECT project_id, count(*) FROM attempts WHERE state = 'running' GROUP BY project_id"
RUNNING_AGENTS = "SELECT agent, count(*) FROM attempts WHERE state = 'running' GROUP BY agent"
RUNNING_LABELS = """
SELECT label.value, count(*) FROM attempts AS a JOIN tasks AS t ON t.id = a.task_id, json_each(t.labels) AS label
WHERE a.state = 'running' GROUP BY label.value
"""
PAUSES = "SELECT scope, name FROM pauses"
BUDGETS = "SELECT project_id, max_attempts FROM budgets WHERE max_attempts IS NOT NULL"
RESTING = "SELECT id FROM accounts WHERE paused_until_at IS NOT NULL AND paused_until_at > ?"

_decode_words = msgspec.json.Decoder(list[str]).decode


class Work(NamedTuple):
    """A task that could be given out. The first two are its place in the order of work."""

    rank: int
    seq: int
    id: str
    project_id: str
    agent: str
    needs: frozenset[str]
    labels: frozenset[str]


class Seat(NamedTuple):
    """A seat and what it offers."""

    id: str
    agent: str
    project_id: str
    offers: frozenset[str]
    state: str
    attempt_id: str
    is_pulled: bool

    def fits(self, work: Work) -> bool:
        """Whether it can do such work at all."""
        return work.agent in ("", self.agent) and self.project_id in ("", work.project_id) and work.needs <= self.offers


@dataclass
class Rules:
    """What settings say, and which account pays for which agent."""

    max_running: int = 4
    agents: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    payers: dict[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        """As a file of settings says them."""
        limits = LimitSettings(agents=self.agents, labels=self.labels)
        return Settings(daemon=DaemonSettings(max_running=self.max_running), limits=limits)


class Scene:
    """The rows that decide who gets what, read at one moment."""

    def __init__(self, store: SimulatedStore, now: float, rules: Rules, mirror: Mirror) -> None:
        self.rules = rules
        self.ready = [_work(row) for row in store.rows(READY, (now,))]
        self.seats = {
            row[0]: Seat(row[0], row[1], row[2], _words(row[3]), row[4], row[5], bool(row[6]))
            for row in store.rows(SEATS)
        }
        self.projects = {row[0]: (row[1], _most(row[2])) for row in store.rows(PROJECTS)}
        self.running: Counter[str] = Counter(dict(store.rows(RUNNING)))
        self.resting = {row[0] for row in store.rows(RESTING, (now,))}
        pauses = store.rows(PAUSES)
        self.is_paused = ("queue", "") in pauses
        self.paused_agents = {name for scope, name in pauses if scope == "agent"}
        self.most_of = rules.agents
        self.running_agents: Counter[str] = Counter()
        if self.most_of:
            self.running_agents.update(dict(store.rows(RUNNING_AGENTS)))
        self.running_labels: Counter[str] = Counter()
        if rules.labels:
            self.running_labels.update(dict(store.rows(RUNNING_LABELS)))
        self.budgets: dict[str, int] = dict(store.rows(BUDGETS))
        # What began on an earlier day counts for that one.
        self.begun = Counter(mirror.begun.get(mirror.day_of(now), {}))

    def has_room(self, project_id: str) -> bool:
        """Whether a project is given out and may have one more."""
        state, most = self.projects[project_id]
        is_spent = any(self.begun[scope] >= self.budgets.get(scope, 1 << 40) for scope in (project_id, ""))
        return bool(state == "active" and self.running[project_id] < most and not is_spent)

    def is_given_out(self, seat: Seat) -> bool:
        """Whether anything is given to such a seat at all."""
        agent = seat.agent
        is_full = agent in self.most_of and self.running_agents[agent] >= self.most_of[agent]
        is_resting = self.rules.payers.get(agent) in self.resting
        return not (is_full or is_resting or self.is_paused or agent in self.paused_agents)

    def count(self, claim: Claim, by: int) -> None:
        """One attempt more (1), or as if it had not begun (-1)."""
        project_id = claim.task.project_id
        self.running[project_id] += by
        self.running_agents[claim.attempt.agent] += by
        for label in claim.task.labels:
            self.running_labels[label] += by
        self.begun[project_id] += by
        self.begun[""] += by

    def first_for(self, seat: Seat) -> Work | None:
        """What such a seat should get next."""
        return next((work for work in self.ready if seat.fits(work) and self._is_let_through(work)), None)

    def _is_let_through(self, work: Work) -> bool:
        full = {label for label, most in self.rules.labels.items() if self.running_labels[label] >= most}
        return self.has_room(work.project_id) and not work.labels & full

    def idle(self) -> tuple[Seat, Work] | None:
        """A free seat of the daemon's own beside work that it should have."""
        if not self.ready or self.running.total() >= self.rules.max_running:
            return None
        for seat in self.seats.values():
            if seat.state != "active" or seat.attempt_id or seat.is_pulled or not self.is_given_out(seat):
                continue
            work = self.first_for(seat)
            if work is not None:
                return seat, work
        return None


def check_claims(store: SimulatedStore, now: float, claims: Sequence[Claim], rules: Rules, mirror: Mirror) -> None:
    """What was just claimed, in its order: each was the first that its seat could take, and no limit was passed."""
    scene = Scene(store, now, rules, mirror)
    # Back to before the round: what was claimed waits again.
    for claim in claims:
        scene.count(claim, -1)
        scene.ready.append(work_of(store, claim))
    scene.ready.sort()
    for claim in claims:
        words = f"{claim.attempt.worker_id} got {claim.task.id}"
        seat = scene.seats[claim.attempt.worker_id]
        require(seat.attempt_id == claim.attempt.id, f"{words}, and its seat holds {seat.attempt_id!r}")
        require(seat.state == "active", f"{words} while {seat.state}")
        require(scene.is_given_out(seat), f"{words}, though nothing is given to {seat.agent} now")
        require(scene.running.total() < rules.max_running, f"{words} over the limit of {rules.max_running} in all")
        require(scene.has_room(claim.task.project_id), f"{words}, of a project that is paused, full or spent")
        first = scene.first_for(seat)
        require(first is not None and first.id == claim.task.id, f"{words} and not {first}")
        scene.count(claim, 1)
        scene.ready = [work for work in scene.ready if work.id != claim.task.id]


def work_of(store: SimulatedStore, claim: Claim) -> Work:
    """A claimed task as it waited before."""
    return _work(store.rows(WORK, (claim.task.id,))[0])


def _work(row: tuple[Any, ...]) -> Work:
    return Work(row[0], row[1], row[2], row[3], row[4], _words(row[5]), _words(row[6]))


@cache
def _most(config: str) -> int:
    return int(msgspec.json.decode(config)["max_running"])


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(_decode_words(text))
