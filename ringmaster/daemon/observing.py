"""What the daemon shows of how it is: health for whoever asks, metrics for who has the token."""

from __future__ import annotations

import time

import trio

from ringmaster import __version__
from ringmaster.bus import Bus
from ringmaster.daemon.life import Life
from ringmaster.feed.feed import Feed
from ringmaster.model.event import Event
from ringmaster.reload.meter import Meter
from ringmaster.reload.reloader import Reloader
from ringmaster.store.interface import Store
from ringmaster.web.counting import Counting
from ringmaster.web.health import health_answer
from ringmaster.web.lag import LoopLag
from ringmaster.web.metrics import Metrics, Sources


class Observing:
    """Of one image. metrics: the text of `/metrics`, as `Metrics.text`."""

    def __init__(
        self, *, store: Store, bus: Bus[Event], meter: Meter, feed: Feed, life: Life, reloader: Reloader
    ) -> None:
        self._store = store
        self._life = life
        self._reloader = reloader
        self._lag = LoopLag()
        self._counting = Counting(store, bus)
        self.metrics = Metrics(
            Sources(
                store=store,
                counting=self._counting,
                lag=self._lag,
                measured=meter.snapshot,
                feed=lambda: feed.figures,
                generation=lambda: reloader.status().running,
                version=__version__,
            )
        ).text

    async def run(self) -> None:
        """Count and measure until cancelled."""
        trio.lowlevel.add_instrument(self._lag)
        try:
            await self._counting.run()
        finally:
            trio.lowlevel.remove_instrument(self._lag)

    def health(self) -> tuple[int, dict[str, object]]:
        """Status and body of `/health`; looks at memory alone, and whether there is an ESTOP file."""
        return health_answer(
            self._life.health(),
            version=__version__,
            generation=self._reloader.status().running,
            is_store_ok=not self._store.is_degraded,
            loop_lag_s=self._lag.p99_s,
            now=time.time(),
        )
