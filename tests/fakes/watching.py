"""A watcher at work for a test, and what it asks, hears and holds."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ringmaster.bus import Wakeup
from ringmaster.reload import survey
from ringmaster.reload.watched import NOTHING, Heard, Rule, Watched, judge
from ringmaster.reload.watcher import run_watcher
from ringmaster.settings import OwnSettings

OWN = OwnSettings(debounce_s=0.02, rescan_s=3600.0)
WAIT_S = 20.0
FENCE = "fence.ignored"


class Watching:
    """A watcher at work, and what it has told so far."""

    def __init__(self, wanted: Sequence[Watched], own: OwnSettings) -> None:
        self.wanted = list(wanted)
        self.own = own
        self.wake = Wakeup()
        self.hints = 0
        self._hinted = Wakeup()

    def on_hint(self) -> None:
        """As the manager's."""
        self.hints += 1
        self._hinted.set()

    async def hint(self) -> bool:
        """Wait for one; whether it came."""
        with trio.move_on_after(WAIT_S) as scope:
            await self._hinted.wait()
        return not scope.cancelled_caught


@asynccontextmanager
async def open_watching(
    *wanted: Watched, own: OwnSettings = OWN, excluded: Sequence[Path] = ()
) -> AsyncIterator[Watching]:
    """A watcher that has everything in view; its first hint is taken."""
    watching = Watching(wanted, own)

    async def run(task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128 - `run_watcher` says so
        await run_watcher(
            lambda: tuple(watching.wanted),
            watching.on_hint,
            own=lambda: watching.own,
            wake=watching.wake,
            excluded=excluded,
            task_status=task_status,
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        assert await watching.hint()
        assert watching.hints == 1
        yield watching
        nursery.cancel_scope.cancel()


class Asked:
    """What git was asked about, in order, and which names the observer's thread took for a change."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self._answered = Wakeup()
        self._paths: set[str] = set()

        async def has_unignored(top: Path, paths: set[str]) -> bool:
            answer = await survey.has_unignored(top, paths)
            self._paths |= paths
            self._answered.set()
            return answer

        def spy(rule: Rule, name: str, **kinds: bool) -> Heard:
            heard = judge(rule, name, **kinds)
            if heard != NOTHING:
                self.names.append(name)
            return heard

        monkeypatch.setattr("ringmaster.reload.watcher.has_unignored", has_unignored)
        monkeypatch.setattr("ringmaster.reload.observer.judge", spy)

    async def fence(self, top: Path) -> None:
        """Wait until all that happened in a work tree so far has been judged: the kernel keeps the order."""
        (top / FENCE).write_text("")
        with trio.fail_after(WAIT_S):
            while FENCE not in self._paths:
                await self._answered.wait()
        self._paths.clear()


def inotify_descriptors() -> list[int]:
    """Of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                found.append(int(name))
        except FileNotFoundError:
            # The listing's own.
            continue
    return found


def count_inotify() -> int:
    """How many there are."""
    return len(inotify_descriptors())
