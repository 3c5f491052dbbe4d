"""Filling the index of steps: when attempts end, and at a start with what is missing. Never in anybody's way."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import trio

from ringmaster.agents.base import Agent
from ringmaster.agents.registry import BUILT_IN, agent_for
from ringmaster.bus import Bus
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.output.files import read_block
from ringmaster.output.matching import separated
from ringmaster.output.rendering import LOOK_BACK, StepsRenderer
from ringmaster.output.secrets import find_redactor
from ringmaster.protocol.attempt import LogStep
from ringmaster.settings import Paths, Settings
from ringmaster.store import Store, attempts, events
from ringmaster.store.connection import Connection
from ringmaster.store.disk import free_bytes, make_disk_full_error
from ringmaster.store.log_index import BrokenIndexError, IndexedStep, LogIndex, open_log_index, remove_log_index

log = logging.getLogger("ringmaster.output")
INDEX_FILE = "logs.db"
SLICE_BYTES = 256 * 1024
"""A stop and a switch to other code wait for one to be through: some 100 ms on a busy machine."""
INDEXED_BYTES = 64 * 1024 * 1024
"""Of one attempt's output, what is looked through: more is a flood."""
ROOM_BYTES = 64 * 1024 * 1024
"""Of the disk, what the index leaves free: the store and the agents need it more."""
BEGUN_ROWS = 100
EVENTS_AT_ONCE = 500
WAKING = ("attempt.ended", "daemon.cleaned_up")


async def run_indexing(store: Store, bus: Bus[Event], paths: Paths, settings: Callable[[], Settings]) -> None:
    """Keep the index of steps up with the attempts that have ended, until cancelled.

    What cannot be written now, as on a full disk, is left and tried again when the next attempt ends.
    """
    indexer = Indexer(store, paths, settings)
    with bus.open_subscription(lambda event: event.type in WAKING) as ended:
        try:
            while True:
                await indexer.catch_up()
                await ended.receive_batch()
        finally:
            indexer.close()


class Indexer:
    """For one caller at a time; the file is open from the first look on. Whoever made it closes it."""

    def __init__(self, store: Store, paths: Paths, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._paths = paths
        self._settings = settings
        self._index: LogIndex | None = None

    def close(self) -> None:
        """Close the file; the next look opens it again."""
        if self._index is not None:
            self._index.close()
            self._index = None

    async def catch_up(self) -> None:
        """Index all that has ended and is missing, and forget what is gone."""
        try:
            await self._catch_up()
        except BrokenIndexError as error:
            log.warning("the index of steps is damaged and made anew when the next attempt ends: %s", error)
            self.close()
            await trio.to_thread.run_sync(remove_log_index, self._paths.state / INDEX_FILE)
        except (RingmasterError, OSError) as error:
            log.warning("the index of steps waits for the next attempt to end: %s", error)
            # A transaction that could not even be taken back would be in the way of all others.
            self.close()

    async def _catch_up(self) -> None:
        path = self._paths.state / INDEX_FILE
        if self._index is not None and not await trio.to_thread.run_sync(path.exists):
            # Somebody threw it away: what is open is a file that nobody finds.
            self.close()
        if self._index is None:
            self._index = await trio.to_thread.run_sync(open_log_index, path)
        index = self._index
        seq, is_complete = await trio.to_thread.run_sync(index.place)
        # Asked before the look at the directories: what ends meanwhile has its event behind it.
        last_seq = await self._store.read(events.last_seq)
        # Ahead of the store: that is an older copy of itself, and ends attempts under numbers that were dealt with.
        if not is_complete or seq > last_seq:
            seq = last_seq
            for attempt_id in await trio.to_thread.run_sync(_find_attempts, self._paths.attempts):
                await self._add_ended(index, attempt_id)
            await trio.to_thread.run_sync(functools.partial(index.note_place, seq, is_complete=True))
        while page := await self._store.read(_ended_after, seq):
            for _, attempt_id, is_clean_up in page:
                if is_clean_up:
                    await self._forget_removed(index)
                elif attempt_id:
                    await self._add_ended(index, attempt_id)
            seq = page[-1][0]
            await trio.to_thread.run_sync(functools.partial(index.note_place, seq, is_complete=True))

    async def _add_ended(self, index: LogIndex, attempt_id: str) -> None:
        try:
            attempt = await self._store.read(attempts.salvaged_by_id, attempt_id)
        except RingmasterError:
            # A directory that is no attempt's.
            return
        if attempt.outcome is None or await trio.to_thread.run_sync(index.is_indexed, attempt_id):
            return
        await self._remove(index, attempt_id)
        steps = iter_steps(attempt, self._paths, self._settings())
        is_last = False
        while not is_last:
            # A slice is a turn of a thread: a start or a stop waits for no longer.
            is_last = await trio.to_thread.run_sync(_add_slice, index, attempt_id, steps, self._paths.state)

    async def _forget_removed(self, index: LogIndex) -> None:
        """Forget the attempts whose output is gone, and give their room back."""
        gone = await trio.to_thread.run_sync(_find_removed, index, self._paths)
        removed = sum([await self._remove(index, attempt_id) for attempt_id in gone])
        if not removed:
            return
        shrinking = index.shrink(is_merged=removed > await trio.to_thread.run_sync(index.count))
        while await trio.to_thread.run_sync(next, shrinking, True) is None:
            pass

    async def _remove(self, index: LogIndex, attempt_id: str) -> int:
        removed = 0
        while count := await trio.to_thread.run_sync(index.remove_some, attempt_id):
            removed += count
        return removed


def _add_slice(index: LogIndex, attempt_id: str, steps: Iterator[list[IndexedStep]], place: Path) -> bool:
    if free_bytes(place) < ROOM_BYTES:
        raise make_disk_full_error()
    try:
        found = next(steps, None)
    except OSError as error:
        # What one attempt's files are like holds up no other.
        log.warning("the output of %s cannot be indexed: %s", attempt_id, error)
        found = None
    index.add(attempt_id, found or (), is_last=found is None)
    return found is None


def iter_steps(
    attempt: Attempt, paths: Paths, settings: Settings, *, from_end: int = INDEXED_BYTES
) -> Iterator[list[IndexedStep]]:
    """The steps of an attempt's agent in slices, as they are shown but for `separated`. Blocking.

    from_end: only the last so many bytes.
    """
    directory = paths.attempt(attempt.id)
    path = directory / "agent" / "stdout"
    try:
        size = path.stat().st_size
    except OSError:
        return
    offset = _next_line(path, size - from_end, size) if size > from_end else 0
    ahead = min(offset, LOOK_BACK)
    before = read_block(path, offset - ahead, ahead)
    renderer = StepsRenderer(find_redactor(directory), _agent_of(attempt.agent, settings), before)
    end, rest = min(size, offset + INDEXED_BYTES), b""
    ids = (attempt.id, attempt.task_id, attempt.project_id)
    begun = _Begun()
    while offset + len(rest) < end:
        data = rest + read_block(path, offset + len(rest), min(SLICE_BYTES, end - offset - len(rest)))
        is_last = len(data) == len(rest) or offset + len(data) >= size
        found: list[IndexedStep] = []
        lines = data.splitlines(keepends=True) if b"\r" not in data else _split(data)
        rest = b""
        for line in lines:
            rendered = renderer.take(line, is_last=is_last)
            if not rendered.length:
                rest = line
                break
            for step in rendered.steps:
                text = separated(step.text)
                row = IndexedStep(*ids, "agent", offset, step.kind, text, step.at, step.exit_code, step.is_failed)
                found += begun.held_back(step, row)
            offset += rendered.length
        yield found
        if is_last:
            break
    if rows := begun.take_rest():
        yield rows


class _Begun:
    """Beginnings of commands whose end has not come: the end says the same words and more, so one of the two is kept.

    Bounded; of a command with several lines the end has only the first, so both are kept.
    """

    def __init__(self) -> None:
        self._rows: dict[str, IndexedStep] = {}

    def held_back(self, step: LogStep, row: IndexedStep) -> Iterator[IndexedStep]:
        """The rows that may go into the index with the next step."""
        if not (step.call_id and step.command):
            yield row
        elif not step.is_start:
            self._rows.pop(step.call_id, None)
            yield row
        elif "\n" in step.command:
            yield row
        else:
            if step.call_id in self._rows:
                yield self._rows.pop(step.call_id)
            elif len(self._rows) >= BEGUN_ROWS:
                yield self._rows.pop(next(iter(self._rows)))
            self._rows[step.call_id] = row

    def take_rest(self) -> list[IndexedStep]:
        """What has no end."""
        rows, self._rows = list(self._rows.values()), {}
        return rows


def _next_line(path: Path, offset: int, size: int) -> int:
    """Where the next whole line begins, the end where there is none: what has no beginning may begin within a key."""
    while offset < size and (block := read_block(path, offset, SLICE_BYTES)):
        newline = block.find(b"\n")
        if newline >= 0:
            return offset + newline + 1
        offset += len(block)
    return size


def _split(data: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _agent_of(kind: str, settings: Settings) -> Agent:
    try:
        return agent_for(kind, settings)
    except RingmasterError:
        return BUILT_IN["command"]


def _ended_after(conn: Connection, seq: int) -> list[tuple[int, str, bool]]:
    """(seq, attempt that ended, whether there was a clean-up) for the next events."""
    return [
        (event.seq, event.attempt_id if event.type == "attempt.ended" else "", event.type == "daemon.cleaned_up")
        for event in events.events_after(conn, seq, EVENTS_AT_ONCE)
    ]


def _find_attempts(directory: Path) -> list[str]:
    """The attempts that have files, the oldest first."""
    found = [path.parent for path in directory.glob("*/*/agent")]
    found.sort(key=lambda path: path.stat().st_mtime)
    return [f"{path.parent.name}/{path.name}" for path in found]


def _find_removed(index: LogIndex, paths: Paths) -> list[str]:
    """The attempts whose output is not there any more."""
    return [id for id in index.attempt_ids() if not (paths.attempt(id) / "agent" / "stdout").exists()]
