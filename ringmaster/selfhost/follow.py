"""Following a task: its events in one thread, the output of its jobs in others, told in one order by the caller's.

The threads block in the socket and end with the process; each has a connection of its own.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from ringmaster.client import Client
from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.attempt import LogsFollowParams
from ringmaster.protocol.event import EventsReadParams, EventsSubscribeParams
from ringmaster.selfhost.screen import Screen
from ringmaster.selfhost.story import Line, Row

TICK_S = 1.0
LOG_GRACE_S = 5.0
"""How long the end of a job waits for the last of its output to be shown before it."""
LONGEST_OUTPUT = 8


class Item(NamedTuple):
    """What a thread has to say. log: the job's key, '' for an event. row: None ends the log."""

    log: str
    row: Row | None
    error: RingmasterError | None = None


class Tale(Protocol):
    """What can be followed. attempt_id, job: of what runs and has output, '' for none."""

    attempt_id: str
    job: str

    @property
    def filter(self) -> dict[str, Any]:
        """Which events to read, as the methods about events take it."""

    @property
    def end(self) -> str | None:
        """Why following is over; None while it goes on."""

    def forget_failure(self) -> None:
        """What is stored was told; from here on only what happens counts."""

    def concerns(self, event: Row) -> bool:
        """Whether an event belongs to it."""

    def take(self, event: Row) -> Line | None:
        """Take the next event in order. What to show of it, None for nothing."""

    def under_way(self) -> tuple[str, float]:
        """What happens at this moment in words, and since when; 0 where that is not known."""


class Follower:
    """Tells one tale on a screen until it is over.

    shown: the number of the last event that was told already; what is stored up to there is taken and not shown.
    """

    def __init__(self, connect: Callable[[], Client], screen: Screen, story: Tale, shown: int = 0) -> None:
        self._connect = connect
        self._screen = screen
        self._story = story
        self._told = self.shown = shown
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._open_logs: set[str] = set()
        self._rest: dict[str, str] = {}

    def follow(self) -> str:
        """From the first event of the project to the end of the story: what is stored, then what happens.

        Raises:
            RingmasterError: the daemon could not be reached any more.
            KeyboardInterrupt: somebody stopped looking; what is told of goes on.
        """
        cursor = self.catch_up()
        self._story.forget_failure()
        if self._story.end is None:
            self._start_log_under_way()
            self._start(self._read_events, cursor)
            self._run()
        end = self._story.end
        assert end is not None, "_run returns at the end alone"
        return end

    def catch_up(self) -> int:
        """Tell what is stored. The number of the last event, behind which comes what happens.

        Raises:
            RingmasterError: the daemon could not be reached any more.
        """
        cursor, self._told = 0, self.shown
        with self._connect() as client:
            while True:
                params = EventsReadParams(after=cursor, **self._story.filter)
                page = client.call("events.read", params, is_repeatable=True)
                for event in page["events"]:
                    self._show(event, is_past=True)
                if page["cursor"] <= cursor:
                    return cursor
                cursor = page["cursor"]

    def _start_log_under_way(self) -> None:
        """The output of the job that runs now, whose start is history."""
        attempt_id, job = self._story.attempt_id, self._story.job
        if attempt_id and job:
            self._start_log(attempt_id, job)

    def _run(self) -> None:
        deferred: deque[Item] = deque()
        deadline = 0.0
        while self._story.end is None:
            item = self._next(deferred, deadline)
            if item is None:
                continue
            if item.error is not None:
                raise item.error
            if item.log:
                self._take_log(item)
            elif deferred or self._awaits_output(item):
                deadline = deadline if deferred else time.monotonic() + LOG_GRACE_S
                deferred.append(item)
            elif item.row is not None:
                self._show(item.row)
        self._flush()

    def _next(self, deferred: deque[Item], deadline: float) -> Item | None:
        """The next to be told. What was put off comes as soon as the output it waits for has been shown."""
        if deferred and (time.monotonic() >= deadline or not self._awaits_output(deferred[0])):
            item = deferred.popleft()
            if item.row is not None:
                self._open_logs.discard(_key(item.row))
                self._show(item.row)
            return None
        try:
            # The time-out is for the clock on the screen and for what was put off; nothing is asked for again.
            waits = [wait_s for wait_s in (self._screen.tick(), TICK_S if deferred else None) if wait_s is not None]
            return self._items.get(timeout=min(waits, default=None))
        except queue.Empty:
            words, began_at = self._story.under_way()
            self._screen.passing(words, max(0.0, time.time() - began_at) if began_at else None)
            return None

    def _awaits_output(self, item: Item) -> bool:
        return item.row is not None and item.row["type"] == "attempt.job_ended" and _key(item.row) in self._open_logs

    def _show(self, event: Row, *, is_past: bool = False) -> None:
        line = self._story.take(event)
        if line is not None and event["seq"] > self._told:
            self._screen.event(*line)
        self.shown = max(self.shown, event["seq"])
        if event["type"] == "attempt.job_started" and not is_past and self._story.concerns(event):
            self._start_log(event["attempt_id"], event["data"]["kind"])

    def _start_log(self, attempt_id: str, job: str) -> None:
        key = f"{attempt_id}:{job}"
        self._open_logs.add(key)
        self._start(self._read_log, key, attempt_id, job)

    def _start(self, function: Callable[..., None], *args: Any) -> None:
        threading.Thread(target=function, args=args, daemon=True).start()

    def _read_events(self, cursor: int) -> None:
        params = EventsSubscribeParams(after=cursor, **self._story.filter)
        try:
            with self._connect() as client:
                for event in client.stream("events.subscribe", params, resume=lambda item: {"after": item["seq"]}):
                    self._items.put(Item("", event))
            raise RuntimeError("the stream of events has no end of its own")
        except RingmasterError as error:
            self._items.put(Item("", None, error))

    def _read_log(self, key: str, attempt_id: str, job: str) -> None:
        stream = "steps" if job == "agent" else "setup" if job == "setup" else "gate"
        params = LogsFollowParams(id=attempt_id, stream=stream, job=job)  # type: ignore[arg-type]
        try:
            with self._connect() as client:
                for chunk in client.stream("logs.follow", params, resume=_behind):
                    self._items.put(Item(key, chunk))
                    if chunk["is_end"]:
                        break
        except RingmasterError as error:
            self._items.put(Item(key, {"text": f"(its output cannot be shown: {error.message})\n", "steps": []}))
        self._items.put(Item(key, None))

    def _take_log(self, item: Item) -> None:
        if item.row is None:
            self._open_logs.discard(item.log)
            self._flush(item.log)
        elif item.row["steps"]:
            for step in item.row["steps"]:
                for text in _lines_of(step):
                    self._screen.detail(text)
        elif item.row.get("stream") != "steps":
            *lines, self._rest[item.log] = (self._rest.get(item.log, "") + item.row["text"]).split("\n")
            for text in lines:
                self._detail(text)

    def _flush(self, key: str = "") -> None:
        """Show lines that were begun and will not be ended."""
        for log in [key] if key else list(self._rest):
            self._detail(self._rest.pop(log, ""))

    def _detail(self, text: str) -> None:
        if text.strip():
            self._screen.detail(text.rstrip())


def _key(event: Row) -> str:
    return f"{event['attempt_id']}:{event['data'].get('kind', '')}"


def _behind(chunk: Row) -> dict[str, Any]:
    return {"id": chunk["attempt_id"], "job": chunk["job"], "offset": chunk["next_offset"]}


def _lines_of(step: Row) -> Iterator[str]:
    lines = [line for line in step["text"].splitlines() if line.strip()]
    # What a step printed stands below it.
    indent = "  " if step["kind"] == "other" else ""
    yield from (f"{indent}{line}" for line in lines[:LONGEST_OUTPUT])
    if len(lines) > LONGEST_OUTPUT:
        yield f"{indent}… {len(lines) - LONGEST_OUTPUT} more lines"
