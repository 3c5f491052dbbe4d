"""What the daemon does about open questions: people are told of them, and defaults are given when their time has come.

A default is never given before its question was open for a minute while a daemon ran that had told of it: what was
overdue at a start waits for a minute, and one whose notice has not gone out waits for that too.
"""

from __future__ import annotations

import logging
import math

import trio

from ringmaster.bus import Wakeup
from ringmaster.model.asking import LEAST_OPEN_S
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.inotify import NAMES, Changes, open_watcher
from ringmaster.queue.defaults import give_default, waiting_for_default
from ringmaster.workers.notices import Notices
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.asking")
WAKING = ("decision.opened", "decision.reopened", "queue.resumed", "generation.good")
LONGEST_WAIT_S = 60.0
"""While one waits for its time: the clock may be set, and the machine may sleep."""


async def run_asking(sur: Surroundings) -> None:
    """Tell of questions and give defaults until cancelled."""
    wakeup = Wakeup()
    async with open_watcher() as watcher:
        with watcher.watch(sur.paths.state, NAMES) as changes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Notices(sur, wakeup.set).run)
                nursery.start_soon(_wake_after, changes, wakeup)
                await Defaults(sur, wakeup).run()


async def _wake_after(changes: Changes, wakeup: Wakeup) -> None:
    """ESTOP comes and goes as a file."""
    while True:
        await changes.wait()
        wakeup.set()


class Defaults:
    """Gives each default once its time has come. wakeup: set when there may be something new."""

    def __init__(self, sur: Surroundings, wakeup: Wakeup) -> None:
        self._sur = sur
        self._wakeup = wakeup
        self._open_since: dict[str, float] = {}

    async def run(self) -> None:
        """Give defaults until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wake_by_events)
            while True:
                wait_s = await self.give_due()
                with trio.move_on_after(min(wait_s, LONGEST_WAIT_S) if wait_s < math.inf else math.inf):
                    await self._wakeup.wait()

    async def _wake_by_events(self) -> None:
        with self._sur.bus.open_subscription(lambda event: event.type in WAKING) as events:
            while True:
                await events.receive_batch()
                self._wakeup.set()

    async def give_due(self) -> float:
        """Give what is due; in how many seconds to look again, infinite where nothing waits for its time."""
        sur = self._sur
        waiting = await sur.store.read(waiting_for_default)
        now = trio.current_time()
        known = self._open_since
        self._open_since = {one.id: known.get(one.id, now) for one in waiting if one.is_told}
        soonest_s = math.inf
        for one in waiting:
            if not one.is_told:
                continue
            left_s = max(self._open_since[one.id] + LEAST_OPEN_S - now, one.default_at - sur.now())
            if left_s <= 0:
                if await self._is_settled(one.id):
                    continue
                # Something keeps it back; it is looked at again when that may be over.
                left_s = LONGEST_WAIT_S
            soonest_s = min(soonest_s, left_s)
        return soonest_s

    async def _is_settled(self, decision_id: str) -> bool:
        """Give a default; False where something keeps it back for now."""
        sur = self._sur
        if sur.starts_left is not None or sur.store.is_degraded or sur.paths.estop.exists():
            return False
        try:
            note = await sur.store.write(give_default, decision_id)
        except RingmasterError as error:
            if error.kind is ErrorKind.WRONG_STATE:
                # Somebody was faster.
                return True
            if error.kind is not ErrorKind.DISK_FULL:
                raise
            return False
        if note:
            log.info("decision %s got its default: %s", decision_id, note)
        return bool(note)
