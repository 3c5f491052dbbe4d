"""One subscription: it takes what is next for it from readers and files, at its own pace, and waits for nobody."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import trio

from ringmaster.bus import Wakeup
from ringmaster.feed.beginning import About, Beginning, Known, Start, find_about, find_beginning, job_of, snapshot_of
from ringmaster.feed.cursor import Cursor, CursorError, Source, decode_cursor, encode_cursor
from ringmaster.feed.position import Position
from ringmaster.feed.reader import PIECE_BYTES
from ringmaster.feed.wanted import JOB_EVENTS, Wanted
from ringmaster.model.attempt import Attempt
from ringmaster.model.event import Event
from ringmaster.output import files
from ringmaster.proc.job import is_held
from ringmaster.protocol.feed import Bye, CursorExpired, Hello, Mark, Resync
from ringmaster.queue.feed import EventFilter, Look, look_after

if TYPE_CHECKING:
    from ringmaster.feed.feed import Feed

log = logging.getLogger("ringmaster.feed")

FRAME_BYTES = 64 * 1024
MARK_S = 0.25
MARK_SOURCES = 1000
"""Sources that a cursor may name for a mark to come every `MARK_S`; of more it comes as much more seldom."""
EVENTS_AT_ONCE = 500
WORKERS_KEPT = 1000
"""Attempts of which a session knows the worker without asking."""
TAILS_AT_ONCE = 32
"""Sources whose last lines are looked for in one go: a thread for each costs more than the look."""
TURN_PIECES = 64
"""Messages put into a frame at most: what a turn of the loop takes stays some milliseconds."""


def encode(message: msgspec.Struct) -> str:
    """A message as it is sent."""
    return msgspec.json.encode(message).decode()


def _find_tails(positions: list[Position], count: int) -> list[int]:
    """Where the last lines of each begin. Blocking."""
    return [_find_tail(position, count) for position in positions]


def _find_tail(position: Position, count: int) -> int:
    path = position.reader.origin.path
    try:
        if count:
            return files.last_lines_offset(path, count)
        # Behind what was told of a line that is not ended; and not where the reader waits for somebody slow.
        return max(position.reader.end, files.open_line_offset(path))
    except OSError:
        # That it cannot be read is told where it is read.
        return position.reader.end


class Frame:
    """Messages that go out together."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.size = 0

    def add(self, text: str) -> None:
        """Put a message behind the others."""
        self.messages.append(text)
        self.size += len(text)

    @property
    def is_full(self) -> bool:
        """Whether the next message goes into the next frame. A piece of output has at most twice its bytes."""
        return self.size > FRAME_BYTES - 2 * PIECE_BYTES or len(self.messages) >= TURN_PIECES


class Session:
    """Made and closed by `Feed.open_session`. For one trio task, which asks for frames and sends them.

    has_given: whether any frame was given. may_skip: output that the reader is too far behind for is left out, with
    `resync`; otherwise it is waited for.
    """

    def __init__(self, feed: Feed, wanted: Wanted, *, may_skip: bool) -> None:
        self.wanted = wanted
        self._feed = feed
        self._may_skip = may_skip
        self._seq = 0
        self._positions: dict[Source, Position] = {}
        self._due: dict[Source, None] = {}
        self._unreadable: dict[Source, int] = {}
        self._workers: OrderedDict[str, str] = OrderedDict()
        self._wakeup = Wakeup()
        self._first = Frame()
        self._given = Cursor(feed.instance_id, 0, {})
        self._marked_at = -math.inf
        self._is_unmarked = False
        self._is_over = False
        self.has_given = False

    # Beginning.

    async def begin(self, start: Start) -> None:
        """Find where it begins; `next_frame` then gives `hello` first. To be called once, before anything else."""
        cursor, expired = self._read_cursor(start.cursor)
        store = self._feed.store
        beginning = await store.read(find_beginning, self.wanted, cursor, expired)
        is_expired = bool(beginning.expired)
        if not is_expired and cursor is not None:
            reason = await trio.to_thread.run_sync(self._find_lost_output, beginning)
            if reason:
                beginning = await store.read(find_beginning, self.wanted, None, reason)
                is_expired = True
        self._seq = beginning.seq
        starting = [
            self._start(known, beginning.offsets, cursor is not None and not is_expired) for known in beginning.attempts
        ]
        begun = [position for pairs in starting for position, is_new in pairs if is_new]
        for position in self._positions.values():
            # They begin beside each other: the last is waited for.
            await position.reader.wait_ready()
        await self._begin_at_tails(begun, start.tail_lines)
        self._is_over = beginning.is_named_over
        self._given = self._here()
        text = self.cursor()
        generation = self._feed.generation()
        if start.is_told:
            self._first.add(encode(Hello(instance=self._feed.instance_id, generation=generation, cursor=text)))
        if is_expired:
            self._first.add(encode(CursorExpired(reason=beginning.expired)))
            self._first.add(encode(snapshot_of(beginning, text, generation)))
        self._due.update(dict.fromkeys(self._positions))
        self._wakeup.set()

    def _read_cursor(self, text: str) -> tuple[Cursor | None, str]:
        if not text:
            return None, ""
        try:
            cursor = decode_cursor(text)
        except CursorError as error:
            return None, str(error)
        if cursor.instance != self._feed.instance_id:
            return None, "it is of another instance"
        return cursor, ""

    def _find_lost_output(self, beginning: Beginning) -> str:
        """Why an offset of the cursor cannot be gone on from; '' where all can. Blocking."""
        for source, offset in beginning.offsets.items():
            directory = self._feed.paths.attempt(source.attempt_id) / source.job
            if offset > files.size_of(directory / source.channel) or files.is_removed(directory):
                return f"output of {source.attempt_id} that it names is gone"
        return ""

    def _start(self, known: Known, offsets: dict[Source, int], is_resumed: bool) -> list[tuple[Position, bool]]:
        """Positions in an attempt's sources, and whether each still has to be given its offset."""
        started: list[tuple[Position, bool]] = []
        attempt = known.attempt
        self._keep_worker(attempt)
        # Of one that is named all is shown, also what has ended.
        is_named = attempt.id == self.wanted.attempt_id and not is_resumed
        for job, is_ended in known.jobs.items():
            for source in self.wanted.sources_of(attempt.id, job):
                offset = offsets.get(source)
                if offset is None and is_ended and not is_named:
                    continue
                position = self._add(attempt, source, offset or 0, is_ended=is_ended)
                started.append((position, offset is None))
        return started

    async def _begin_at_tails(self, positions: list[Position], tail_lines: int | None) -> None:
        """Put them at their last lines; where they are for all of it."""
        if tail_lines is not None:
            for at in range(0, len(positions), TAILS_AT_ONCE):
                group = positions[at : at + TAILS_AT_ONCE]
                offsets = await trio.to_thread.run_sync(_find_tails, group, tail_lines)
                for position, offset in zip(group, offsets, strict=True):
                    position.offset = offset

    def _add(self, attempt: Attempt, source: Source, offset: int, *, is_ended: bool) -> Position:
        is_over = (is_ended or attempt.outcome is not None) and not self._is_alive(source)
        reader = self._feed.open_reader(self, attempt, source, is_over=is_over)
        position = self._positions[source] = Position(reader, offset, is_ended=is_ended)
        self._due[source] = None
        return position

    def _is_alive(self, source: Source) -> bool:
        """Whether somebody still writes. An attempt may end before its job: who rejects it does not wait for a gate."""
        return is_held(self._feed.paths.attempt(source.attempt_id) / source.job / "lock")

    # Going on.

    def wake_source(self, source: Source) -> None:
        """A reader has more. On the loop; never blocks."""
        self._due[source] = None
        self._wakeup.set()

    def wake_events(self) -> None:
        """There are more events. On the loop; never blocks."""
        self._wakeup.set()

    @property
    def is_at_end(self) -> bool:
        """Whether nothing can come any more: the attempt that was asked for is over, and its output was given."""
        return self._is_over and not self._positions and not self._first.messages

    def cursor(self) -> str:
        """Where the subscriber is after the frames it was given."""
        return encode_cursor(self._given)

    def _here(self) -> Cursor:
        """Where it is after what was put into a frame."""
        offsets = {source: position.offset for source, position in self._positions.items()} | self._unreadable
        return Cursor(self._feed.instance_id, self._seq, offsets)

    @property
    def _next_mark_at(self) -> float:
        # A cursor of fifteen thousand sources takes 7 ms to write.
        return self._marked_at + MARK_S * max(1.0, len(self._given.offsets) / MARK_SOURCES)

    def _give(self, frame: Frame) -> list[str]:
        self._given = self._here()
        self.has_given = True
        now = trio.current_time()
        if now >= self._next_mark_at:
            frame.add(encode(Mark(cursor=self.cursor())))
            self._marked_at = now
            self._is_unmarked = False
        else:
            self._is_unmarked = True
        self._feed.note_frame(frame.size)
        return frame.messages

    def bye(self, reason: str) -> str:
        """The last message."""
        return encode(Bye(reason="reload" if reason == "reload" else "stop", cursor=self.cursor()))

    async def next_frame(self) -> list[str]:
        """The next messages, as soon as there are any; none when nothing can come any more.

        Always a checkpoint. Cancelled it may have taken up what it does not give: who goes on does so from the cursor
        that held before the call.
        """
        await trio.lowlevel.checkpoint()
        while True:
            frame, self._first = self._first, Frame()
            if not frame.messages:
                await self._fill(frame)
            if frame.messages:
                return self._give(frame)
            if not self._is_unmarked:
                if self.is_at_end:
                    return []
                await self._wakeup.wait()
                continue
            with trio.move_on_at(-math.inf if self.is_at_end else self._next_mark_at):
                await self._wakeup.wait()
                continue
            self._marked_at = -math.inf
            return self._give(frame)

    async def _fill(self, frame: Frame) -> None:
        await self._take_events(frame)
        for source in list(self._due):
            if frame.is_full:
                return
            # To the end of the row: who writes most does not keep the others waiting.
            del self._due[source]
            await self._take_source(frame, source)

    async def _take_source(self, frame: Frame, source: Source) -> None:
        position = self._positions.get(source)
        if position is None:
            return
        try:
            await self._take_piece(frame, position)
        except OSError as error:
            # Of one source, as where descriptors have run out: the others go on.
            log.warning("output of %s cannot be read: %s", source.attempt_id, error)
            self._leave_off(frame, position, f"{error.strerror or error}")

    async def _take_piece(self, frame: Frame, position: Position) -> None:
        source = position.source
        if self._may_skip and (gap := position.find_gap()) is not None:
            self._feed.figures.resyncs += 1
            frame.add(encode(Resync(cursor=encode_cursor(self._here()), gaps=(gap,))))
        piece = await position.next_piece()
        if piece is not None and not piece.is_end:
            frame.add(piece.text)
            self._due[source] = None
        elif reason := position.find_failure():
            self._leave_off(frame, position, reason)
        elif piece is not None:
            if position.is_gone():
                frame.add(position.unreadable("it was removed by a clean-up"))
            frame.add(piece.text)
            self._leave(source)

    def _leave_off(self, frame: Frame, position: Position, reason: str) -> None:
        """Say that nothing more of a source comes. It stays in the cursor, for who tries again."""
        frame.add(position.unreadable(reason))
        self._unreadable[position.source] = position.offset
        self._leave(position.source)

    def _leave(self, source: Source) -> None:
        self._feed.close_reader(self, self._positions.pop(source).reader)

    async def _take_events(self, frame: Frame) -> None:
        while self._seq < self._feed.last_seq and not frame.is_full:
            recent = self._feed.events_after(self._seq, TURN_PIECES)
            if recent is None:
                about = EventFilter(
                    project_id=self.wanted.project_id, task_id=self.wanted.task_id, attempt_id=self.wanted.attempt_id
                )
                look: Look = await self._feed.store.read(look_after, about, self._seq, EVENTS_AT_ONCE)
                if await self._take(frame, look.events):
                    # What the filter left out behind the last one has been looked at too.
                    self._seq = max(self._seq, look.cursor)
            else:
                await self._take(frame, recent)

    async def _take(self, frame: Frame, events: Iterable[Event]) -> bool:
        """Put events into the frame; False when it was full before the last of them."""
        for event in events:
            if frame.is_full:
                return False
            about = await self._look_up(event)
            worker_id = self._workers.get(event.attempt_id, "") if event.attempt_id else ""
            # From here on without a checkpoint: the event, its jobs and `seq` are one step.
            if self.wanted.is_about(event, worker_id):
                if self.wanted.is_shown(event):
                    frame.add(self._feed.encode_event(event))
                self._note(event, about)
            self._seq = event.seq
        return True

    async def _look_up(self, event: Event) -> About | None:
        """What a job's event is about, whose output begins or ends; and the worker, where that is asked for."""
        is_job = event.type in JOB_EVENTS and self.wanted.has_output
        is_asked = bool(self.wanted.worker_id) and event.attempt_id and event.attempt_id not in self._workers
        if not event.attempt_id or not (is_job or is_asked):
            return None
        about = await self._feed.store.read(find_about, event)
        if about.attempt is not None:
            self._keep_worker(about.attempt)
        return about

    def _keep_worker(self, attempt: Attempt) -> None:
        if not self.wanted.worker_id:
            return
        self._workers[attempt.id] = attempt.worker_id
        if len(self._workers) > WORKERS_KEPT:
            self._workers.popitem(last=False)

    def _note(self, event: Event, about: About | None) -> None:
        if event.type == "attempt.ended":
            self._end_attempt(event.attempt_id)
        if event.type not in JOB_EVENTS or about is None or about.attempt is None or not self.wanted.has_output:
            return
        is_ended = event.type == "attempt.job_ended"
        for source in self.wanted.sources_of(event.attempt_id, job_of(event)):
            position = self._positions.get(source)
            if position is None and about.had_begun:
                # It was told to its end when its attempt ended, or is none of those that it began with.
                continue
            if position is None:
                # Also at its end, where nobody lived to say that it had begun.
                position = self._add(about.attempt, source, 0, is_ended=is_ended)
            if is_ended:
                self._end(position)

    def _end_attempt(self, attempt_id: str) -> None:
        self._is_over = self._is_over or attempt_id == self.wanted.attempt_id
        for source, position in self._positions.items():
            # Of a job whose end nobody could tell.
            if source.attempt_id == attempt_id:
                self._end(position)

    def _end(self, position: Position) -> None:
        position.is_ended = True
        if not self._is_alive(position.source):
            position.reader.end_soon()
        self._due[position.source] = None

    def close(self) -> None:
        """Leave all readers. `Feed.open_session` does it."""
        for position in self._positions.values():
            self._feed.close_reader(self, position.reader)
        self._positions.clear()
