"""Filling free seats: one trio task that wakes on events and on the next due time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from ringmaster.agents.base import Account
from ringmaster.bus import Wakeup
from ringmaster.model.budget import next_day_at
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.ids import make_token
from ringmaster.model.worker import Worker
from ringmaster.queue.blockers import spread_further
from ringmaster.queue.claim import Claim, claim_for_worker, seat_of
from ringmaster.queue.labels import follow_limits
from ringmaster.queue.limits import UNBOUND, Allowance, Bounds, bounds_of
from ringmaster.queue.obstacles import is_free_seat, of_house, of_queue, resting_agents
from ringmaster.store import attempts, pauses, tasks, workers
from ringmaster.store.connection import Connection
from ringmaster.store.seats import next_place, task_at
from ringmaster.workers.room import SHORT, look_at_house
from ringmaster.workers.surroundings import Surroundings

WORK_EVENTS = frozenset(
    {
        "task.created",
        "task.edited",
        "task.opened",
        "task.released",
        "task.restored",
        "task.deferred",
        "queue.resumed",
        "task.unblocked",
        "task.dependencies_changed",
        "budget.changed",
        "decision.answered",
        "decision.withdrawn",
        "project.added",
        "project.edited",
        "project.resumed",
    }
)
"""After these there may be more to do: worth a look only where a seat is free."""
SEAT_EVENTS = frozenset(
    {"worker.spawned", "worker.started", "worker.freed", "account.resumed", "agent.resumed", "daemon.recovered"}
)
SPREAD_EVENT = "task.spreading"
LONGEST_WAIT_S = 60.0
ROOM_RETRY_S = 5.0
SEATS_PER_ROUND = 32
NOBODY: Mapping[str, Account] = {}


class Dispatched(msgspec.Struct, frozen=True):
    """The claims of one round, and when the next task that waits for a time is due, or a used-up budget's next day.

    is_full: no seat was free. is_unfinished: other rows have still to follow from a change; another round goes on.
    """

    claims: tuple[Claim, ...]
    next_due_at: float | None
    is_full: bool = False
    is_unfinished: bool = False


class Vacancy:
    """Whether a round could give anything out: not after one that found every seat taken, until a seat is free.

    A round's finding counts only when no seat has become free since it began. Otherwise one that was under way at
    that moment would close what the event has just opened, and the work that comes next would wake nobody.
    """

    def __init__(self) -> None:
        self.is_open = True
        self._openings = 0

    def reopen(self) -> None:
        """A seat may be free now."""
        self.is_open = True
        self._openings += 1

    def begin_round(self) -> int:
        """What to give to `close` after the round that begins now."""
        return self._openings

    def close(self, begun: int) -> None:
        """A round found every seat taken."""
        self.is_open = begun != self._openings

    def wakes(self, event: Event) -> bool:
        """Take an event in: whether a free seat may be filled because of it."""
        if event.type in SEAT_EVENTS:
            self.reopen()
            return True
        if event.type == SPREAD_EVENT:
            # The dispatcher works it off, also without a seat to fill.
            return True
        return self.is_open and event.type in WORK_EVENTS


Kind = tuple[str, str, tuple[str, ...]]


def kind_of(worker: Worker) -> Kind:
    """What a seat takes tasks by: what one is given nothing, another of its kind is not either."""
    return worker.agent, worker.project_id, worker.capabilities


def _first_seat(conn: Connection, able: Sequence[Worker], allowance: Allowance) -> Worker:
    """The seat whose first task comes before those of the others.

    So a dear task is asked for while the budget has room for it, and not after plainer seats took that for later ones.
    """
    found = []
    for place, worker in enumerate({kind_of(one): one for one in reversed(able)}.values()):
        allowance.look(worker.agent)
        seq = next_place(conn, seat_of(worker, allowance))
        task = task_at(conn, seq) if seq is not None else None
        found.append((seq is None, task.rank if task is not None else 0, seq or 0, place, worker))
    return min(found, key=lambda one: one[:4])[4]


def fill_seats(
    conn: Connection,
    tokens: Sequence[str],
    max_running: int,
    rng: random.Random,
    payers: Mapping[str, Account] = NOBODY,
    bounds: Bounds = UNBOUND,
) -> Dispatched:
    """Give each free seat the first task it can take, in one transaction.

    tokens: one per seat that may be filled in this round; more seats wait for the next. bounds: what settings limit.
    payers: who pays for each agent; the seats of one whose account is paused stay free until that ends.
    """
    # Also without a free seat: what is due and stays marked as waiting for its time would wake the dispatcher for ever.
    allowance = Allowance(conn, bounds)
    tasks.release_due(conn)
    if follow_limits(conn, bounds.labels):
        return Dispatched((), tasks.next_due_at(conn), is_unfinished=True)
    is_spreading = spread_further(conn)
    if any(of_queue(pauses.queue_pause(conn))):
        return Dispatched((), tasks.next_due_at(conn), is_unfinished=is_spreading)
    claims: list[Claim] = []
    free = [w for w in workers.all_workers(conn) if is_free_seat(w) and not w.is_pulled]
    room = min(max_running - attempts.count_running(conn), len(tokens)) if free else 0
    rests = resting_agents(conn, {agent: account.id for agent, account in payers.items()})
    resting = {agent: account.paused_until_at or conn.now for agent, account in rests.items()}
    has_budgets = bool(free and bounds.metered) and allowance.look(free[0].agent).has_budgets
    waiting = [worker for worker in free if worker.agent not in resting]
    idle: set[Kind] = set()
    while len(claims) < room:
        able = [worker for worker in waiting if kind_of(worker) not in idle]
        if not able:
            break
        worker = _first_seat(conn, able, allowance) if has_budgets else able[0]
        claim = claim_for_worker(conn, worker.id, tokens[len(claims)], rng=rng, allowance=allowance)
        if claim is not None:
            claims.append(claim)
            waiting.remove(worker)
            if has_budgets:
                # What a dearer task kept shut was opened by the claim: that task is asked for first once more.
                idle.clear()
        else:
            idle.add(kind_of(worker))
    due = [at for at in (tasks.next_due_at(conn), *(resting[w.agent] for w in free if w.agent in resting)) if at]
    if allowance.held_by_budget is not None:
        due.append(next_day_at(allowance.books.day))
    is_unfinished = is_spreading or allowance.is_unfinished
    return Dispatched(tuple(claims), min(due, default=None), is_full=not free, is_unfinished=is_unfinished)


async def run_dispatcher(
    sur: Surroundings,
    wakeup: Wakeup,
    vacancy: Vacancy,
    start_attempt: Callable[[Claim], None],
    is_held: Callable[[], bool],
) -> None:
    """Fill seats for ever. `start_attempt` is called for each claim after it is durable.

    Nothing is claimed while `is_held` says so, or `of_house` names something. Cancelled between rounds.
    """
    while True:
        due_at: float | None = None
        closed = next(of_house(look_at_house(sur, is_ending=is_held())), None)
        if closed is not None and closed.kind in SHORT and not sur.store.is_degraded:
            # An agent would only fail for it. Nothing says when other programs give back what they hold.
            due_at = sur.now() + ROOM_RETRY_S
        elif closed is None:
            begun = vacancy.begin_round()
            dispatched = await _dispatch_round(sur)
            if dispatched.is_full:
                vacancy.close(begun)
            for claim in dispatched.claims:
                start_attempt(claim)
            if dispatched.claims or dispatched.is_unfinished:
                wakeup.set()
            due_at = dispatched.next_due_at
        wait_s = LONGEST_WAIT_S if due_at is None else max(0.01, due_at - sur.now())
        with trio.move_on_after(min(wait_s, LONGEST_WAIT_S)):
            await wakeup.wait()


async def _dispatch_round(sur: Surroundings) -> Dispatched:
    room = SEATS_PER_ROUND if sur.starts_left is None else min(SEATS_PER_ROUND, sur.starts_left)
    tokens = [make_token(sur.rng) for _ in range(room)]
    try:
        bounds = bounds_of(sur.settings)
        most = sur.settings.daemon.max_running
        done = await sur.store.write(fill_seats, tokens, most, sur.rng, dict(sur.payers), bounds)
    except RingmasterError as error:
        # The disk filled up in this very round: the store says so to everybody, and when it is over.
        if error.kind is not ErrorKind.DISK_FULL:
            raise
        return Dispatched((), None)
    if sur.starts_left is not None:
        sur.starts_left -= len(done.claims)
    return done
