"""Whether a generation on trial is as well as the one before: the rules, and the trio task that looks.

A machine under load must not fail a good release. So what the machine itself withheld (time in which the loop was
ready to run and others ran) is taken off, answers are compared with those of the old generation for the same methods
in the same proportions, and nothing is said from a handful of calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import trio

from ringmaster.model.histogram import added, percentile_s
from ringmaster.protocol.measure import Measured, Row, subtract
from ringmaster.reload.meter import Meter
from ringmaster.reload.probes import NotWell, Writing, call_itself, read_waited_s
from ringmaster.store.interface import Store

SLOWER = 3.0
"""Times the old generation's figure: below that two runs of the same code differ from each other, too."""
SLOW_S = 0.05
"""Nobody notices what is faster than this, however much slower it has become."""
SLOW_UNKNOWN_S = 0.25
"""The same for a call to itself (0.5 ms on an idle machine) where no old figure is known."""
LAG_LIMIT_S = 1.0
LATE_IN_A_ROW = 3
"""One late look is a collection of garbage or a stopped machine; three are a loop that something keeps."""
CALL_LIMIT_S = 2.0
CALLS_IN_A_ROW = 2
WRITE_LIMIT_S = 5.0
"""Slow disks take a second now and then; from ten seconds on the store itself ends the process."""
CALLS_FOR_P99 = 200
"""With fewer, the 99th percentile is one of the two slowest calls and says nothing."""
CALLS_FOR_MEDIAN = 30
OWN_CALLS = 3
WARM_UP_S = 2.0
"""The first answers go to all that waited through the switch, at once and with nothing in any cache."""
ANSWERS_AFTER_S = 5.0
"""So long answers are gathered before their figures count, or until the end."""
ANSWERS_LEAST_S = 1.0
"""Also at the end of a short probation: what was gathered in less than that is one burst, and one burst is no habit."""
LOOK_S = 0.25
PROBE_S = 1.0
MOST_WITHHELD = 0.9


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What the looks of one probation found, in seconds.

    late_in_row: looks at the loop that came later than `LAG_LIMIT_S`, the newest in a row; lag_s: the last one's.
    calls_s, writes_s: of calls to itself and durable writes, in order; infinite for one that failed, or was not
    answered within its limit. trouble: why the last one failed, in words. unadopted: live attempts that nobody looks
    after; only asked at the end. withheld: share of the time that the machine gave to others; it is taken off lag_s
    and calls_s already. is_settled: answers have been gathered for long enough to be compared.
    """

    late_in_row: int = 0
    lag_s: float = 0.0
    calls_s: tuple[float, ...] = ()
    writes_s: tuple[float, ...] = ()
    trouble: str = ""
    unadopted: tuple[str, ...] = ()
    withheld: float = 0.0
    is_settled: bool = True

    @property
    def stretch(self) -> float:
        """How much longer everything takes on a machine that withholds so much."""
        return 1.0 / (1.0 - min(max(self.withheld, 0.0), MOST_WITHHELD))


def judge(before: Measured | None, window: Measured, vitals: Vitals) -> str:
    """'' while all is well, else the breach in words with its figures.

    before: of the old generation, None where nothing is known of it. window: of this one, since it is on trial.
    """
    return (
        _judge_errors(before, window)
        or _judge_vitals(before, vitals)
        or (_judge_answers(before, window, vitals.stretch) if before is not None and vitals.is_settled else "")
    )


def _judge_errors(before: Measured | None, window: Measured) -> str:
    """An internal error is a fault of the code always; what the old generation had as well is no news."""
    rate = before.internal_errors / before.calls if before is not None and before.calls else 0.0
    allowed = math.ceil(SLOWER * rate * window.calls - 1e-9)
    if window.internal_errors <= allowed:
        return ""
    names = ", ".join(row.name for row in window.methods if row.internal_errors)
    known = f"{before.internal_errors} in {before.calls}" if before is not None and before.calls else "none known"
    return f"{window.internal_errors} internal errors in {window.calls} calls ({names}); before: {known}"


def _judge_vitals(before: Measured | None, vitals: Vitals) -> str:
    if vitals.late_in_row >= LATE_IN_A_ROW:
        return f"the loop was late {vitals.late_in_row} times in a row, last by {vitals.lag_s:.1f} s"
    failed = [call_s for call_s in vitals.calls_s[-CALLS_IN_A_ROW:] if call_s > CALL_LIMIT_S]
    if len(failed) >= CALLS_IN_A_ROW:
        if math.isinf(failed[-1]):
            return f"{len(failed)} calls to itself in a row failed: {vitals.trouble}"
        return f"{len(failed)} calls to itself in a row took over {CALL_LIMIT_S:g} s, the last {failed[-1]:.1f} s"
    if vitals.writes_s and vitals.writes_s[-1] > write_limit_s(before) * vitals.stretch:
        return f"a durable write failed: {vitals.trouble}" if vitals.trouble else "a durable write took too long"
    if vitals.is_settled and len(vitals.calls_s) >= OWN_CALLS:
        was_s = before.own_call_s if before is not None else 0.0
        limit_s = max(SLOW_S, SLOWER * was_s) if was_s else SLOW_UNKNOWN_S
        # The fastest one: code that is slow is slow each time, a busy machine is not.
        own_s = min(vitals.calls_s)
        if own_s > limit_s:
            return f"a call to itself takes {_ms(own_s)} at best, before: {_ms(was_s) if was_s else 'unknown'}"
    if vitals.unadopted:
        return f"live attempts that were not adopted: {', '.join(vitals.unadopted[:5])}"
    return ""


def _judge_answers(before: Measured, window: Measured, stretch: float) -> str:
    """Prompt methods that both generations answered: each by its median, together by their 99th percentile."""
    known = {row.name: row for row in before.methods}
    pairs = [(known[row.name], row) for row in window.methods if row.is_prompt and row.name in known]
    for old, new in pairs:
        limit_s = max(SLOWER * old.p50_s, SLOW_S) * stretch
        if min(old.calls, new.calls) >= CALLS_FOR_MEDIAN and new.p50_s > limit_s:
            return f"the median of {new.name} is {_ms(new.p50_s)}, before: {_ms(old.p50_s)} ({new.calls} calls)"
    calls = sum(new.calls for _, new in pairs)
    if calls < CALLS_FOR_P99:
        return ""
    # The old figures weighted as clients call now: asking for other things is not being slow.
    was_s = percentile_s(added(_weighted(old, new.calls / old.calls) for old, new in pairs), 0.99)
    is_s = percentile_s(added(new.buckets for _, new in pairs), 0.99)
    if is_s > max(SLOWER * was_s, SLOW_S) * stretch:
        return f"the 99th percentile of {calls} calls is {_ms(is_s)}, before: {_ms(was_s)}"
    return ""


def _weighted(row: Row, weight: float) -> dict[int, float]:
    return {bucket: count * weight for bucket, count in row.buckets.items()}


def write_limit_s(before: Measured | None) -> float:
    """How long a durable write may take."""
    return max(WRITE_LIMIT_S, SLOWER * before.write_s if before is not None else 0.0)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


async def run_probation(
    *,
    generation: int,
    store: Store,
    socket: Path,
    meter: Meter,
    before: Measured | None,
    unadopted: Callable[[], Sequence[str]],
    beat: Callable[[], None],
    probation_s: float,
    clock: Callable[[], float] = trio.current_time,
    waited: Callable[[], float] = read_waited_s,
) -> str:
    """Watch the generation that runs for `probation_s`: '' when it is good, at a breach its reason, at once.

    store, socket, meter: the daemon's own. unadopted: names the live attempts that nobody looks after (asked when the
    time is over). beat: called after each look at the loop; a loop that stands still does not call it, and is the
    guard's to judge. clock, waited: seconds of the loop's clock, and of waiting for a core. It ends later where no
    call or no write has been answered yet; each has its limit.

    Cancellation: ends the looks and the call; a write that was begun is carried out all the same. Nothing is decided
    then. Nothing is left open.
    """
    looks = _Looks(generation, store, socket, meter, before, clock, waited, min(WARM_UP_S, probation_s / 2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looks.run_calls, min(PROBE_S, probation_s / 4))
        nursery.start_soon(looks.run_writes, min(PROBE_S, probation_s / 4))
        look_s = min(LOOK_S, probation_s / 4)
        ends_at = clock() + probation_s
        while not (reason := looks.judge()) and (clock() < ends_at or not looks.is_answered):
            await looks.look(look_s)
            beat()
        reason = reason or looks.judge(tuple(unadopted()), is_over=True)
        nursery.cancel_scope.cancel()
    return reason


class _Looks:
    """What one probation has seen so far."""

    def __init__(
        self,
        generation: int,
        store: Store,
        socket: Path,
        meter: Meter,
        before: Measured | None,
        clock: Callable[[], float],
        waited: Callable[[], float],
        warm_up_s: float,
    ) -> None:
        self._generation = generation
        self._store = store
        self._socket = socket
        self._meter = meter
        self._before = before
        self._clock = clock
        self._waited = waited
        self._begun = meter.snapshot()
        self._begun_at, self._waited_before_s = clock(), waited()
        self._warm_at, self._is_warm = self._begun_at + warm_up_s, False
        self._late_in_row, self._lag_s = 0, 0.0
        self._calls_s: list[float] = []
        self._writes_s: list[float] = []
        self._is_disk_full = False
        self._trouble = ""

    @property
    def is_answered(self) -> bool:
        """Whether a call and a write have got their answers, or none is to be had for the disk is full."""
        is_written = self._is_disk_full or any(map(math.isfinite, self._writes_s))
        return is_written and any(map(math.isfinite, self._calls_s))

    def judge(self, unadopted: tuple[str, ...] = (), *, is_over: bool = False) -> str:
        """The rules on all that was seen. is_over: it is the last time."""
        seen = self._meter.snapshot()
        gathered_s = self._clock() - self._warm_at
        is_settled = self._is_warm and gathered_s >= (ANSWERS_LEAST_S if is_over else ANSWERS_AFTER_S)
        vitals = msgspec.structs.replace(self._vitals(), unadopted=unadopted, is_settled=is_settled)
        reason = judge(self._before, subtract(seen, self._begun), vitals)
        if not self._is_warm and self._clock() >= self._warm_at:
            # Errors until here have just been judged.
            self._begun, self._is_warm = seen, True
        return reason

    def _vitals(self) -> Vitals:
        elapsed_s = self._clock() - self._begun_at
        withheld_s = self._waited() - self._waited_before_s
        return Vitals(
            late_in_row=self._late_in_row,
            lag_s=self._lag_s,
            calls_s=tuple(self._calls_s),
            writes_s=tuple(self._writes_s),
            trouble=self._trouble,
            withheld=withheld_s / elapsed_s if elapsed_s > 0 else 0.0,
        )

    async def look(self, look_s: float) -> None:
        """Sleep, and see how much later than asked for the loop came back through its own doing."""
        begun_at, waited_s = self._clock(), self._waited()
        await trio.sleep(look_s)
        self._lag_s = self._clock() - begun_at - look_s - (self._waited() - waited_s)
        self._late_in_row = self._late_in_row + 1 if self._lag_s > LAG_LIMIT_S else 0

    async def run_calls(self, pause_s: float) -> None:
        """Call itself again and again, until cancelled."""
        while True:
            limit_s = CALL_LIMIT_S * self._vitals().stretch
            begun_at, waited_s = self._clock(), self._waited()
            took_s = math.inf
            try:
                with trio.move_on_after(limit_s) as scope:
                    await call_itself(self._socket)
                    took_s = max(0.0, self._clock() - begun_at - (self._waited() - waited_s))
                if scope.cancelled_caught:
                    self._trouble = f"no answer within {limit_s:.1f} s"
            except NotWell as error:
                self._trouble = str(error)
            self._calls_s.append(took_s)
            await trio.sleep(pause_s)

    async def run_writes(self, pause_s: float) -> None:
        """Write again and again, until cancelled."""
        while True:
            limit_s = write_limit_s(self._before) * self._vitals().stretch
            begun_at = self._clock()
            try:
                with trio.move_on_after(limit_s) as scope:
                    self._is_disk_full = not await Writing(self._store, self._generation).wait()
                    if not self._is_disk_full:
                        self._writes_s.append(self._clock() - begun_at)
                if scope.cancelled_caught:
                    raise NotWell(f"it was not durable within {limit_s:.1f} s")
            except NotWell as error:
                self._trouble = str(error)
                self._writes_s.append(math.inf)
            await trio.sleep(pause_s)
