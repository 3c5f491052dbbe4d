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
from ringmaster.daemon.listening import Listening
from ringmaster.daemon.switching import Switch, execute
from ringmaster.protocol.measure import Measured
from ringmaster.reload.meter import Meter
from ringmaster.reload.probes import take_measure
from ringmaster.reload.wish import STOPPING, Wish
from ringmaster.rpc.handoff import Other, encode_handoff
from ringmaster.rpc.server import Server
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.switch")

TRIES = 5
MEASURE_LIMIT_S = 2.0
LONG_CALL_S = 600.0
"""How long a switch is put off for mutations that take their time, such as cloning a repository."""
CLOSING_LIMIT_S = 3.0
"""How long clients wait, once they are handed over, for the old image to close everything: one call of a thread that
does not come back must not keep them all. What is killed instead is what a crash would kill."""
PARTING_S = 0.5
"""How long websockets may take to end, while everybody else is still served."""
SIGNAL_PASSES = 3
"""Turns of the loop after which a signal that came before the block has reached the one who waits for it."""


class Exchange:
    """The daemon's part in a switch. server, listening: set once they are made, the second where there is a page."""

    server: Server
    listening: Listening | None = None

    def __init__(self, *, boot: Boot, life: Life, keeping: Keeping, meter: Meter, sur: Surroundings) -> None:
        self._boot = boot
        self._life = life
        self._keeping = keeping
        self._meter = meter
        self._sur = sur
        self._measures = Measured()

    async def switch(self, wish: Wish) -> str:
        """Leave for the image that is wished for; returns only why that cannot be now, and everything goes on then.

        Clients wait from the moment nothing new is begun until the next image serves; a mutation that is known to take
        long is waited for before that. Cancelled before the handover it goes on serving; after it, only `trio.run`
        can end.
        """
        if self._boot.handle is None:
            return "this daemon runs in place"
        server = self.server
        generation = self._boot.handle.generation
        self._measures = self._meter.snapshot()
        with trio.move_on_after(MEASURE_LIMIT_S):
            self._measures = await take_measure(self._meter, self._sur.store, self._sur.paths.socket, generation)
        quiesce_s = self._sur.settings.own.quiesce_s
        busy: tuple[str, ...] = ()
        for _ in range(TRIES):
            if busy := server.lasting(quiesce_s):
                log.info("the switch to generation %d waits for %s", wish.image.generation, ", ".join(busy))
                with trio.move_on_after(LONG_CALL_S):
                    await server.wait_lasting(quiesce_s)
                if busy := server.lasting(quiesce_s):
                    break
            try:
                await self._part()
                server.quiesce()
                with trio.move_on_after(quiesce_s):
                    await server.wait_settled()
                busy = server.unsettled()
                if not busy:
                    return await self._leave(wish)
                # One of these is new and takes long: nobody else is to wait for it.
            finally:
                # Also when cancelled; not after the handover, which nothing leaves but the end of the run.
                if self._life.switch is None:
                    server.resume()
                    if self.listening is not None:
                        self.listening.resume()
        return f"{', '.join(busy)} did not end"

    async def _part(self) -> None:
        """Tell the page's clients to come again before anybody waits: how long they take is no part of the pause."""
        if self.listening is not None:
            with trio.move_on_after(PARTING_S):
                await self.listening.part()

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
            door = self.listening.hand_over() if self.listening is not None else -1
            others = (Other(fd=door),) if door >= 0 else ()
            document = Document(
                connections=encode_handoff(handed, others),
                settings=settings,
                measures=self._measures,
                words=wish.words,
                door=door,
            )
            switch = Switch(
                image=wish.image,
                is_trial=wish.is_trial,
                guard_s=self._sur.settings.own.guard_s,
                document=document,
                fds=tuple(one.fd for one in (*handed, *others)),
                keeper=self._keeping.keeper,
                why_bad=wish.why_bad,
                now=time.time(),
            )
            # Not in a nursery: it has to outlive whatever is being closed, and is cancelled with the end of the run.
            trio.lowlevel.spawn_system_task(self._run_closing_limit, switch, name="the limit of closing")
            self._life.leave_for(switch)
        finally:
            if self._life.switch is None:
                signals.let_go()
        return await trio.sleep_forever()

    async def _run_closing_limit(self, switch: Switch) -> None:
        """Execute the image from within the loop when everything else takes too long to close."""
        await trio.sleep(CLOSING_LIMIT_S)
        signals = self._boot.signals
        signals.hold()
        if self._life.stop.is_set() or signals.is_stop_noted:
            return
        log.warning(
            "not everything closed within %g s; generation %d is executed all the same",
            CLOSING_LIMIT_S,
            switch.image.generation,
        )
        refused = execute(self._boot, switch)
        log.error("generation %d cannot be executed before everything is closed: %s", switch.image.generation, refused)
