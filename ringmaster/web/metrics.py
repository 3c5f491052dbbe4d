"""What `/metrics` tells: counters of this image, and what is so at the moment of the scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import msgspec
import trio

from ringmaster.feed.figures import FeedFigures
from ringmaster.model.states import AttemptState
from ringmaster.protocol.daemon import QueueCounts
from ringmaster.protocol.measure import Measured
from ringmaster.queue.status import count_queue
from ringmaster.store import decisions
from ringmaster.store.connection import Connection
from ringmaster.store.interface import Store
from ringmaster.store.stats import live_attempts, reload_ends, worker_agents
from ringmaster.web.counting import Counting
from ringmaster.web.families import FAST_S, Durations, Family, Labels, Names, counter, gauge, histogram, summary
from ringmaster.web.lag import LoopLag

LIVE = tuple(state for state in AttemptState if state is not AttemptState.ENDED)
RELOADS = {
    "generation.good": "good",
    "generation.bad": "bad",
    "generation.restored": "restored",
    "generation.put_off": "put_off",
    "generation.superseded": "superseded",
}


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at in a scrape. measured: what the server's meter counted. generation: the one that runs, or 0."""

    store: Store
    counting: Counting
    lag: LoopLag
    measured: Callable[[], Measured]
    feed: Callable[[], FeedFigures]
    generation: Callable[[], int]
    version: str


class Stored(msgspec.Struct, frozen=True):
    """What one read of the store gives. live: attempts by agent and state.

    reloads: by the type of their last event. agents: those that workers have.
    """

    queue: QueueCounts
    live: dict[tuple[str, str], int]
    decisions: int
    reloads: dict[str, int]
    agents: list[str]


class Metrics:
    """Answers scrapes, which may come side by side."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._agents = Names()

    async def text(self) -> bytes:
        """The text of one scrape.

        The store is read on its reader's thread and the text made on another, so that the loop is held for a
        millisecond or two. Cancelled, it is given up.
        """
        stored = await self._sources.store.read(read_stored)
        families = self.families(stored)
        return await trio.to_thread.run_sync(_encode, families, abandon_on_cancel=True)

    def families(self, stored: Stored) -> list[Family]:
        """Everything there is to tell."""
        sources = self._sources
        feed, measured, batches = sources.feed(), sources.measured(), sources.store.times.batches
        sources.counting.expect(stored.agents)
        # Where nothing lives that is a figure too: what is missing is less than nothing to whoever compares.
        live: Counter[tuple[str, ...]] = Counter(dict.fromkeys(product(map(self._agents, stored.agents), LIVE), 0))
        for (agent, state), count in stored.live.items():
            live[(self._agents(agent), state)] += count
        reloads: dict[Labels, float] = {(end,): stored.reloads.get(type, 0) for type, end in RELOADS.items()}
        about: dict[Labels, float] = {(sources.version, str(sources.generation())): 1.0}
        return [
            gauge("build_info", "Version and generation of the code that runs.", ("version", "generation"), about),
            gauge("tasks", "Tasks by what a person sees.", ("state",), _by_state(stored.queue)),
            gauge("attempts_live", "Attempts that have not ended.", ("agent", "state"), live),
            gauge("decisions_open", "Questions that wait for a person.", (), {(): stored.decisions}),
            counter("reloads", "Ends of generations of the daemon's own code, of all time.", ("outcome",), reloads),
            *sources.counting.families(),
            histogram(
                "loop_turn_seconds",
                "How long turns of the loop took: whatever became due meanwhile waited.",
                (),
                {(): Durations(sources.lag.buckets, sources.lag.sum_s)},
                FAST_S,
            ),
            histogram(
                "store_batch_seconds",
                "How long batches of writes took, each durable.",
                (),
                {(): Durations(batches.buckets, batches.sum_s)},
                FAST_S,
            ),
            counter("store_batch_calls", "Writes that were in those batches.", (), {(): batches.calls}),
            *_feed_families(feed),
            *_rpc_families(measured),
        ]


def read_stored(conn: Connection) -> Stored:
    """What a scrape asks of the store, in one snapshot."""
    return Stored(
        queue=count_queue(conn),
        live=live_attempts(conn),
        decisions=decisions.count_open(conn),
        reloads=reload_ends(conn),
        agents=worker_agents(conn),
    )


def _by_state(queue: QueueCounts) -> dict[tuple[str, ...], float]:
    return {(state,): count for state, count in msgspec.structs.asdict(queue).items()}


def _feed_families(feed: FeedFigures) -> list[Family]:
    return [
        gauge("feed_subscribers", "Subscribers of the feed.", (), {(): feed.subscribers}),
        counter("feed_frames", "Frames that were given out to subscribers.", (), {(): feed.frames}),
        counter("feed_bytes", "Bytes of those frames.", (), {(): feed.bytes}),
        counter("feed_resyncs", "Times a subscriber was too slow and caught up again.", (), {(): feed.resyncs}),
        counter(
            "feed_rendered_bytes", "Output that was read, cleaned and redacted, once.", (), {(): feed.rendered_bytes}
        ),
    ]


def _rpc_families(measured: Measured) -> list[Family]:
    rows = measured.methods
    errors: dict[Labels, float] = {(row.name, "refused"): float(row.errors) for row in rows if row.errors}
    errors |= {(row.name, "internal"): float(row.internal_errors) for row in rows if row.internal_errors}
    calls: dict[Labels, tuple[int, float]] = {(row.name,): (row.calls, row.sum_s) for row in rows}
    return [
        summary("rpc_seconds", "Calls that were answered, and how long that took.", ("method",), calls),
        counter("rpc_errors", "Answers that were refusals, or failures of the daemon.", ("method", "kind"), errors),
    ]


def _encode(families: Sequence[Family]) -> bytes:
    # Only who is scraped loads the library, and not in the pause of a switch.
    from ringmaster.web.exposition import encode_metrics

    return encode_metrics(families)
