"""What the service manager is told while the daemon runs: signs of life, and one line of counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import trio

from ringmaster.bus import Bus
from ringmaster.model.event import Event
from ringmaster.protocol.daemon import Health, QueueCounts
from ringmaster.queue.status import count_queue
from ringmaster.store.interface import Store
from ringmaster.systemd.notify import Notifier

STATUS_EVERY_S = 10.0
"""The least time between two status lines: a busy queue is not worth a datagram per event."""
SHOWN = ("running", "validating", "landing", "ready", "waiting", "blocked")


async def run_watchdog(notifier: Notifier) -> None:
    """Say from the loop that the loop turns, as often as the manager wants it. Runs until cancelled."""
    if not notifier.watchdog_s:
        return
    start_at = trio.current_time()
    for turn in count(1):
        notifier.alive()
        # By the clock, not by the pause: late turns do not add up.
        await trio.sleep_until(start_at + turn * notifier.watchdog_s)


async def run_status(
    notifier: Notifier,
    store: Store,
    bus: Bus[Event],
    health: Callable[[], Health],
    *,
    every_s: float = STATUS_EVERY_S,
) -> None:
    """Keep the status line true, at most one line per `every_s`. Runs until cancelled."""
    if not notifier.is_listened_to:
        return
    with bus.open_subscription() as changes:
        while True:
            told = health()
            notifier.status(status_line(told, await store.read(count_queue)))
            await trio.sleep(every_s)
            while told.state == health().state:
                # A full disk, an ESTOP file or its end are no events.
                with trio.move_on_after(every_s):
                    await changes.receive_batch()
                    break


def status_line(health: Health, queue: QueueCounts) -> str:
    """The daemon's state and how many tasks are where, in a line."""
    counts = [f"{getattr(queue, name)} {name}" for name in SHOWN if getattr(queue, name)]
    head = "" if health.state == "ok" else f"{health.state}: {health.words}; "
    return head + (", ".join(counts) or "nothing to do")
