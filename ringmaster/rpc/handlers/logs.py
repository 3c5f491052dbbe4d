"""Handlers of `logs.*`: output of an attempt's jobs, at exact offsets, also before and while it is written."""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from ringmaster.agents.base import Agent
from ringmaster.agents.registry import BUILT_IN, agent_for
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.output import files as log_files
from ringmaster.output.files import Position
from ringmaster.output.rendering import LOOK_BACK, LinesRenderer, Rendered, StepsRenderer, View, open_renderer
from ringmaster.output.searching import search_logs
from ringmaster.output.secrets import find_redactor
from ringmaster.proc.inotify import Watcher
from ringmaster.proc.tail import Tail, open_tail
from ringmaster.protocol.attempt import Following, LogChunk, LogsFollowParams, LogsReadParams, LogStep, LogStream
from ringmaster.protocol.event import Unsubscribed, UnsubscribeParams
from ringmaster.protocol.logs import LogsFound, LogsSearchParams
from ringmaster.queue.lookup import resolve_attempt, resolve_project, resolve_task
from ringmaster.rpc.dispatch import Streaming
from ringmaster.rpc.rights import Caller, Right
from ringmaster.rpc.scope import own_task, refuse_other_task
from ringmaster.rpc.services import Ctx, Services
from ringmaster.rpc.streams import Stream
from ringmaster.settings import Settings
from ringmaster.store import attempts
from ringmaster.store.connection import Connection

NOTIFICATION = "logs.chunk"
DUE_S = 1.0
"""How long a line waits for its end before its beginning is sent."""


class Reader:
    """Makes chunks of one attempt's stream: as it is shown, or with `is_raw` the untouched bytes."""

    def __init__(self, attempt: Attempt, params: LogsReadParams | LogsFollowParams, services: Services) -> None:
        self.attempt = attempt
        self.stream = params.stream
        self.is_raw = params.is_raw and params.stream != "steps"
        self.directory = services.paths.attempt(attempt.id)
        self._agent = _agent_of(attempt, services.settings)

    def open_renderer(self, before: bytes) -> LinesRenderer | StepsRenderer:
        """What makes text or steps of the bytes that follow `before`. Blocking: looks for the job's secrets."""
        view: View = "steps" if self.stream == "steps" else "lines"
        return open_renderer(view, find_redactor(self.directory), self._agent, before)

    def shown(self, job: str, offset: int, rendered: Rendered, *, is_end: bool) -> LogChunk:
        """The chunk of what was rendered."""
        text = "".join(f"{step.text}\n" for step in rendered.steps) if self.stream == "steps" else rendered.text
        return self._chunk(job, offset, rendered.length, is_end=is_end, text=text, steps=rendered.steps)

    def raw(self, job: str, offset: int, data: bytes, *, is_end: bool) -> LogChunk:
        """The chunk of untouched bytes."""
        return self._chunk(job, offset, len(data), is_end=is_end, data_base64=base64.b64encode(data).decode())

    def _chunk(
        self,
        job: str,
        offset: int,
        length: int,
        *,
        is_end: bool,
        text: str = "",
        data_base64: str = "",
        steps: tuple[LogStep, ...] = (),
    ) -> LogChunk:
        return LogChunk(
            attempt_id=self.attempt.id,
            stream=self.stream,
            job=job,
            offset=offset,
            next_offset=offset + length,
            text=text,
            data_base64=data_base64,
            is_end=is_end,
            steps=steps,
        )


def _agent_of(attempt: Attempt, settings: Settings) -> Agent:
    try:
        return agent_for(attempt.agent, settings)
    except RingmasterError:
        # The settings do not name it any more; its lines can still be shown as they are.
        return BUILT_IN["command"]


def _stream_of(stream: LogStream, attempt: Attempt, settings: Settings, *, is_raw: bool) -> LogStream:
    """The stream that is meant."""
    if stream:
        return stream
    return "steps" if not is_raw and _agent_of(attempt, settings).is_stdout_for_programs else "stdout"


def _find_attempt(conn: Connection, caller: Caller, text: str) -> Attempt:
    attempt = attempts.salvaged_by_id(conn, resolve_attempt(conn, text))
    refuse_other_task(caller, attempt.task_id)
    return attempt


def _position(params: LogsReadParams | LogsFollowParams) -> Position:
    before = params.before if isinstance(params, LogsReadParams) else None
    return Position(offset=params.offset, since_at=params.since_at, tail_lines=params.tail_lines, before=before)


def _refuse_raw(caller: Caller, params: LogsReadParams | LogsFollowParams) -> None:
    """Raises PERMISSION for who is no person and asks for untouched bytes: they may hold keys."""
    if params.is_raw and Right.OPERATE not in caller.rights:
        raise RingmasterError(
            ErrorKind.PERMISSION,
            "untouched output may hold keys and is for people alone",
            "ask without is_raw: rmctl logs without --raw",
        )


async def read(ctx: Ctx, params: LogsReadParams) -> LogChunk:
    """One chunk of what is there."""
    log_files.check_job(params.job)
    _refuse_raw(ctx.caller, params)
    attempt = await ctx.services.store.read(_find_attempt, ctx.caller, params.id)
    stream = _stream_of(params.stream, attempt, ctx.services.settings, is_raw=params.is_raw)
    params = msgspec.structs.replace(params, stream=stream)
    reader = Reader(attempt, params, ctx.services)
    # In a thread: old output may have to come from the disk.
    return await trio.to_thread.run_sync(functools.partial(_read_chunk, reader, params))


def _read_chunk(reader: Reader, params: LogsReadParams) -> LogChunk:
    log_files.refuse_removed(reader.attempt.id, reader.directory)
    is_over = reader.attempt.outcome is not None
    job = log_files.find_job(reader.directory, params.stream, params.job)
    if job is None:
        return reader.raw(params.job, params.offset, b"", is_end=is_over)
    place = reader.directory / job
    path = log_files.output_of(place, params.stream)
    # Asked before reading: what was written before the end is read after it.
    has_ended = is_over or log_files.has_ended(place)
    start = log_files.find_start(place, params.stream, _position(params))
    if reader.is_raw:
        count = params.max_bytes if params.before is None else min(params.max_bytes, max(0, params.before - start))
        data = log_files.read_block(path, start, count)
        return reader.raw(job, start, data, is_end=has_ended and start + len(data) >= log_files.size_of(path))
    rendered = log_files.read_rendered(
        path, start, params.max_bytes, reader.open_renderer, before=params.before, has_end=has_ended
    )
    is_end = has_ended and start + rendered.length >= log_files.size_of(path)
    return reader.shown(job, start, rendered, is_end=is_end)


async def search(ctx: Ctx, params: LogsSearchParams) -> LogsFound:
    """Steps that hold the words; for an attempt, of its own task's attempts alone."""

    def resolve(conn: Connection) -> tuple[LogsSearchParams, list[Attempt], str]:
        wanted = msgspec.structs.replace(
            params,
            project_id=resolve_project(conn, params.project_id) if params.project_id else "",
            task_id=resolve_task(conn, params.task_id) if params.task_id else own_task(ctx.caller),
            attempt_id=_find_attempt(conn, ctx.caller, params.attempt_id).id if params.attempt_id else "",
        )
        refuse_other_task(ctx.caller, wanted.task_id)
        live = [attempt for attempt in attempts.salvaged_live(conn) if _is_asked_for(wanted, attempt)]
        return wanted, live[::-1], attempts.last_ended(conn)

    wanted, live, newest = await ctx.services.store.read(resolve)
    return await trio.to_thread.run_sync(search_logs, wanted, live, ctx.services.paths, ctx.services.settings, newest)


def _is_asked_for(params: LogsSearchParams, attempt: Attempt) -> bool:
    return (
        params.project_id in ("", attempt.project_id)
        and params.task_id in ("", attempt.task_id)
        and params.attempt_id in ("", attempt.id)
    )


async def follow(ctx: Ctx, params: LogsFollowParams) -> Streaming[Following]:
    """Begin a stream of chunks."""
    log_files.check_job(params.job)
    _refuse_raw(ctx.caller, params)
    attempt = await ctx.services.store.read(_find_attempt, ctx.caller, params.id)
    directory = ctx.services.paths.attempt(attempt.id)
    await trio.to_thread.run_sync(log_files.refuse_removed, attempt.id, directory)
    stream = _stream_of(params.stream, attempt, ctx.services.settings, is_raw=params.is_raw)
    # The whole id: what it was shortened to may fit another attempt later.
    params = msgspec.structs.replace(params, id=attempt.id, stream=stream)
    number = ctx.connection.reserve_subscription(params)

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
        self._reader = Reader(attempt, params, services)
        self._directory = self._reader.directory
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

    async def _send(self, job: str, chunk: LogChunk) -> int:
        """Send a chunk of a job, and return where it ends."""
        self._stream.resume_at(self._params_at(job, chunk.next_offset))
        await self._stream.send(chunk)
        return chunk.next_offset

    async def _send_end(self, job: str, offset: int) -> None:
        """Say that a job has ended. Of its stream nothing comes after that, unless it is a gate's."""
        is_gate = self._params.stream == "gate"
        self._stream.resume_at(self._params_at(job, offset) if is_gate else None, note=job)
        await self._stream.send(self._reader.raw(job, offset, b"", is_end=True))

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
                if self._reader.is_raw:
                    offset = start
                    async for chunk in tail.chunks():
                        offset = await self._send(job, self._reader.raw(job, offset, chunk.data, is_end=False))
                else:
                    offset = await self._send_shown(job, path, tail, start)
            await self._send_end(job, offset)
            nursery.cancel_scope.cancel()

    async def _send_shown(self, job: str, path: Path, tail: Tail, offset: int) -> int:
        """Send the job's output as it is shown, whole lines and what has waited `DUE_S` for its end."""
        ahead = min(offset, LOOK_BACK)
        before = await trio.to_thread.run_sync(log_files.read_block, path, offset - ahead, ahead)
        renderer = await trio.to_thread.run_sync(self._reader.open_renderer, before)
        waiting, due_at = b"", math.inf
        is_last = False
        while not is_last:
            with trio.move_on_at(due_at) as scope:
                chunk = await tail.next_chunk()
                is_last = chunk is None
                waiting += chunk.data if chunk is not None else b""
            rendered = renderer.take(waiting, is_last=is_last, is_due=scope.cancelled_caught)
            if rendered.length:
                waiting = waiting[rendered.length :]
                offset = await self._send(job, self._reader.shown(job, offset, rendered, is_end=False))
            if not waiting or scope.cancelled_caught:
                # What has waited and stays waits for more: it may be half a key.
                due_at = math.inf
            elif rendered.length or due_at == math.inf:
                due_at = trio.current_time() + DUE_S
        return offset

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
