"""One source, read once for all who follow it: rendered and encoded, kept for a while, and never waited for."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec
import trio

from ringmaster.agents.base import Agent
from ringmaster.feed.cursor import Source
from ringmaster.feed.figures import FeedFigures
from ringmaster.output import files
from ringmaster.output.rendering import LOOK_BACK, LinesRenderer, Rendered, StepsRenderer, View, open_renderer
from ringmaster.output.secrets import find_redactor
from ringmaster.proc.inotify import Changes, Watcher
from ringmaster.protocol.feed import Lines, Steps
from ringmaster.redaction.redactor import Redactor

log = logging.getLogger("ringmaster.feed")

PIECE_BYTES = 24 * 1024
"""As JSON it may be twice as long."""
LONGEST_BYTES = 8 * 1024 * 1024
"""What a renderer may ask for at most before it says something: a line of steps."""
RING_BYTES = 1024 * 1024
AHEAD_BYTES = 256 * 1024
"""How far it reads ahead of the foremost follower, so that a burst does not push out what the others will want."""
GATHER_S = 0.004
"""How long what comes drop by drop is gathered: a line a message would cost each follower a wake-up a line."""
PARTIAL_S = 1.0
"""How long a line that is not ended is waited for."""


Renderer: TypeAlias = LinesRenderer | StepsRenderer


class Follower(Protocol):
    """Who is told that there is more."""

    def wake_source(self, source: Source) -> None:
        """There is more of it, or its end. On the loop; never blocks."""


class Chunk(msgspec.Struct, frozen=True):
    """A message about the bytes from `offset` to `next_offset` of a source, encoded."""

    offset: int
    next_offset: int
    text: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to read a source. directory: of its job. agent: whose lines they are."""

    source: Source
    attempt_directory: Path
    agent: Agent

    @property
    def directory(self) -> Path:
        """Of the job."""
        return self.attempt_directory / self.source.job

    @property
    def path(self) -> Path:
        """The file."""
        return self.directory / self.source.channel


def encode_message(source: Source, offset: int, next_offset: int, rendered: Rendered, *, is_partial: bool) -> str:
    """The message about a rendered piece."""
    if source.output == "steps":
        steps = Steps(
            attempt_id=source.attempt_id, job=source.job, offset=offset, next_offset=next_offset, steps=rendered.steps
        )
        return msgspec.json.encode(steps).decode()
    lines = Lines(
        attempt_id=source.attempt_id,
        job=source.job,
        output=source.output,
        offset=offset,
        next_offset=next_offset,
        text=rendered.text,
        is_partial=is_partial,
    )
    return msgspec.json.encode(lines).decode()


def encode_end(source: Source, offset: int) -> str:
    """The message that says that a source has ended at `offset`."""
    attempt_id, job, output = source
    end = (
        Steps(attempt_id=attempt_id, job=job, offset=offset, next_offset=offset, is_end=True)
        if output == "steps"
        else Lines(attempt_id=attempt_id, job=job, output=output, offset=offset, next_offset=offset, is_end=True)
    )
    return msgspec.json.encode(end).decode()


class Reader:
    """Follows one source from where it stood when it began. Who ends it cancels `scope` and calls `close`.

    start: offset of the oldest chunk that is kept; end: behind the newest. is_complete: nothing can come after `end`.
    has_failed: because it could not be read on.
    """

    def __init__(self, origin: Origin, watcher: Watcher, figures: FeedFigures, *, is_over: bool) -> None:
        self.origin = origin
        self.source = origin.source
        self.start = 0
        self.end = 0
        self.is_complete = False
        self.has_failed = False
        self.redactor: Redactor | None = None
        self.followers: dict[Follower, None] = {}
        self.scope = trio.CancelScope()
        self._watcher = watcher
        self._figures = figures
        self._fd = -1
        self._is_over = is_over
        self._has_more = False
        self._foremost = 0
        self._room = trio.Event()
        self._ready = trio.Event()
        self._ring: OrderedDict[int, Chunk] = OrderedDict()
        self._ring_bytes = 0
        self._renderer: Renderer | None = None
        self._notify: Callable[[], None] = lambda: None

    async def wait_ready(self) -> None:
        """Until `start` and `end` say where it begins."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether it has begun."""
        return self._ready.is_set()

    def end_soon(self) -> None:
        """Its writers are dead: what is in the file now is all."""
        self._is_over = True
        self._notify()

    def chunk_at(self, offset: int) -> Chunk | None:
        """The chunk that begins there, while it is kept."""
        return self._ring.get(offset)

    def chunk_around(self, offset: int) -> Chunk | None:
        """The kept chunk that holds the byte at `offset`."""
        # From the newest: whoever asks has just come close to it.
        for chunk in reversed(self._ring.values()):
            if chunk.offset <= offset < chunk.next_offset:
                return chunk
            if chunk.next_offset <= offset:
                return None
        return None

    def expect(self, offset: int) -> None:
        """A follower has all before `offset`. The reader goes on while it is not far ahead of the foremost of them."""
        if offset > self._foremost:
            self._foremost = offset
            if offset - self.end > RING_BYTES:
                # Whoever has begun near the end of the file has nothing from what the slower ones still wait for.
                self.skip_to_end()
            if self.end - offset <= AHEAD_BYTES // 2:
                self._room.set()

    def skip_to_end(self) -> None:
        """Go on with the file's last line that is not ended, where that lies ahead. Blocking, some microseconds."""
        begin = self._find_last_line()
        if begin > self.end:
            self._ring.clear()
            self._ring_bytes = 0
            self._begin_at(begin)
            self._room.set()
            # Who had all so far waits for what was skipped now, and no chunk will say that it is there.
            self._wake()

    def extent(self) -> int:
        """Bytes in the file, when it was last read to its end or now. Blocking, some microseconds."""
        return self.size() if self._has_more else self.end

    def size(self) -> int:
        """Bytes in the file now; 0 where there is none. Blocking, some microseconds."""
        self._open()
        return os.fstat(self._fd).st_size if self._fd >= 0 else 0

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the file; fewer at its end. Blocking."""
        self._open()
        return os.pread(self._fd, count, offset) if self._fd >= 0 and count > 0 else b""

    def make_renderer(self, offset: int) -> Renderer:
        """A renderer of what lies at `offset`, which knows what lies before. Blocking."""
        assert self.redactor is not None
        before = self.read(max(0, offset - LOOK_BACK), min(offset, LOOK_BACK))
        view: View = "steps" if self.source.output == "steps" else "lines"
        return open_renderer(view, self.redactor, self.origin.agent, before)

    async def run(self) -> None:
        """Read until the source is complete or `scope` is cancelled. Followers are woken for each chunk and the end.

        Raises nothing: what cannot be read is logged, and ends there.
        """
        try:
            with self.scope:
                await trio.to_thread.run_sync(self._prepare)
                self._ready.set()
                self._wake()
                try:
                    with self._watcher.watch(self.origin.directory) as changes:
                        self._notify = changes.notify
                        await self._follow(changes)
                except FileNotFoundError:
                    # The directory went with a clean-up: nothing comes any more.
                    self._complete()
        except Exception:  # the boundary of a source: another's output, and the daemon, have nothing to do with it
            log.exception("output of %s cannot be followed: %s", self.source.attempt_id, self.origin.path)
            self.has_failed = True
            self._complete()
        finally:
            self._ready.set()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd < 0:
            with contextlib.suppress(FileNotFoundError):
                self._fd = os.open(self.origin.path, os.O_RDONLY | os.O_CLOEXEC)

    def _prepare(self) -> None:
        self.redactor = find_redactor(self.origin.attempt_directory)
        self._begin_at(self._find_last_line())

    def _find_last_line(self) -> int:
        """Where the last line begins that is not ended; the end where that is far away."""
        size = self.size()
        before = self.read(max(0, size - LOOK_BACK), min(size, LOOK_BACK))
        newline = before.rfind(b"\n")
        return size - (len(before) - newline - 1) if newline >= 0 else (0 if size <= len(before) else size)

    def _begin_at(self, offset: int) -> None:
        self.start = self.end = self._foremost = offset
        self._renderer = self.make_renderer(offset)

    async def _follow(self, changes: Changes) -> None:
        piece_bytes = PIECE_BYTES
        pending_since: float | None = None
        while True:
            if self.end - self._foremost > AHEAD_BYTES:
                self._room = trio.Event()
                await self._room.wait()
            renderer = self._renderer
            assert renderer is not None
            # Asked before reading: what was written before the end was told is read after it.
            is_last = self._is_over or files.has_ended(self.origin.directory)
            data = self.read(self.end, piece_bytes)
            is_all = len(data) < piece_bytes
            self._has_more = not is_all
            now = trio.current_time()
            is_due = pending_since is not None and now >= pending_since + PARTIAL_S and not self._is_steps
            rendered = Rendered(0)
            if data:
                rendered = renderer.take(data, is_last=is_last and is_all, is_due=is_due, is_brief=True)
            if rendered.length:
                self._publish(data[: rendered.length], rendered)
                piece_bytes, pending_since = PIECE_BYTES, None
                if is_all and not is_last and rendered.length == len(data):
                    await trio.sleep(GATHER_S)
                else:
                    await trio.lowlevel.checkpoint()
            elif data and not is_all:
                piece_bytes = min(piece_bytes * 4, LONGEST_BYTES + PIECE_BYTES)
                await trio.lowlevel.checkpoint()
            elif is_last:
                self._complete()
                return
            else:
                if data and pending_since is None:
                    pending_since = now
                until = math.inf
                if pending_since is not None and not is_due and not self._is_steps:
                    until = pending_since + PARTIAL_S
                # What is due and cannot be said yet, as half an escape, waits for what is written next.
                with trio.move_on_at(until):
                    await changes.wait()

    @property
    def _is_steps(self) -> bool:
        return self.source.output == "steps"

    def _publish(self, data: bytes, rendered: Rendered) -> None:
        offset, self.end = self.end, self.end + rendered.length
        is_partial = not data.endswith(b"\n")
        chunk = Chunk(offset, self.end, encode_message(self.source, offset, self.end, rendered, is_partial=is_partial))
        self._ring[offset] = chunk
        self._ring_bytes += len(chunk.text)
        while self._ring_bytes > RING_BYTES and len(self._ring) > 1:
            _, oldest = self._ring.popitem(last=False)
            self._ring_bytes -= len(oldest.text)
            self.start = oldest.next_offset
        self._figures.rendered_bytes += rendered.length
        self._wake()

    def _complete(self) -> None:
        self.is_complete = True
        self._wake()

    def _wake(self) -> None:
        for follower in self.followers:
            follower.wake_source(self.source)
