"""Metrics: what is counted of which event, what a scrape says, and that neither names nor time make it grow."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ringmaster.bus import Bus
from ringmaster.feed.figures import FeedFigures
from ringmaster.model.event import Event
from ringmaster.model.outcomes import Outcome
from ringmaster.model.receipt import GateResult
from ringmaster.queue.costs import Costs, begin_agent, note_costs
from ringmaster.queue.report import end_attempt
from ringmaster.reload.meter import Meter
from ringmaster.store.connection import Connection
from ringmaster.web.counting import WANTED, Counting
from ringmaster.web.families import FAST_S, MOST_NAMES, OTHER, SLOW_S, Names
from ringmaster.web.lag import WINDOW_S, LoopLag
from ringmaster.web.metrics import Metrics, Sources
from tests.unit.queue.making import Queue, open_queue

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
Sample = dict[tuple[str, frozenset[tuple[str, str]]], float]


class House:
    """What a scrape looks at, around a queue in memory."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.feed = FeedFigures()
        self.meter = Meter(queue.clock)
        self.lag = LoopLag()
        self.counting = Counting(queue.store, Bus())
        self.metrics = Metrics(
            Sources(
                store=queue.store,
                counting=self.counting,
                lag=self.lag,
                measured=self.meter.snapshot,
                feed=lambda: self.feed,
                generation=lambda: 7,
                version="1.2",
            )
        )

    async def count(self) -> None:
        """All that has happened so far."""
        await self.counting.count([event for event in await self.queue.events() if event.type in WANTED])

    async def scrape(self) -> Sample:
        """Every sample by its name and labels."""
        families = text_string_to_metric_families((await self.metrics.text()).decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


def at(samples: Sample, name: str, **labels: str) -> float:
    return samples[f"ringmaster_{name}", frozenset(labels.items())]


@pytest.fixture
async def house():
    async with open_queue() as queue:
        yield House(queue)


async def test_an_attempt_is_counted_by_its_agent_model_and_outcome(house: House):
    queue = house.queue
    attempt = (await queue.begin()).attempt
    agent = attempt.agent
    begun = await house.scrape()
    assert at(begun, "attempts_live", agent=agent, state="running") == 1
    assert at(begun, "tasks", state="running") == 1

    def work(conn: Connection) -> None:
        begin_agent(conn, attempt, session_id="s", model="m", account_id="", agent=agent, label="")
        note_costs(conn, attempt.id, attempt.token, Costs(model="m", cost_usd=0.5, tokens_in=10, tokens_out=3))

    await queue.do(work)
    await queue.do(end_attempt, attempt.id, attempt.token, Outcome.CANCELLED, "so", rng=random.Random(1))
    await house.count()
    ended = await house.scrape()
    assert at(ended, "claims_total", agent=agent) == 1
    assert at(ended, "attempts_ended_total", agent=agent, outcome="cancelled") == 1
    assert at(ended, "tasks_ended_total", end="cancelled") == 1
    assert at(ended, "tokens_total", agent=agent, model="m", direction="in") == 10
    assert at(ended, "tokens_total", agent=agent, model="m", direction="out") == 3
    assert at(ended, "cost_usd_total", agent=agent, model="m") == 0.5
    assert at(ended, "tasks", state="cancelled") == 1
    assert at(ended, "attempts_live", agent=agent, state="running") == 0


async def test_gates_and_reloads_are_counted_with_what_they_took(house: House):
    def tell(conn: Connection) -> None:
        conn.emit("gate.ended", data={"result": "green", "wall_s": 5.0})
        conn.emit("gate.ended", data={"result": "red", "wall_s": 70.0})
        # The first is what was installed: nothing was reloaded for it.
        for number, (state, tried_at) in enumerate((("good", 10.0), ("good", 20.0), ("bad", None)), 1):
            conn.execute(
                "INSERT INTO generations (release, digest, python, source, state, parent, created_at, tried_at,"
                " settled_at) VALUES ('r', 'd', 'p', 'target', ?, ?, 10.0, ?, 30.0)",
                (state, number - 1, tried_at),
            )
            conn.emit(f"generation.{state}", data={"generation": number})

    await house.queue.do(tell)
    await house.count()
    seen = await house.scrape()
    assert at(seen, "gate_seconds_count", result="green") == 1
    assert at(seen, "gate_seconds_sum", result="red") == 70.0
    assert at(seen, "gate_seconds_bucket", result="red", le="64.0") == 0
    assert at(seen, "gate_seconds_bucket", result="red", le="128.0") == 1
    assert (at(seen, "reloads_total", outcome="good"), at(seen, "reloads_total", outcome="bad")) == (1, 1)
    assert at(seen, "reloads_total", outcome="restored") == 0
    again = await House(house.queue).scrape()
    assert at(again, "reloads_total", outcome="bad") == 1, "the image that failed has not taken it along"
    # What its gate refused was never switched to.
    assert (at(seen, "reload_seconds_count"), at(seen, "reload_seconds_sum")) == (1, 20.0)


async def test_a_scrape_tells_what_the_process_measures_of_itself(house: House):
    house.meter.note("task.add", 0.25, "")
    house.meter.note("task.add", 0.25, "usage")
    batches = house.queue.store.times.batches
    was, calls = sum(batches.buckets), batches.calls
    batches.note(3, 0.001)
    house.feed.subscribers, house.feed.frames, house.feed.bytes = 2, 5, 900
    seen = await house.scrape()
    assert at(seen, "build_info", version="1.2", generation="7") == 1
    assert at(seen, "rpc_seconds_count", method="task.add") == 2
    assert at(seen, "rpc_seconds_sum", method="task.add") == 0.5
    assert at(seen, "rpc_errors_total", method="task.add", kind="refused") == 1
    assert (at(seen, "store_batch_seconds_count"), at(seen, "store_batch_calls_total")) == (was + 1, calls + 3)
    assert (at(seen, "feed_subscribers"), at(seen, "feed_bytes_total")) == (2, 900)
    assert seen["process_resident_memory_bytes", frozenset()] > 1e6
    assert seen["process_open_fds", frozenset()] > 3


async def test_what_may_happen_is_there_before_it_does(house: House):
    seen = await house.scrape()
    for name, label, values in (
        ("tasks_ended_total", "end", ("landed", "failed", "cancelled")),
        ("reloads_total", "outcome", ("good", "bad", "restored", "put_off", "superseded")),
        ("gate_seconds_count", "result", tuple(GateResult)),
    ):
        assert [at(seen, name, **{label: value}) for value in values] == [0] * len(values)
    await house.counting.count([Event(1, 1.0, "attempt.started", data=msgspec.Raw(b'{"agent":"a"}'))])
    insert = "INSERT INTO workers (id, agent, state, created_at) VALUES ('w9', 'b', 'active', 1.0)"
    await house.queue.do(lambda conn: conn.execute(insert))
    seen = await house.scrape()
    assert at(seen, "claims_total", agent="b") == 0
    assert at(seen, "attempts_ended_total", agent="b", outcome="failed") == 0
    live = [at(seen, "attempts_live", agent="b", state=state) for state in ("running", "validating", "landing")]
    assert live == [0] * 3
    assert [at(seen, "attempts_ended_total", agent="a", outcome=outcome) for outcome in Outcome] == [0] * len(Outcome)


async def test_names_and_types_are_as_prometheus_would_have_them(house: House):
    await house.count()
    house.meter.note("task.add", 0.25, "usage")
    seen = 0
    for family in text_string_to_metric_families((await house.metrics.text()).decode()):
        seen += 1
        assert family.documentation, family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        # The unit is a base unit and in full; only what grows is a total, only histograms and summaries have counts.
        assert not re.search(r"_(ms|us|ns|millis\w*|minutes|hours|kb|mb|kilobytes|count|sum|bucket)$", family.name)
        assert family.type != "unknown"
        endings = {sample.name.removeprefix(family.name) for sample in family.samples}
        allowed = {
            "counter": {"_total"},
            "gauge": {""},
            "histogram": {"_bucket", "_count", "_sum"},
            "summary": {"_count", "_sum"},
        }
        assert endings <= allowed[family.type], family.name
        assert all(sample.value >= 0 for sample in family.samples)
    assert seen > 20


async def test_labels_that_a_client_makes_up_break_no_line_and_names_have_a_bound(house: House):
    odd = 'a"b\\c\nd{}'
    house.meter.note(odd, 0.1, "")
    seen = await house.scrape()
    assert at(seen, "rpc_seconds_count", method=odd) == 1
    started = [Event(n, 1.0, "attempt.started", data=b'{"agent":"a%d"}' % n) for n in range(MOST_NAMES + 5)]  # type: ignore[arg-type]
    await house.counting.count(started)
    claims = {labels: value for (name, labels), value in (await house.scrape()).items() if "claims_total" in name}
    assert len(claims) == MOST_NAMES + 1
    assert claims[frozenset({("agent", OTHER)})] == 5


async def test_what_cannot_be_read_of_an_event_is_counted_all_the_same(house: House):
    await house.counting.count([Event(1, 1.0, "gate.ended", data=b'{"wall_s":"long"}')])  # type: ignore[arg-type]
    assert at(await house.scrape(), "gate_seconds_count", result="") == 1


def test_names_that_are_known_stay_when_there_are_too_many():
    names = Names(most=2)
    assert [names(name) for name in ("a", "b", "c", "a", "b")] == ["a", "b", OTHER, "a", "b"]


@pytest.mark.parametrize("bound_s", [*FAST_S, *SLOW_S])
def test_a_bound_of_a_histogram_is_the_end_of_a_bucket(bound_s: float):
    assert math.frexp(bound_s)[0] == 0.5


def test_the_lag_is_what_the_turns_of_the_last_minute_took():
    now = 0.0
    lag = LoopLag(lambda: now)

    def turn(took_s: float) -> None:
        nonlocal now
        lag.after_io_wait(0)
        now += took_s
        lag.before_io_wait(0)

    assert lag.p99_s == 0.0
    turn(0.5)
    assert 0.5 <= lag.p99_s <= 0.57
    now += WINDOW_S
    turn(0.001)
    assert 0.5 <= lag.p99_s <= 0.57, "half a minute ago still counts"
    now += WINDOW_S
    turn(0.001)
    assert lag.p99_s < 0.0012
    turn(0.25)
    now += 2 * WINDOW_S
    turn(0.001)
    assert lag.p99_s < 0.0012, "nothing is known of a time in which the loop slept"
    assert (sum(lag.buckets), round(lag.sum_s, 6)) == (5, 0.753)


async def test_the_page_names_every_metric_and_no_other(house: House):
    text = (await house.metrics.text()).decode()
    told = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)}
    rows = re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE)
    assert {name.removesuffix("_total") for name in rows} == told
