"""Handlers of `logs.*`: output of an attempt's jobs, at exact offsets, also before and while it is written."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from ringmaster.agents.base import Agent
from ringmaster.agents.registry import BUILT_IN, agent_for
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.output import files as log_files
from ringmaster.output.files import Position
from ringmaster.proc.inotify import Watcher
from ringmaster.proc.tail import open_tail
from ringmaster.protocol.attempt import Following, LogChunk, LogsFollowParams, LogsReadParams, LogStep
from ringmaster.protocol.event import Unsubscribed, UnsubscribeParams
from ringmaster.queue.lookup import resolve_attempt
from ringmaster.redaction.cleaning import whole_characters
from ringmaster.rpc.dispatch import Streaming
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.scope import refuse_other_task
from ringmaster.rpc.services import Ctx, Services
from ringmaster.rpc.streams import Stream
from ringmaster.settings import Settings
from ringmaster.store import attempts
from ringmaster.store.connection import Connection

NOTIFICATION = "logs.chunk"


class Reader:
    """Makes chunks of one attempt's stream."""

    def __init__(self, attempt: Attempt, stream: str, settings: Settings) -> None:
        self.attempt = attempt
        self.stream = stream
        self._agent = _agent_of(attempt, settings)

    @property
    def is_steps(self) -> bool:
        """Whether chunks hold whole lines, told as steps."""
        return self.stream == "steps"

    def chunk(self, job: str, offset: int, data: bytes, *, is_end: bool) -> LogChunk:
        """The chunk of these bytes."""
        steps = tuple(step for line in data.splitlines() for step in self._steps(line)) if self.is_steps else ()
        text = "".join(f"{step.text}\n" for step in steps) if self.is_steps else data.decode("utf-8", "replace")
        return LogChunk(
            attempt_id=self.attempt.id,
            stream=self.stream,
            job=job,
            offset=offset,
            next_offset=offset + len(data),
            text=text,
            data_base64="" if self.is_steps else base64.b64encode(data).decode(),
            is_end=is_end,
            steps=steps,
        )

    def _steps(self, line: bytes) -> tuple[LogStep, ...]:
        return tuple(LogStep(kind=step.kind, text=step.text, at=step.at) for step in self._agent.steps(line))


def _agent_of(attempt: Attempt, settings: Settings) -> Agent:
    try:
        return agent_for(attempt.agent, settings)
    except RingmasterError:
        # The settings do not name it any more; its lines can still be shown as they are.
        return BUILT_IN["command"]


def _find_attempt(conn: Connection, caller: Caller, text: str) -> Attempt:
    attempt = attempts.salvaged_by_id(conn, resolve_attempt(conn, text))
    refuse_other_task(caller, attempt.task_id)
    return attempt


def _position(params: LogsReadParams | LogsFollowParams) -> Position:
    return Position(offset=params.offset, since_at=params.since_at, tail_lines=params.tail_lines)


async def read(ctx: Ctx, params: LogsReadParams) -> LogChunk:
    """One chunk of what is there."""
    log_files.check_job(params.job)
    attempt = await ctx.services.store.read(_find_attempt, ctx.caller, params.id)
    reader = Reader(attempt, params.stream, ctx.services.settings)
    directory = ctx.services.paths.attempt(attempt.id)
    # In a thread: old output may have to come from the disk.
    return await trio.to_thread.run_sync(functools.partial(_read_chunk, reader, directory, params))


def _read_chunk(reader: Reader, directory: Path, params: LogsReadParams) -> LogChunk:
    is_over = reader.attempt.outcome is not None
    job = log_files.find_job(directory, params.stream, params.job)
    if job is None:
        return reader.chunk(params.job, params.offset, b"", is_end=is_over)
    place = directory / job
    path = log_files.output_of(place, params.stream)
    # Asked before reading: what was written before the end is read after it.
    has_ended = is_over or log_files.has_ended(place)
    start = log_files.find_start(place, params.stream, _position(params))
    if reader.is_steps:
        data = log_files.read_lines(path, start, params.max_bytes, has_end=has_ended)
    else:
        data = log_files.read_block(path, start, params.max_bytes)
        if not has_ended or start + len(data) < log_files.size_of(path):
            data = data[: whole_characters(data)] or data
    is_end = has_ended and start + len(data) >= log_files.size_of(path)
    return reader.chunk(job, start, data, is_end=is_end)


async def follow(ctx: Ctx, params: LogsFollowParams) -> Streaming[Following]:
    """Begin a stream of chunks."""
    log_files.check_job(params.job)
    attempt = await ctx.services.store.read(_find_attempt, ctx.caller, params.id)
    # The whole id: what it was shortened to may fit another attempt later.
    number = ctx.connection.reserve_subscription(msgspec.structs.replace(params, id=attempt.id))

    async def produce(stream: Stream) -> None:
        await _Follower(ctx.services, attempt, params, stream).run()

    return Streaming(Following(subscription=number, attempt_id=attempt.id), number, NOTIFICATION, produce)


def unfollow(ctx: Ctx, params: UnsubscribeParams) -> Unsubscribed:
    """End a stream of this connection."""
    return Unsubscribed(was_there=ctx.connection.end_stream(params.subscription))


class _Follower:
    """Sends one attempt's stream until there can be no more of it.

    `_is_over` is set when the attempt has ended: a job that has not begun by then never will.
    """

    def __init__(self, services: Services, attempt: Attempt, params: LogsFollowParams, stream: Stream) -> None:
        self._services = services
        self._attempt = attempt
        self._params = params
        self._stream = stream
        self._watcher: Watcher = services.watcher
        self._reader = Reader(attempt, params.stream, services.settings)
        self._directory = services.paths.attempt(attempt.id)
        self._is_over = trio.Event()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_attempt)
            # An earlier image may have come to the end of a gate; the next one has a number nobody knows.
            told = self._stream.note
            job = await self._wait_for_job("" if told else self._params.job, told)
            is_first = not told
            while job is not None:
                place = self._directory / job
                position = _position(self._params)
                start = log_files.find_start(place, self._params.stream, position) if is_first else 0
                await self._follow_job(job, place, start)
                is_first = False
                job = await self._wait_for_job("", job) if self._params.stream == "gate" else None
            nursery.cancel_scope.cancel()

    async def _send(self, job: str, offset: int, data: bytes) -> int:
        """Send bytes of a job, and return where they end."""
        end = offset + len(data)
        self._stream.resume_at(self._params_at(job, end))
        await self._stream.send(self._reader.chunk(job, offset, data, is_end=False))
        return end

    async def _send_end(self, job: str, offset: int) -> None:
        """Say that a job has ended. Of its stream nothing comes after that, unless it is a gate's."""
        is_gate = self._params.stream == "gate"
        self._stream.resume_at(self._params_at(job, offset) if is_gate else None, note=job)
        await self._stream.send(self._reader.chunk(job, offset, b"", is_end=True))

    def _params_at(self, job: str, offset: int) -> LogsFollowParams:
        return msgspec.structs.replace(
            self._params, id=self._attempt.id, job=job, offset=offset, tail_lines=None, since_at=None
        )

    async def _watch_attempt(self) -> None:
        def is_end(event: Event) -> bool:
            return event.attempt_id == self._attempt.id and event.type == "attempt.ended"

        with self._services.bus.open_subscription(is_end) as events:
            while True:
                attempt = await self._services.store.read(attempts.salvaged_by_id, self._attempt.id)
                if attempt.outcome is not None:
                    self._is_over.set()
                    return
                await anext(events)

    async def _wait_for_job(self, job: str, after: str) -> str | None:
        """The job to read, once it has begun; None when it never will."""
        while True:
            is_over = self._is_over.is_set()
            found = log_files.find_job(self._directory, self._params.stream, job, after=after)
            if found is not None or is_over:
                return found
            place = self._directory
            while not place.is_dir():
                place = place.parent
            try:
                with self._watcher.watch(place) as changes:
                    is_here = log_files.find_job(self._directory, self._params.stream, job, after=after)
                    is_nearer = place != self._directory and _next_part(place, self._directory).is_dir()
                    if is_here is None and not is_nearer:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(_notify_when, self._is_over, changes.notify)
                            await changes.wait()
                            nursery.cancel_scope.cancel()
            except FileNotFoundError:
                # Removed between the look and the watch; the next look finds the place above it.
                await trio.lowlevel.checkpoint()

    async def _follow_job(self, job: str, place: Path, start: int) -> None:
        """Send the job's output from `start` to its end, and the end itself."""
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_job, place, ended)
            path = log_files.output_of(place, self._params.stream)
            async with open_tail(path, start, ended, watcher=self._watcher) as tail:
                # The last lines of now are others later.
                self._stream.resume_at(self._params_at(job, start))
                offset = start
                if self._reader.is_steps:
                    async for line in tail.lines():
                        data = line.data + (b"\n" if line.is_complete else b"")
                        offset = await self._send(job, line.offset, data)
                else:
                    rest = b""
                    async for chunk in tail.chunks():
                        data = rest + chunk.data
                        cut = whole_characters(data)
                        data, rest = data[:cut], data[cut:]
                        if data:
                            offset = await self._send(job, offset, data)
                    if rest:
                        offset = await self._send(job, offset, rest)
            await self._send_end(job, offset)
            nursery.cancel_scope.cancel()

    async def _watch_job(self, place: Path, ended: trio.Event) -> None:
        """Set `ended` when the job has said how it ended, or its attempt is over: then its shim is gone too."""
        with self._watcher.watch(place) as changes:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_notify_when, self._is_over, changes.notify)
                while not (self._is_over.is_set() or log_files.has_ended(place)):
                    await changes.wait()
                ended.set()
                nursery.cancel_scope.cancel()


async def _notify_when(event: trio.Event, notify: Callable[[], None]) -> None:
    await event.wait()
    notify()


def _next_part(place: Path, directory: Path) -> Path:
    """The first directory below `place` on the way to `directory`."""
    return place / directory.relative_to(place).parts[0]
