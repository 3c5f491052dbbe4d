"""Signs of life come as often as they are wanted; the status line changes seldom and says what counts."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.bus import Bus
from ringmaster.daemon.announcing import run_status, run_watchdog, status_line
from ringmaster.model.event import Event
from ringmaster.protocol.daemon import Health, QueueCounts
from ringmaster.systemd.notify import Notifier

WELL = Health(state="ok", words="running", pid=1, started_at=1.0, is_kept=True)


class Heard(Notifier):
    """A notifier that remembers what it would have sent."""

    def __init__(self, watchdog_s: float = 0.0) -> None:
        super().__init__("/nowhere", watchdog_s)
        self.lines: list[str] = []

    def _send(self, line: str) -> None:
        self.lines.append(line)


class Counting:
    """A store that has one task more each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def read(self, *args: Any) -> QueueCounts:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return QueueCounts(ready=self.asked)


async def test_the_watchdog_hears_from_the_loop_every_half_of_its_time(autojump_clock: trio.testing.MockClock) -> None:
    notifier = Heard(watchdog_s=15.0)
    with trio.move_on_after(61):
        await run_watchdog(notifier)
    assert notifier.lines == ["WATCHDOG=1"] * 5


async def test_without_a_watchdog_nothing_is_said() -> None:
    notifier = Heard()
    await run_watchdog(notifier)
    assert notifier.lines == []


async def test_many_events_are_one_status_line(autojump_clock: trio.testing.MockClock) -> None:
    notifier, store, bus = Heard(), Counting(), Bus[Event]()
    event: Any = object()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_status(notifier, store, bus, lambda: WELL, every_s=10))  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(100):
            bus.publish([event])
            await trio.sleep(0.2)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    # One at the start, and one per ten seconds in which something happened.
    assert notifier.lines == ["STATUS=1 ready", "STATUS=2 ready", "STATUS=3 ready"]


async def test_a_full_disk_or_an_estop_is_said_though_no_event_tells_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    notifier, store, bus = Heard(), Counting(), Bus[Event]()
    now = [WELL]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_status(notifier, store, bus, lambda: now[0], every_s=10))  # type: ignore[arg-type]
        await trio.sleep(100)
        assert store.asked == 1, "while nothing happens nothing is counted"
        now[0] = Health(state="estop", words="nothing is dispatched", pid=1, started_at=1.0, is_kept=True)
        await trio.sleep(100)
        now[0] = WELL
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert notifier.lines == ["STATUS=1 ready", "STATUS=estop: nothing is dispatched; 2 ready", "STATUS=3 ready"]


@pytest.mark.parametrize(
    ("health", "queue", "line"),
    [
        (WELL, QueueCounts(), "nothing to do"),
        (WELL, QueueCounts(running=3, ready=12, done=99), "3 running, 12 ready"),
        (
            Health(state="estop", words="nothing is dispatched", pid=1, started_at=1.0, is_kept=True),
            QueueCounts(ready=1),
            "estop: nothing is dispatched; 1 ready",
        ),
    ],
)
def test_the_line_says_what_counts(health: Health, queue: QueueCounts, line: str) -> None:
    assert status_line(health, queue) == line
