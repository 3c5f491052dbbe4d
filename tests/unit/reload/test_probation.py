"""Probation: the rules on figures alone, and the looks on a clock of their own."""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.measure import Measured
from ringmaster.reload.meter import Meter
from ringmaster.reload.probation import Vitals, judge, run_probation
from ringmaster.reload.probes import NotWell, call_itself, read_waited_s, take_measure
from ringmaster.store.inline import InlineStore
from ringmaster.store.instance import note_alive
from tests.fakes.empty_store import open_empty_store

ANSWER = b'{"jsonrpc":"2.0","id":"probe","result":{}}\n'
FINE = Vitals(calls_s=(0.001,) * 5, writes_s=(0.004,) * 5)


def measure(*methods: tuple[str, int, float], errors: int = 0, **more: Any) -> Measured:
    """So many calls of each method, each of so many seconds; `errors` more of the first that failed."""
    meter = Meter(lambda: 0.0)
    for name, calls, wall_s in methods:
        for _ in range(calls):
            meter.note(name, wall_s, "")
    for _ in range(errors):
        meter.note(methods[0][0], methods[0][2], "internal")
    return msgspec.structs.replace(meter.snapshot(), **more)


OLD = measure(("task.list", 1000, 0.004), ("task.add", 1000, 0.02), own_call_s=0.001, write_s=0.004)


@pytest.mark.parametrize(
    ("window", "vitals"),
    [
        (measure(("task.list", 1000, 0.004)), FINE),
        # Eight times slower, and still nothing that anybody notices.
        (measure(("task.list", 1000, 0.035)), FINE),
        # Clients ask for other things than before: the old generation was as slow at these.
        (measure(("task.add", 1000, 0.055)), FINE),
        # A handful of calls says nothing, nor does a method that the old generation never answered.
        (measure(("task.list", 29, 5.0)), FINE),
        (measure(("task.list", 1000, 0.004), ("cost.list", 500, 3.0)), FINE),
        # What waits is meant to take long.
        (measure(("task.list", 1000, 0.004), ("task.wait", 500, 300.0)), FINE),
        # So early the answers may be those that waited through the switch.
        (measure(("task.list", 1000, 0.3)), msgspec.structs.replace(FINE, is_settled=False)),
        (Measured(), msgspec.structs.replace(FINE, calls_s=(0.3,) * 3, is_settled=False)),
        # Slow now and then is a busy machine; code that is slow is so each time.
        (measure(("task.list", 100, 0.004)), msgspec.structs.replace(FINE, calls_s=(0.9, 1.5, 0.04, 1.2))),
        (measure(("task.list", 100, 0.004)), msgspec.structs.replace(FINE, late_in_row=2, lag_s=9.0)),
        (
            measure(("task.list", 100, 0.004)),
            msgspec.structs.replace(FINE, calls_s=(0.001,) * 3 + (1.9, math.inf)),
        ),
        (measure(("task.list", 100, 0.004)), msgspec.structs.replace(FINE, writes_s=(4.9,))),
        # A machine that gives its cores to others four fifths of the time: all takes five times as long.
        (measure(("task.list", 1000, 0.2)), msgspec.structs.replace(FINE, withheld=0.8)),
    ],
)
def test_a_good_release_passes(window, vitals):
    assert judge(OLD, window, vitals) == ""


@pytest.mark.parametrize(
    ("window", "vitals", "words"),
    [
        (measure(("task.list", 1000, 0.3)), FINE, "the median of task.list is 3"),
        # Each method is quick in the middle; one call in fifty is not.
        (
            measure(("task.list", 1000, 0.004), ("task.list", 20, 0.4)),
            FINE,
            "the 99th percentile of 1020 calls is 4",
        ),
        (
            measure(("task.list", 100, 0.004), errors=1),
            FINE,
            "1 internal errors in 101 calls (task.list); before: 0 in",
        ),
        (Measured(), msgspec.structs.replace(FINE, late_in_row=3, lag_s=1.5), "late 3 times in a row, last by 1.5 s"),
        (Measured(), msgspec.structs.replace(FINE, calls_s=(2.1, 2.5)), "2 calls to itself in a row took over 2 s"),
        (
            Measured(),
            msgspec.structs.replace(FINE, calls_s=(0.1, math.inf, math.inf), trouble="it hung up"),
            "2 calls to itself in a row failed: it hung up",
        ),
        (Measured(), msgspec.structs.replace(FINE, writes_s=(5.1,)), "a durable write took too long"),
        (
            Measured(),
            msgspec.structs.replace(FINE, writes_s=(math.inf,), trouble="it cannot write"),
            "a durable write failed: it cannot write",
        ),
        (Measured(), msgspec.structs.replace(FINE, calls_s=(0.3,) * 3), "takes 300 ms at best, before: 1 ms"),
        (Measured(), msgspec.structs.replace(FINE, unadopted=("rm-a/1", "rm-b/2")), "not adopted: rm-a/1, rm-b/2"),
    ],
)
def test_a_breach_is_told_with_its_figures(window, vitals, words):
    assert words in judge(OLD, window, vitals)


def test_errors_that_the_old_generation_had_as_well_are_no_news():
    old = measure(("task.list", 990, 0.004), errors=10)
    assert judge(old, measure(("task.list", 97, 0.004), errors=3), FINE) == ""
    assert "4 internal errors" in judge(old, measure(("task.list", 96, 0.004), errors=4), FINE)


def test_without_old_figures_only_what_is_bad_by_itself_counts():
    slow = measure(("task.list", 1000, 3.0))
    assert judge(None, slow, FINE) == ""
    assert "before: none known" in judge(None, measure(("task.list", 9, 0.1), errors=1), FINE)
    assert judge(None, Measured(), msgspec.structs.replace(FINE, calls_s=(0.2,) * 3)) == ""
    assert "before: unknown" in judge(None, Measured(), msgspec.structs.replace(FINE, calls_s=(0.3,) * 3))


def test_old_writes_that_took_long_on_a_slow_disk_make_long_ones_good():
    slow = msgspec.structs.replace(OLD, write_s=3.0)
    assert judge(slow, Measured(), msgspec.structs.replace(FINE, writes_s=(8.0,))) == ""


def test_what_the_machine_withholds_is_read_from_the_kernel():
    first = read_waited_s()
    assert 0.0 <= first <= read_waited_s()


# The looks. The clock leaps when nothing is to be done, so that 30 s take none.


class House:
    """What a daemon gives to its probation, and what a test makes of it. answer: sent to each call, after `delay_s`."""

    def __init__(self, store: InlineStore, path: Path) -> None:
        self.store = store
        self.path = path
        self.meter = Meter(lambda: 0.0)
        self.answer = ANSWER
        self.delay_s = 0.0
        self.calls = 0
        self.beats = 0
        self.unadopted: tuple[str, ...] = ()

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            async for _ in stream:
                self.calls += 1
                await trio.sleep(self.delay_s)
                if not self.answer:
                    return
                await stream.send_all(self.answer)

    def beat(self) -> None:
        self.beats += 1

    async def prove(self, probation_s: float = 30.0, **more: Any) -> str:
        return await run_probation(
            generation=2,
            socket=self.path,
            meter=self.meter,
            beat=self.beat,
            unadopted=lambda: self.unadopted,
            probation_s=probation_s,
            **{"store": self.store, "before": OLD, "waited": lambda: 0.0, **more},
        )


@asynccontextmanager
async def open_house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_empty_store(clock=itertools.count(1.0).__next__) as store:
        house = House(store, tmp_path / "rm.sock")
        with trio.socket.socket(trio.socket.AF_UNIX) as listening:
            await listening.bind(str(house.path))
            listening.listen(16)
            async with trio.open_nursery() as nursery:
                listeners = [trio.SocketListener(listening)]
                await nursery.start(trio.serve_listeners, house.serve, listeners)
                yield house
                nursery.cancel_scope.cancel()


async def alive(store: InlineStore) -> str:
    return str(await store.read(lambda conn: conn.value("SELECT value FROM meta WHERE key = 'alive'")))


async def test_a_good_generation_is_looked_at_for_the_whole_time(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        begun_at = trio.current_time()
        assert await house.prove() == ""
        assert 30.0 <= trio.current_time() - begun_at < 31.0
        assert house.beats >= 100
        assert house.calls >= 25
        assert (await alive(house.store)).startswith("generation 2 at ")


async def test_a_breach_ends_it_at_once(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        async with trio.open_nursery() as nursery:

            async def fail_later() -> None:
                await trio.sleep(3.0)
                house.meter.note("task.list", 0.001, "internal")

            nursery.start_soon(fail_later)
            reason = await house.prove()
        assert "1 internal errors in 1 calls (task.list)" in reason
        assert trio.current_time() < 4.0


@pytest.mark.parametrize(("first_s", "then_s", "reason"), [(2.0, 0.004, ""), (0.004, 2.0, "the median of task.list")])
async def test_what_waited_through_the_switch_is_not_held_against_it(
    tmp_path: Path, autojump_clock: MockClock, first_s: float, then_s: float, reason: str
):
    async with open_house(tmp_path) as house:
        async with trio.open_nursery() as nursery:

            async def be_used() -> None:
                while True:
                    for _ in range(20):
                        house.meter.note("task.list", first_s if trio.current_time() < 1.5 else then_s, "")
                    await trio.sleep(0.1)

            nursery.start_soon(be_used)
            found = await house.prove(10.0)
            assert found.startswith(reason) if reason else found == ""
            assert trio.current_time() == pytest.approx(7.0 if reason else 10.0, abs=0.5)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("probation_s", "reason"), [(2.0, "the median of task.list"), (0.5, "")])
async def test_a_short_probation_judges_answers_at_its_end_unless_they_are_one_burst(
    tmp_path: Path, autojump_clock: MockClock, probation_s: float, reason: str
):
    async with open_house(tmp_path) as house:
        async with trio.open_nursery() as nursery:

            async def be_slow() -> None:
                while True:
                    for _ in range(100):
                        house.meter.note("task.list", 0.3, "")
                    await trio.sleep(0.05)

            nursery.start_soon(be_slow)
            found = await house.prove(probation_s)
            assert found.startswith(reason) if reason else found == ""
            assert trio.current_time() >= probation_s
            nursery.cancel_scope.cancel()


async def test_what_was_measured_before_it_began_is_not_its_own(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        house.meter.note("task.list", 9.0, "internal")
        assert await house.prove(2.0) == ""


@pytest.mark.parametrize(
    ("answer", "delay_s", "words"),
    [
        (b"", 0.0, "calls to itself in a row failed: it answered a call to itself with nothing"),
        (b'{"jsonrpc":"2.0","id":"probe","error":{}}\n', 0.0, "failed: it answered a call to itself with {"),
        (ANSWER, 60.0, "failed: no answer within 2.0 s"),
        (ANSWER, 0.3, "a call to itself takes 300 ms at best, before: 1 ms"),
    ],
)
async def test_a_generation_that_does_not_answer_itself_well_is_bad(
    tmp_path: Path, autojump_clock: MockClock, answer: bytes, delay_s: float, words: str
):
    async with open_house(tmp_path) as house:
        house.answer, house.delay_s = answer, delay_s
        assert words in await house.prove()
        assert trio.current_time() < 8.0


async def test_a_short_probation_waits_for_the_first_answer(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        house.delay_s = 60.0
        assert "no answer within" in await house.prove(0.5)


async def test_nobody_listening_is_a_breach(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        house.path = tmp_path / "nothing.sock"
        assert "it cannot be reached: No such file or directory" in await house.prove()


async def test_live_attempts_must_have_been_adopted_when_the_time_is_over(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        house.unadopted = ("rm-a/1",)
        assert await house.prove(2.0) == "live attempts that were not adopted: rm-a/1"
        assert trio.current_time() >= 2.0


class Refusing:
    """A store of which each write ends so; with None it never ends."""

    def __init__(self, error: RingmasterError | None) -> None:
        self._error = error

    def write_soon(self, on_done: Callable[[Any], None], fn: object, *args: object) -> None:
        assert fn is note_alive
        if self._error is not None:
            trio.lowlevel.current_trio_token().run_sync_soon(on_done, self)

    def outcome(self) -> None:
        assert self._error is not None
        raise self._error


async def test_a_write_that_never_ends_is_a_breach(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        assert await house.prove(store=Refusing(None)) == "a durable write failed: it was not durable within 5.0 s"
        assert trio.current_time() < 6.0
        assert house.beats >= 10, "the loop lives, and the guard is told so"


async def test_a_write_that_fails_is_a_breach_and_a_full_disk_is_not(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        broken = Refusing(RingmasterError(ErrorKind.INTERNAL, "the store has failed"))
        assert await house.prove(store=broken) == "a durable write failed: it cannot write: the store has failed"
        full = Refusing(RingmasterError(ErrorKind.DISK_FULL, "the disk is full"))
        assert await house.prove(2.0, store=full) == ""


class Leaping:
    """A clock that loses some seconds whenever it is looked at: a loop that something keeps."""

    def __init__(self, by_s: float) -> None:
        self._by_s = by_s
        self._ahead_s = 0.0

    def __call__(self) -> float:
        self._ahead_s += self._by_s
        return trio.current_time() + self._ahead_s


async def test_a_loop_that_is_kept_again_and_again_is_a_breach(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        reason = await house.prove(300.0, clock=Leaping(1.1))
        assert reason.startswith("the loop was late 3 times in a row, last by "), reason


async def test_being_kept_by_the_machine_is_no_lag(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        clock = Leaping(1.1)
        # All the time that is lost was spent waiting for a core.
        assert await house.prove(60.0, clock=clock, waited=lambda: clock._ahead_s) == ""


async def test_cancelled_it_leaves_nothing_under_way(tmp_path: Path, autojump_clock: MockClock):
    async with open_house(tmp_path) as house:
        with trio.move_on_after(5.0) as scope:
            await house.prove()
        assert scope.cancelled_caught
        calls = house.calls
        await trio.sleep(10.0)
        assert house.calls == calls


async def test_the_old_generation_tells_its_figures_for_the_next(tmp_path: Path):
    async with open_house(tmp_path) as house:
        house.meter.note("task.list", 0.01, "")
        measured = await take_measure(house.meter, house.store, house.path, 1)
        assert (measured.calls, measured.own_call_s > 0, measured.write_s > 0) == (1, True, True)
        house.answer = b""
        assert (await take_measure(house.meter, house.store, house.path, 1)).own_call_s == 0.0


async def test_a_call_to_itself_that_is_hung_up_on_is_told(tmp_path: Path):
    async with open_house(tmp_path) as house:
        house.answer = b""
        with pytest.raises(NotWell, match="with nothing"):
            await call_itself(house.path)
