"""The reloader: takes newer code when there is some, has it judged, switches to it, and watches it.

One trio task takes one candidate at a time; everything else only wakes it. What boots is in the boot record, what was
is in the rows, so it can be killed at any moment and begins again from there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from ringmaster.bus import Wakeup
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Generation
from ringmaster.protocol.measure import Measured
from ringmaster.protocol.rollout import ReloadAnswer, RolloutStatus
from ringmaster.queue import rollout
from ringmaster.reload.boot_contract import BootHandle
from ringmaster.reload.boot_record import BootRecord, read_record
from ringmaster.reload.candidates import Candidates, Found, Judged, Nothing
from ringmaster.reload.instance import Instance
from ringmaster.reload.ledger import take_over_record
from ringmaster.reload.measuring import note_measures, run_measuring
from ringmaster.reload.meter import Meter
from ringmaster.reload.patience import Patience
from ringmaster.reload.probation import run_probation
from ringmaster.reload.proving import Proving
from ringmaster.reload.pruning import prune_releases
from ringmaster.reload.release import RELEASES
from ringmaster.reload.snapshot import TreeChanging
from ringmaster.reload.watching import run_edits, run_watching
from ringmaster.reload.wish import STOPPING, Wish, image_of
from ringmaster.store import generations

log = logging.getLogger("ringmaster.reload")

NOTE_LIMIT_S = 2.0


class Reloader:
    """Everything about replacing the running code. Made once; `run` is its life.

    handle: the stub's; None for a daemon that runs in place, whose code is never replaced. before: what the image
    before this one measured. refused: why another could not be executed in its place just now. switch: leaves for
    another image, and returns only why that cannot be. on_good: called when a release on trial has proved itself.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        handle: BootHandle | None,
        candidates: Candidates,
        before: Measured | None,
        refused: str,
        meter: Meter,
        switch: Callable[[Wish], Awaitable[str]],
        on_good: Callable[[], None],
        unadopted: Callable[[], Sequence[str]],
        on_hint: Callable[[], None],
    ) -> None:
        self._store = instance.store
        self._bus = instance.bus
        self._paths = instance.paths
        self._settings = instance.settings
        self._handle = handle
        self._before = before
        self._refused = refused
        self._meter = meter
        self._leave = switch
        self._on_good = on_good
        self._unadopted = unadopted
        self._on_hint = on_hint
        self._candidates = candidates
        self._rng = instance.rng
        self._patience = Patience()
        self._wakeup = Wakeup()
        self._is_asked = self._was_asked = False
        # A start is the way to an upgrade.
        self._may_take_checkout = True
        self._undo: tuple[Generation, str] | None = None
        self._undo_wanted = Wakeup()
        self._switching = trio.Lock()
        self._step = self._waits = ""
        self._watched, self._is_watching, self._paused = "", False, ""
        self._candidate = 0
        self._record: BootRecord | None = None
        self._proving = Proving(instance.store, instance.paths.state, handle)
        self._commit = ""

    # What a person asks for.

    def wake(self, *, is_asked: bool = False) -> None:
        """Look whether there is newer code: after a change or an answer. is_asked: a person sent a signal."""
        self._may_take_checkout |= is_asked
        if is_asked:
            self._patience.clear()
        self._wakeup.set()
        self._on_hint()

    def _look_anew(self) -> None:
        # Its gate, or what is followed, may be another now.
        self._patience.clear()
        self._wakeup.set()

    async def request(self, is_dry_run: bool, actor: str) -> ReloadAnswer:
        """Look for newer code now; what becomes of it is in the events. See `ReloadAnswer`."""
        handle = self._refuse_in_place()
        running = handle.generation
        if is_dry_run:
            found = await self._candidates.find(handle, is_asked=True, may_be_checkout=True)
            if isinstance(found, Nothing):
                is_paused = found.is_paused
                return ReloadAnswer(state="paused" if is_paused else "nothing_new", words=found.words, running=running)
            plan = await self._candidates.plan(handle, found)
            return ReloadAnswer(state="looked", words=found.source.words, running=running, plan=plan)
        self._is_asked = True
        self.wake(is_asked=True)
        if self._candidate:
            words = f"generation {self._candidate} is on its way: {self._step}"
            return ReloadAnswer(state="under_way", words=words, running=running, generation=self._candidate)
        return ReloadAnswer(state="requested", words="newer code is looked for", running=running)

    def status(self) -> RolloutStatus:
        """Where reloading stands, from memory."""
        handle = self._handle
        if handle is None:
            return RolloutStatus(running=0, good=0, words="the daemon runs in place: its code is not replaced")
        return RolloutStatus(
            running=handle.generation,
            good=self._record.good.generation if self._record is not None else 0,
            before=self._record.before.generation if self._record is not None and self._record.before else 0,
            release=handle.release,
            commit=self._commit,
            candidate=self._candidate,
            decision_id=self._candidates.decision_id,
            step=self._step or self._waits,
            is_watching=self._is_watching and not self._paused,
            words=self._paused or self._watched,
        )

    async def undo(self, generation: int | None, actor: str) -> ReloadAnswer:
        """Go back to a good generation; the switch follows the answer.

        Raises RingmasterError: NOT_FOUND, WRONG_STATE for one that is not good or runs; REFUSED when it is pruned.
        """
        handle = self._refuse_in_place()
        wanted = await self._store.read(rollout.find_undo, generation, running=handle.generation)
        if not (self._paths.state / RELEASES / wanted.release).is_dir() or not Path(wanted.python).exists():
            raise RingmasterError(
                ErrorKind.REFUSED,
                f"the release of generation {wanted.id} is no longer kept",
                "settings keep self.keep_releases of them; rmctl rollout history",
            )
        self._undo = wanted, f"undone by {actor}"
        self._undo_wanted.set()
        words = f"generation {handle.generation} goes back to {wanted.id}"
        return ReloadAnswer(state="requested", words=words, running=handle.generation, generation=wanted.id)

    def _refuse_in_place(self) -> BootHandle:
        if self._handle is None:
            raise RingmasterError(
                ErrorKind.WRONG_STATE,
                "this daemon runs in place: its code is not replaced",
                "restart it without --in-place: rmctl daemon restart",
            )
        return self._handle

    # Its life.

    async def begin(self) -> None:
        """Make the rows say what the boot record says; before anything else, and before anybody is answered."""
        if self._handle is not None:
            await take_over_record(self._store, self._paths.state, self._handle, self._rng, self._refused)
            await self._look_at_itself(self._handle)
            self._handle.beat()

    async def run(self) -> None:
        """Prove what runs if it is on trial, then take what is newer, until cancelled.

        Cancelled while a candidate's gate runs it leaves the gate running; the next start takes that up or ends it.
        Raises RingmasterError when a release that failed on trial cannot be left in an orderly way: the process then
        ends, and its stub executes the good one.
        """
        if (handle := self._handle) is None:
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_undo)
            nursery.start_soon(run_measuring, self._store, self._meter, handle.generation)
            if handle.is_trial:
                await self._prove(handle)
            nursery.start_soon(self._run_watching)
            nursery.start_soon(run_edits, self._bus, self._look_anew)
            await prune_releases(self._store, self._paths, self._settings().own.keep_releases)
            # What could not be executed a moment ago is not tried again at once.
            if self._refused:
                self._patience.wait(trio.current_time())
            else:
                self._wakeup.set()
            while True:
                with trio.move_on_after(self._patience.left_s(trio.current_time())):
                    await self._wakeup.wait()
                await self._take(handle)

    async def _look_at_itself(self, handle: BootHandle) -> None:
        self._record = await trio.to_thread.run_sync(read_record, self._paths.state)
        running = await self._store.read(generations.find_generation, handle.generation)
        self._commit = running.commit if running is not None else ""

    async def withdraw_trial(self) -> None:
        """The daemon is to stop: see `Proving.withdraw`. What it measured is noted where that takes but moments."""
        await self._proving.withdraw()
        if self._handle is not None:
            with trio.move_on_after(NOTE_LIMIT_S):
                await note_measures(self._store, self._meter, self._handle.generation)

    async def _run_watching(self) -> None:
        def tell(words: str, is_watching: bool) -> None:
            self._watched, self._is_watching = words, is_watching

        await run_watching(self._store, self._bus, self._paths, self._settings, self.wake, tell)

    async def _run_undo(self) -> None:
        while True:
            await self._undo_wanted.wait()
            assert self._undo is not None
            assert self._handle is not None
            generation, words = self._undo
            why_bad = words if self._handle.is_trial else ""
            self._step = f"going back to generation {generation.id}"
            refused = await self._switch(Wish(image_of(generation), is_trial=False, words=words, why_bad=why_bad))
            self._step = ""
            log.warning("generation %d is not gone back to: %s", generation.id, refused)
            await self._store.write_essential(rollout.fail_undo, generation.id, refused)

    async def _switch(self, wish: Wish) -> str:
        assert self._handle is not None
        await note_measures(self._store, self._meter, self._handle.generation)
        async with self._switching:
            return await self._leave(wish)

    async def _prove(self, handle: BootHandle) -> None:
        """Probation: returns when the release is good; a breach leaves for the good one and does not return."""
        watch = partial(
            run_probation,
            generation=handle.generation,
            store=self._store,
            socket=self._paths.socket,
            meter=self._meter,
            before=self._before,
            unadopted=self._unadopted,
            beat=handle.beat,
            probation_s=self._settings().own.probation_s,
        )
        reason = await self._proving.run(handle, watch, self._tell)
        await self._look_at_itself(handle)
        if reason:
            log.error("generation %d has failed on trial: %s", handle.generation, reason)
            if self._record is not None:
                wish = Wish(self._record.good, is_trial=False, words=reason, why_bad=reason)
                refused = await self._switch(wish)
                if refused == STOPPING:
                    await trio.sleep_forever()
                reason = f"{reason}; {refused}"
            raise RingmasterError(ErrorKind.INTERNAL, f"generation {handle.generation} has failed on trial: {reason}")
        self._on_good()
        log.info("generation %d is good", handle.generation)

    async def _take(self, handle: BootHandle) -> None:
        """Take newer code if there is some: judged, superseded by what is newer still, and switched to."""
        is_asked, self._is_asked = self._is_asked, False
        # What a person asked for is still that when it is tried again by itself, or something newer takes its place.
        was_asked = self._was_asked = is_asked or (self._was_asked and self._patience.is_waiting)
        may_take_checkout = self._may_take_checkout or self._patience.is_waiting
        self._may_take_checkout = False
        while True:
            try:
                found = await self._candidates.find(handle, is_asked=was_asked, may_be_checkout=may_take_checkout)
                if isinstance(found, Nothing):
                    await self._find_nothing(found, is_asked)
                    return
                await self._note_pause("")
                if self._patience.is_early(found.content, trio.current_time()):
                    return
                is_over = await self._try(handle, found, is_asked)
                is_asked = False
            except (RingmasterError, OSError) as error:
                self._patience.wait(trio.current_time())
                log.warning("newer code cannot be taken now: %s", error)
                # A tree that is changing rests in a moment: nobody need be told.
                if is_asked or not isinstance(error, TreeChanging):
                    await self._find_nothing(Nothing(f"newer code cannot be taken now: {error}", True), is_asked)
                return
            finally:
                self._candidate, self._step = 0, ""
            if is_over:
                return

    async def _find_nothing(self, nothing: Nothing, is_asked: bool) -> None:
        if nothing.is_over:
            await self._candidates.settle_over(nothing.words)
        if not nothing.is_paused:
            self._patience.clear()
            self._waits = ""
        if not await self._note_pause(nothing.words if nothing.is_paused else "") and is_asked:
            # On a full disk too: somebody follows the events for it.
            await self._store.write_essential(rollout.find_nothing, nothing.words, is_paused=nothing.is_paused)

    async def _note_pause(self, words: str) -> bool:
        """Say once why newer code is not looked at, '' when it is; whether it was said now, in an event."""
        if self._paused == words:
            return False
        log.info("%s", words or "watching goes on")
        self._paused = words
        if words:
            await self._store.write_essential(rollout.find_nothing, words, is_paused=True)
        return bool(words)

    async def _try(self, handle: BootHandle, found: Found, is_asked: bool) -> bool:
        """Judge one candidate and switch to it. False: something newer took its place."""
        self._waits = ""
        generation = await self._candidates.make(handle, found, is_new=is_asked)
        self._candidate = generation.id
        log.info("generation %d is a candidate: %s", generation.id, found.source.words)

        is_newer = False

        async def watch(scope: trio.CancelScope) -> None:
            nonlocal is_newer
            while True:
                await self._wakeup.wait()
                # What cannot be looked at now, such as a tree that is changing, hints again when it can.
                with contextlib.suppress(RingmasterError, OSError):
                    if not await self._candidates.is_still(handle, found, is_asked=self._was_asked):
                        is_newer = True
                        scope.cancel()

        judged: Judged | RingmasterError | OSError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            try:
                judged = await self._candidates.judge(handle, generation, found, self._tell)
            except (RingmasterError, OSError) as error:
                # Raised behind the nursery, which would wrap it.
                judged = error
            nursery.cancel_scope.cancel()
        if isinstance(judged, Exception):
            judged = Judged(generation, False, str(judged))
        if is_newer:
            # It may have been refused in the same moment.
            if judged is None or judged.is_passed or judged.retry:
                await self._store.write(rollout.supersede, generation.id, "a newer change took its place")
            return False
        assert judged is not None
        if judged.retry:
            later = self._patience.fail(found.content, trio.current_time())
            await self._put_off(generation, f"{later}: {judged.retry}" if later else judged.retry)
            return True
        self._patience.clear()
        if judged.is_passed:
            await self._switch_to(handle, generation)
        else:
            log.warning("generation %d is not taken: %s", generation.id, judged.generation.reason)
        return True

    def _tell(self, step: str) -> None:
        self._step = step

    async def _put_off(self, generation: Generation, reason: str) -> None:
        log.warning("generation %d has to wait: %s", generation.id, reason)
        self._waits = f"generation {generation.id} waits: {reason}"
        # On a full disk too, which is a reason to wait.
        await self._store.write_essential(rollout.put_off, generation.id, reason)

    async def _switch_to(self, handle: BootHandle, generation: Generation) -> None:
        self._step = "switching"
        try:
            if not await self._candidates.migrate(generation):
                return
            await self._store.write(rollout.begin_trial, generation.id)
            words = f"generation {generation.id} is on trial"
            refused = await self._switch(Wish(image_of(generation), is_trial=True, words=words))
        except (RingmasterError, OSError) as error:
            refused = str(error)
        self._patience.wait(trio.current_time())
        await self._put_off(generation, f"not switched to: {refused}")
