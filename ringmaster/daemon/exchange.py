"""Leaving this image for another: quiesce, hand the clients over, and have `trio.run` end with signals held back."""

from __future__ import annotations

import logging
import time

import msgspec
import trio

from ringmaster.daemon.boot import Boot
from ringmaster.daemon.handoff import Document
from ringmaster.daemon.keeping import Keeping
from ringmaster.daemon.life import Life
from ringmaster.daemon.switching import Switch
from ringmaster.protocol.measure import Measured
from ringmaster.reload.meter import Meter
from ringmaster.reload.probes import take_measure
from ringmaster.reload.wish import STOPPING, Wish
from ringmaster.rpc.handoff import encode_handoff
from ringmaster.rpc.server import Server
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.switch")

TRIES = 5
MEASURE_LIMIT_S = 2.0
LONG_CALL_S = 600.0
"""How long a switch is put off for a mutation that takes its time, such as cloning a repository."""
SIGNAL_PASSES = 3
"""Turns of the loop after which a signal that came before the block has reached the one who waits for it."""


class Exchange:
    """The daemon's part in a switch. server: set once it is made."""

    server: Server

    def __init__(self, *, boot: Boot, life: Life, keeping: Keeping, meter: Meter, sur: Surroundings) -> None:
        self._boot = boot
        self._life = life
        self._keeping = keeping
        self._meter = meter
        self._sur = sur
        self._measures = Measured()

    async def switch(self, wish: Wish) -> str:
        """Leave for the image that is wished for; returns only why that cannot be now, and everything goes on then.

        Clients wait from the moment nothing new is begun until the next image serves. Cancelled before the handover
        it goes on serving; after it, only `trio.run` can end.
        """
        if self._boot.handle is None:
            return "this daemon runs in place"
        server = self.server
        generation = self._boot.handle.generation
        self._measures = self._meter.snapshot()
        with trio.move_on_after(MEASURE_LIMIT_S):
            self._measures = await take_measure(self._meter, self._sur.store, self._sur.paths.socket, generation)
        for _ in range(TRIES):
            server.quiesce()
            try:
                with trio.move_on_after(self._sur.settings.own.quiesce_s):
                    await server.wait_settled()
                    return await self._leave(wish)
            finally:
                # Also when cancelled; not after the handover, which nothing leaves but the end of the run.
                if self._life.switch is None:
                    server.resume()
            busy = ", ".join(server.unsettled())
            log.info("the switch to generation %d waits for %s", wish.image.generation, busy)
            with trio.move_on_after(LONG_CALL_S):
                await server.wait_settled()
        return f"{busy} did not end"

    async def _leave(self, wish: Wish) -> str:
        signals = self._boot.signals
        signals.hold()
        try:
            for _ in range(SIGNAL_PASSES):
                await trio.lowlevel.cancel_shielded_checkpoint()
            if self._life.stop.is_set() or signals.is_stop_noted:
                return STOPPING
            settings = msgspec.to_builtins(self._sur.settings)
            handed = self.server.hand_over()
            document = Document(
                connections=encode_handoff(handed), settings=settings, measures=self._measures, words=wish.words
            )
            fds = tuple(connection.fd for connection in handed)
            self._life.leave_for(
                Switch(
                    image=wish.image,
                    is_trial=wish.is_trial,
                    guard_s=self._sur.settings.own.guard_s,
                    document=document,
                    fds=fds,
                    keeper=self._keeping.keeper,
                    why_bad=wish.why_bad,
                    now=time.time(),
                )
            )
        finally:
            if self._life.switch is None:
                signals.let_go()
        return await trio.sleep_forever()
