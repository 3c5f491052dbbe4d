"""Hints that something changed: on the target of a self project, in its work tree, in a file.

A hint says "look", and never what there is: who is hinted at compares contents. So a change that is told twice does no
harm, and one that is not told at all is found by the next rescan.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from ringmaster.bus import Wakeup
from ringmaster.reload.inbox import Inbox
from ringmaster.reload.survey import Plan, has_unignored, survey
from ringmaster.reload.watched import Debounce, Watched
from ringmaster.settings import OwnSettings

if TYPE_CHECKING:
    from ringmaster.reload.observer import Observer, Place

log = logging.getLogger("ringmaster.watcher")

LIMITED_RESCAN_S = 30.0
"""How often it looks, at least, while the kernel watches only a part of what is wanted."""
ROUNDS = 8
"""How often directories are listed again because new ones came meanwhile; what is missed then waits for a rescan."""
LIMIT_FILE = Path("/proc/sys/fs/inotify")


async def run_watcher(  # noqa: ASYNC128 - `_run` says when it has started
    wanted: Callable[[], Sequence[Watched]],
    on_hint: Callable[[], None],
    *,
    own: Callable[[], OwnSettings],
    wake: Wakeup,
    excluded: Collection[Path] = (),
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `on_hint` after each change of what is wanted, when it has been quiet for `own().debounce_s`.

    Under a constant stream it comes every `AT_MOST` times that; besides once at the beginning, whenever `wanted` says
    something else than before, and every `own().rescan_s`. When it is called, all that can be watched is: what changes
    after it makes another hint. Reading makes none.

    wake: set it when `wanted` or `own` may say something else; the watcher sets it too. excluded: directories that are
    never part of a work tree, the state's. on_hint: on the loop, must not block.

    Runs until cancelled, and ends its thread then. A thread that dies is replaced. Where the kernel's limits are
    reached, or a directory cannot be read, it says so once and goes on with rescans.
    """
    token = trio.lowlevel.current_trio_token()

    def wake_from_thread() -> None:
        try:
            token.run_sync_soon(wake.set, idempotent=True)
        except trio.RunFinishedError:
            # The loop is over, and with it whoever could be told.
            return

    watching = _Watching(Inbox(wake_from_thread), frozenset(excluded))
    try:
        await _run(watching, wanted, on_hint, own, wake, task_status)
    finally:
        watching.close()


async def _run(
    watching: _Watching,
    wanted: Callable[[], Sequence[Watched]],
    on_hint: Callable[[], None],
    own: Callable[[], OwnSettings],
    wake: Wakeup,
    task_status: trio.TaskStatus[None],
) -> None:
    debounce = Debounce()
    looked_at = trio.current_time()
    current = tuple(wanted())
    await watching.fit(current)
    task_status.started()
    on_hint()
    while True:
        rescan_at = looked_at + watching.rescan_s(own())
        with trio.move_on_at(min(rescan_at, debounce.due_at(own().debounce_s))):
            await wake.wait()
        now = trio.current_time()
        if watching.inbox.is_fuller():
            debounce.heard(now)
        is_rescan = now >= looked_at + watching.rescan_s(own()) or tuple(wanted()) != current
        if not is_rescan and now < debounce.due_at(own().debounce_s):
            continue
        debounce.clear()
        heard = watching.inbox.take()
        if is_rescan:
            looked_at = now
        is_dead = watching.is_dead
        is_hint = is_rescan or is_dead or heard.is_sure or await _matters(heard)
        if is_rescan or heard.is_lost or (heard.is_reshaping and is_hint):
            current = tuple(wanted())
            await watching.fit(current)
        if is_hint:
            on_hint()


async def _matters(heard: Inbox) -> bool:
    for top, paths in heard.paths.items():
        if await has_unignored(top, paths):
            return True
    return False


class _Watching:
    """The directories under watch now, and the thread that watches them."""

    def __init__(self, inbox: Inbox, excluded: frozenset[Path]) -> None:
        self.inbox = inbox
        self._excluded = excluded
        self._observer: Observer | None = None
        self._places: dict[Path, Place] = {}
        self._trouble = ""

    @property
    def is_dead(self) -> bool:
        """Whether there is a thread that no longer lives."""
        return self._observer is not None and self._observer.has_ended

    def rescan_s(self, own: OwnSettings) -> float:
        """How often to look for oneself: more often while not all can be watched."""
        return min(own.rescan_s, LIMITED_RESCAN_S) if self._trouble else own.rescan_s

    async def fit(self, wanted: Sequence[Watched]) -> None:
        """Watch what is wanted as it is now, and nothing else."""
        try:
            for _ in range(ROUNDS):
                plan = await survey(wanted, self._excluded)
                # A directory made after its parent was listed and before it was watched is in the next list alone.
                if not await trio.to_thread.run_sync(self._apply, plan):
                    return
        except OSError as error:
            # Whatever it is, the daemon can do without being hinted at.
            self._tell(
                f"not all is watched ({error}): changes are found by looking every {LIMITED_RESCAN_S:g} s at most"
            )

    def _apply(self, plan: Plan) -> bool:
        """Blocking. Whether directories came under watch that were not before."""
        # Here, on a thread: at the top it would take its time from the pause in which one image follows another.
        from ringmaster.reload.observer import Place

        observer = self._living_observer()
        if observer is None:
            return False
        kept = {path: place for path, place in self._places.items() if path in plan and _is_same(place)}
        observer.unwatch([place for path, place in self._places.items() if path not in kept])
        self._places = kept
        for path, place in kept.items():
            place.rules = plan[path]
        added, left = 0, 0
        for path in sorted(plan.keys() - kept.keys()):
            place = Place(path, plan[path], self.inbox)
            try:
                observer.watch(place)
            except OSError as error:
                left += error.errno == errno.ENOSPC
                continue
            self._places[path] = place
            added += 1
        what = f"{left} of {len(plan)} directories are not watched"
        self._tell(_limit_words("max_user_watches", what) if left else "")
        return added > 0

    def _living_observer(self) -> Observer | None:
        """The observer, a new one where there is none or it died; None where the kernel gives none."""
        from ringmaster.reload.observer import Observer

        if self.is_dead:
            log.error("the thread that watches for changes died; another takes its place")
        elif self._observer is not None:
            return self._observer
        self.close()
        try:
            observer = Observer(self.inbox.lose)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            self._tell(_limit_words("max_user_instances", "nothing is watched"))
            return None
        observer.start()
        self._observer = observer
        return observer

    def _tell(self, trouble: str) -> None:
        """Log a change of what is not watched, once."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s", trouble or "all that is to be watched is watched again")

    def close(self) -> None:
        """End the thread; what was watched is no longer."""
        observer, self._observer, self._places = self._observer, None, {}
        if observer is not None:
            observer.end()


def _is_same(place: Place) -> bool:
    """Whether the watch is still on the directory that has this path."""
    try:
        found = os.stat(place.path)
    except OSError:
        return False
    return not place.is_lost and (found.st_dev, found.st_ino) == place.identity


def _limit_words(name: str, what: str) -> str:
    limit = (LIMIT_FILE / name).read_text().strip()
    return (
        f"{what}, since this user may have no more than fs.inotify.{name} = {limit}: changes there are found by "
        f"looking every {LIMITED_RESCAN_S:g} s at most; raise it with: sysctl fs.inotify.{name}={2 * int(limit)}"
    )
