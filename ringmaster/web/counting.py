"""Counts what happens, from events after their commit. It begins at 0 with each image, which Prometheus allows for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from ringmaster.bus import Bus, Lagged
from ringmaster.model.event import Event
from ringmaster.model.outcomes import Outcome
from ringmaster.model.receipt import GateResult
from ringmaster.store.connection import Connection
from ringmaster.store.interface import Store
from ringmaster.store.stats import EndedAttempt, ended_attempts, settled_after_s
from ringmaster.web.families import SLOW_S, Durations, Family, Labels, Names, counter, histogram

CAPACITY = 65_536
TASK_ENDS = {"task.landed": "landed", "task.failed": "failed", "task.cancelled": "cancelled"}
SETTLED = frozenset({"generation.good", "generation.bad"})
WANTED = frozenset({"attempt.started", "attempt.ended", "gate.ended", *TASK_ENDS, *SETTLED})


class Told(msgspec.Struct, frozen=True):
    """What is read of an event's data; of each type some of it."""

    agent: str = ""
    result: str = ""
    wall_s: float = 0.0
    generation: int = 0


class Rows(msgspec.Struct, frozen=True):
    """What the rows say of what ended. reloads: seconds of each generation that was tried and settled."""

    attempts: list[EndedAttempt] = []
    reloads: list[float] = []


class Counting:
    """Counters of one image, on the loop alone. `run` keeps them."""

    def __init__(self, store: Store, bus: Bus[Event]) -> None:
        self._store = store
        self._bus = bus
        self._agents = Names()
        self._models = Names()
        self._claims: dict[Labels, float] = defaultdict(float)
        self._attempts: dict[Labels, float] = defaultdict(float)
        # As in `expect`.
        self._tasks: dict[Labels, float] = {(end,): 0.0 for end in TASK_ENDS.values()}
        self._tokens: dict[Labels, float] = defaultdict(float)
        self._dollars: dict[Labels, float] = defaultdict(float)
        self._gate_s: dict[Labels, Durations] = defaultdict(Durations, {(r,): Durations() for r in GateResult})
        self._reload_s: dict[Labels, Durations] = {(): Durations()}
        self._missed = 0

    async def run(self) -> None:
        """Count until cancelled. What comes faster than it can be looked up is told as missed."""
        with self._bus.open_subscription(lambda event: event.type in WANTED, capacity=CAPACITY) as events:
            while True:
                batch = await events.receive_batch()
                self._missed += sum(one.missed for one in batch if isinstance(one, Lagged))
                await self.count([one for one in batch if isinstance(one, Event)])

    async def count(self, events: Sequence[Event]) -> None:
        """Count some events of `WANTED`, once."""
        told = [(event, _told(event)) for event in events]
        ended = [event.attempt_id for event in events if event.type == "attempt.ended"]
        settled = [data.generation for event, data in told if event.type in SETTLED]
        rows = await self._store.read(_read_rows, ended, settled) if ended or settled else Rows()
        for event, data in told:
            if event.type == "attempt.started":
                self.expect([data.agent])
                self._claims[(self._agents(data.agent),)] += 1
            elif event.type == "gate.ended":
                self._gate_s[(data.result,)].note(data.wall_s)
            elif event.type in TASK_ENDS:
                self._tasks[(TASK_ENDS[event.type],)] += 1
        for row in rows.attempts:
            self._count_attempt(row)
        for wall_s in rows.reloads:
            self._reload_s[()].note(wall_s)

    def expect(self, agents: Iterable[str]) -> None:
        """Have the counters of these agents there before they grow: of one that begins at 1 nobody sees that it did."""
        for agent in map(self._agents, agents):
            self._claims.setdefault((agent,), 0.0)
            for outcome in Outcome:
                self._attempts.setdefault((outcome, agent), 0.0)

    def _count_attempt(self, row: EndedAttempt) -> None:
        agent, model = self._agents(row.agent), self._models(row.model)
        self._attempts[(row.outcome, agent)] += 1
        self._tokens[(agent, model, "in")] += row.tokens_in
        self._tokens[(agent, model, "out")] += row.tokens_out
        self._dollars[(agent, model)] += row.cost_usd

    def families(self) -> list[Family]:
        """What was counted so far."""
        return [
            counter("claims", "Tasks that were given to an agent.", ("agent",), dict(self._claims)),
            counter("attempts_ended", "Attempts that ended.", ("outcome", "agent"), dict(self._attempts)),
            counter("tasks_ended", "Tasks that landed, failed or were cancelled.", ("end",), dict(self._tasks)),
            counter("tokens", "Tokens of attempts that ended.", ("agent", "model", "direction"), dict(self._tokens)),
            counter("cost_usd", "Dollars of attempts that ended.", ("agent", "model"), dict(self._dollars)),
            counter("events_missed", "Events that came too fast to be counted here.", (), {(): self._missed}),
            histogram("gate_seconds", "How long gates ran.", ("result",), dict(self._gate_s), SLOW_S),
            histogram(
                "reload_seconds",
                "From when a generation was made until it proved itself or failed.",
                (),
                self._reload_s,
                SLOW_S,
            ),
        ]


def _told(event: Event) -> Told:
    try:
        return msgspec.json.decode(event.data, type=Told)
    except msgspec.MsgspecError:
        # A newer release's events may say it otherwise; what it is about is still counted.
        return Told()


def _read_rows(conn: Connection, attempt_ids: Sequence[str], generations: Sequence[int]) -> Rows:
    reloads = [settled_after_s(conn, generation) for generation in generations]
    return Rows(ended_attempts(conn, attempt_ids), [wall_s for wall_s in reloads if wall_s is not None])
