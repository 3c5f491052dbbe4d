"""How much may run and be spent at once: limits of agents and labels, budgets of days. See docs/queue.md, "The claim".

Each obstacle is one function that yields it, asked by the claim and by `why`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ringmaster.model.budget import Budget, Spent, used_up, utc_day
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import Task
from ringmaster.protocol.why import Obstacle, ObstacleKind
from ringmaster.settings import ClaudeSettings, CodexSettings, Settings
from ringmaster.store import budgets, labels, spawn_failures, spending
from ringmaster.store.budgets import Gate
from ringmaster.store.connection import Connection
from ringmaster.store.labels import PREFIX
from ringmaster.store.spawn_failures import PausedAgent

NOTHING = Gate(False, False, False, False, "", None)
METERED_BY_NATURE = ("claude", "codex")
"""Agents that cost dollars also where settings do not name them."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What settings say. agents, labels: how many attempts may run at once of each that is named.

    metered: the agents that cost dollars, each with the most that one attempt may spend; None without a limit.
    """

    agents: Mapping[str, int] = {}
    labels: Mapping[str, int] = {}
    metered: Mapping[str, float | None] = {}


UNBOUND = Bounds()


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that settings set."""
    metered: dict[str, float | None] = dict.fromkeys(METERED_BY_NATURE)
    for name, agent in settings.agents.items():
        if isinstance(agent, ClaudeSettings | CodexSettings):
            limit = agent.max_budget_usd
            # TOML has inf and nan, and neither bounds anything.
            metered[name] = limit if limit is not None and math.isfinite(limit) else None
    return Bounds(agents=settings.limits.agents, labels=settings.limits.labels, metered=metered)


def refuse_label_capabilities(capabilities: Sequence[str]) -> None:
    """Refuse capabilities that only limited labels may have.

    Raises:
        RingmasterError: USAGE.
    """
    for capability in capabilities:
        if capability.startswith(PREFIX):
            raise RingmasterError(
                ErrorKind.USAGE,
                f"{capability[:60]!r} is no capability: {PREFIX} is for labels that settings limit",
                "use another name, or label the task: --label",
            )


def of_agent_limit(agent: str, running: int, bounds: Bounds) -> Iterator[Obstacle]:
    """What the limit of an agent keeps back. running: its attempts that hold a seat."""
    most = bounds.agents.get(agent)
    if most is not None and running >= most:
        yield Obstacle(
            kind=ObstacleKind.AGENT_LIMIT,
            id=agent,
            words=f"{running} of {most} attempts of agent {agent} run",
            command="rmctl worker list",
        )


def of_label_limits(task: Task, running: Mapping[str, int], bounds: Bounds) -> Iterator[Obstacle]:
    """What the limits of a task's labels keep back. running: attempts that hold a seat, by label."""
    for label in dict.fromkeys(task.labels):
        most = bounds.labels.get(label)
        if most is not None and running.get(label, 0) >= most:
            yield Obstacle(
                kind=ObstacleKind.LABEL_LIMIT,
                id=label,
                words=f"{running.get(label, 0)} of {most} tasks labelled {label} run",
                command="rmctl worker list",
            )


def of_agent_pause(agent: str, paused: Mapping[str, PausedAgent]) -> Iterator[Obstacle]:
    """What the pause of an agent kind keeps back."""
    found = paused.get(agent)
    if found is not None:
        yield Obstacle(
            kind=ObstacleKind.AGENT_PAUSED,
            id=agent,
            words=f"agent {agent} is paused: {found.reason}",
            since_at=found.paused_at,
            command="rmctl decision list",
        )


class Books(msgspec.Struct, frozen=True):
    """The budgets of a day, what was spent of them, and what is held for metered attempts that run, by project."""

    day: str
    budgets: dict[str, Budget]
    spent: dict[str, Spent]
    reserved: dict[str, list[float | None]]

    def spent_of(self, project_id: str) -> Spent:
        """What a project has spent; '' is all of them."""
        if project_id:
            return self.spent.get(project_id, Spent())
        total = Spent()
        for spent in self.spent.values():
            total += spent
        return total

    def reserved_of(self, project_id: str) -> list[float | None]:
        """What is held for those of a project that run; '' is all of them."""
        if project_id:
            return self.reserved.get(project_id, [])
        return [limit for limits in self.reserved.values() for limit in limits]


def read_books(conn: Connection) -> Books:
    """Today's books."""
    day = spending.today(conn)
    reserved: dict[str, list[float | None]] = {}
    for row in spending.all_reserved(conn):
        reserved.setdefault(row.project_id, []).append(row.limit_usd)
    return Books(day, budgets.all_budgets(conn), spending.spent_on(conn, day), reserved)


def of_budget(project_id: str, books: Books, *, is_metered: bool, limit_usd: float | None) -> Iterator[Obstacle]:
    """What budgets keep back of a project. is_metered, limit_usd: of the attempt that would begin."""
    for scope in (project_id, ""):
        budget = books.budgets.get(scope)
        if budget is None:
            continue
        words = used_up(
            budget, books.spent_of(scope), books.reserved_of(scope), is_metered=is_metered, limit_usd=limit_usd
        )
        if words:
            whose = f"of {scope}" if scope else "of all projects"
            yield Obstacle(
                kind=ObstacleKind.BUDGET,
                id=scope,
                words=f"the budget {whose} for {books.day} (UTC): {words}",
                command=f"rmctl budget show {scope}".rstrip(),
            )


def attempt_limit(task: Task, spent_on_task: float, agent_limit: float | None, daily: Sequence[Budget]) -> float | None:
    """The most that an attempt may spend; None without a limit. agent_limit: of its agent. daily: those it falls under.

    A limit above a whole day's budget is cut to that, for otherwise it would fit on no day.
    """
    limits = [] if agent_limit is None else [agent_limit]
    if task.limits.budget_usd is not None:
        limits.append(max(0.0, task.limits.budget_usd - spent_on_task))
    if not limits:
        return None
    return min(limits + [budget.max_usd for budget in daily if budget.max_usd is not None])


class Allowance:
    """What may still be given out in one transaction: counts are read once, and kept as claims are given."""

    def __init__(self, conn: Connection, bounds: Bounds = UNBOUND) -> None:
        self.bounds = bounds
        self._conn = conn
        self.gate = NOTHING
        self._agents: Counter[str] | None = None
        self._labels: Counter[str] | None = None
        self._books: Books | None = None
        self._shut: dict[str, set[str]] = {}
        self.held_by_budget: Obstacle | None = None
        """The first budget that kept something back."""
        self.mended = 0
        """Rows that claims picked and had to set right first."""
        self.is_unfinished = False
        """A claim gave up with more such rows ahead: another one goes on."""

    def look(self, agent: str) -> Gate:
        """What a claim for this agent must look at further, kept as `gate`."""
        self.gate = budgets.look_at_gate(self._conn, agent)
        return self.gate

    @property
    def books(self) -> Books:
        """Today's books, with what was given out."""
        if self._books is None:
            self._books = read_books(self._conn)
        return self._books

    def running_agents(self) -> Counter[str]:
        """Attempts that hold a seat, by agent."""
        if self._agents is None:
            self._agents = labels.running_by_agent(self._conn)
        return self._agents

    def running_labels(self) -> Counter[str]:
        """The same by label."""
        if self._labels is None:
            self._labels = labels.running_by_label(self._conn)
        return self._labels

    def keeps_agent(self, agent: str) -> bool:
        """Whether the agent's own limit keeps every task from its seats."""
        if agent not in self.bounds.agents:
            return False
        return any(of_agent_limit(agent, self.running_agents()[agent], self.bounds))

    def full_labels(self) -> frozenset[str]:
        """Capabilities of the labels of which no more may run; every other label's is offered by each seat."""
        return frozenset(
            PREFIX + label for label, most in self.bounds.labels.items() if self.running_labels()[label] >= most
        )

    def shut_projects(self, agent: str) -> set[str]:
        """The projects of which nothing may be given to this agent today, so far as is known; '' is all of them."""
        found = self._shut.get(agent)
        if found is None:
            found = self._shut[agent] = set()
            is_metered = agent in self.bounds.metered
            for scope in self.books.budgets:
                # As if it cost nothing: what a task needs beyond that is asked when it is picked.
                for obstacle in of_budget(scope, self.books, is_metered=is_metered, limit_usd=0.0):
                    self._shut_for(agent, obstacle)
        return found

    def _shut_for(self, agent: str, obstacle: Obstacle) -> None:
        self.held_by_budget = self.held_by_budget or obstacle
        self._shut[agent].add(obstacle.id)

    def limit_of(self, task: Task, agent: str) -> float | None:
        """The most that an attempt at a task may spend with a metered agent."""
        before = 0.0 if task.limits.budget_usd is None else spending.spent_on_task(self._conn, task.id)
        if not self.gate.has_budgets:
            return attempt_limit(task, before, self.bounds.metered[agent], ())
        known = [self.books.budgets[scope] for scope in (task.project_id, "") if scope in self.books.budgets]
        return attempt_limit(task, before, self.bounds.metered[agent], known)

    def refuses(self, task: Task, agent: str) -> bool:
        """Whether a budget does not let this very task begin now: then its project is shut for the agent.

        The whole project, so that a stream of cheaper tasks does not keep a dear one back for ever.
        """
        if agent not in self.bounds.metered:
            return False
        limit_usd = self.limit_of(task, agent)
        for obstacle in of_budget(task.project_id, self.books, is_metered=True, limit_usd=limit_usd):
            self.shut_projects(agent)
            self._shut_for(agent, obstacle)
            return True
        return False

    def take(self, task: Task, agent: str, attempt_id: str) -> None:
        """Count an attempt that was given out, and hold aside what it may spend."""
        spending.count_attempt(self._conn, task.project_id, max(utc_day(self._conn.now), self.gate.last_day))
        if agent in self.bounds.metered:
            spending.reserve(self._conn, attempt_id, task.project_id, self.limit_of(task, agent))
        if self._books is not None:
            self._books, self._shut = None, {}
        if self._agents is not None:
            self._agents[agent] += 1
        if self._labels is not None:
            self._labels.update(set(task.labels))


def paused_agents(conn: Connection) -> dict[str, PausedAgent]:
    """Agent kinds that are paused, by name."""
    return spawn_failures.paused_agents(conn)
