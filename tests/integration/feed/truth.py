"""What really happened: every event, and every byte that a job wrote with what may be seen of it."""

from __future__ import annotations

import bisect
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from ringmaster.feed.cursor import Source
from ringmaster.model.event import Event
from ringmaster.protocol.feed import FeedSubscribeParams
from ringmaster.redaction.cleaning import clean, decode

KEY = "sk-" + "a1B2c3D4e5F6g7H8" * 3
IMPORTANT = ("queue.paused", "decision.opened", "task.failed")
# Bytes, and what is seen of them.
TOKENS: tuple[tuple[tuple[bytes, str], ...], ...] = (
    (("é".encode(), "é"),),
    (("€".encode(), "€"), (b"uro ", "uro ")),
    (("😀".encode(), "😀"),),
    ((b"\x1b[31m", ""),),
    ((b"\x1b[0m", ""),),
    ((b"\x1b]0;a title\x07", ""),),
    ((b"\xff", "\ufffd"),),
    ((b"\x00", ""),),
    ((b" ", " "), (KEY.encode(), "[redacted]"), (b" ", " ")),
    ((b"\r\n", "\n"),),
)
NEVER = 1 << 60


class Text:
    """One channel of a job: what it will write, how much of that is written, and what is seen of any part."""

    def __init__(self) -> None:
        self.data = b""
        self.written = 0
        self._starts = [0]
        self._seen: list[tuple[int, str]] = []

    def add(self, data: bytes, seen: str) -> None:
        """Say something that is to be written."""
        self.data += data
        self._starts.append(len(self.data))
        self._seen.append((len(data), seen))

    def grow(self, rng: random.Random, count: int) -> None:
        """Say some words and lines."""
        for _ in range(count):
            kind = rng.random()
            if kind < 0.45:
                word = f"w{rng.randrange(10_000)} "
                self.add(word.encode(), word)
            elif kind < 0.75:
                self.add(b"\n", "\n")
            elif kind < 0.77:
                word = "long " * rng.choice((30, 120))
                self.add(word.encode(), word)
            else:
                for token in rng.choice(TOKENS):
                    self.add(*token)

    @property
    def is_within_key(self) -> bool:
        """Whether a part of a key is written. Of half a one nothing is promised."""
        index = bisect.bisect_right(self._starts, self.written) - 1
        return index < len(self._seen) and self._starts[index] < self.written and "[redacted]" in self._seen[index][1]

    def end_here(self) -> None:
        """Nothing is written behind what is written now, be it half a character."""
        while self._starts[-1] > self.written:
            self._seen.pop()
            self._starts.pop()
        # Of what is cut in two each byte is shown for itself, or as what is none.
        left = self.data[self._starts[-1] : self.written]
        self.data = self.data[: self.written]
        if left:
            self._seen.append((len(left), clean(decode(left))))
            self._starts.append(self.written)

    def seen(self, start: int, end: int) -> str:
        """What is seen of the bytes from `start` to `end`. Fails where a place lies within what may not be cut."""
        parts: list[str] = []
        index = bisect.bisect_right(self._starts, start) - 1
        while index < len(self._seen) and self._starts[index] < end:
            length, seen = self._seen[index]
            low, high = max(start - self._starts[index], 0), min(end - self._starts[index], length)
            if (low, high) != (0, length):
                assert len(seen) == length, f"{start}-{end} cuts {self.data[self._starts[index] :][:length]!r} in two"
                seen = seen[low:high]
            parts.append(seen)
            index += 1
        return "".join(parts)

    def steps(self, start: int, end: int) -> list[str]:
        """What the lines between say, each by itself."""
        return [step for line in self.seen(start, end).split("\n") if (step := as_step(line))]

    def line_start(self, end: int) -> int:
        """Where the line begins that is not ended at `end`."""
        return self.data.rfind(b"\n", 0, end) + 1

    def tail_start(self, end: int, count: int) -> int:
        """Where the last `count` lines before `end` begin."""
        at = end - 1 if end and self.data[end - 1 : end] == b"\n" else end
        for _ in range(count):
            at = self.data.rfind(b"\n", 0, at)
            if at < 0:
                return 0
        return at + 1


def as_step(text: str) -> str:
    """A step's text as far as it is compared: of half a character steps show one mark, and lines one a byte."""
    return re.sub("\ufffd+", "\ufffd", text.strip())


@dataclass
class Job:
    """A job of an attempt. Places in the order of events; NEVER for what has not happened."""

    attempt: Attempt
    name: str
    directory: Path
    stdout: Text = field(default_factory=Text)
    stderr: Text = field(default_factory=Text)
    start_seq: int = NEVER
    end_seq: int = NEVER
    is_dead: bool = False
    is_removed: bool = False
    lock: int = -1

    def text(self, channel: str) -> Text:
        """What it wrote to one of its files."""
        return self.stderr if channel == "stderr" else self.stdout

    @property
    def begins_at(self) -> int:
        """The first event that says that it is there."""
        return min(self.start_seq, self.end_seq)

    @property
    def ends_at(self) -> int:
        """The first event that says that it has ended, or that nothing of it is waited for."""
        return min(self.end_seq, self.attempt.end_seq)

    def is_end_owed(self, first_seq: int) -> bool:
        """Whether its end may still be said; not behind a `first_seq` that is kept."""
        is_known = self.attempt.start_seq >= first_seq
        return self.is_dead and self.end_seq == NEVER and not self.is_removed and is_known

    @property
    def is_over(self) -> bool:
        """Whether it is dead and that was said."""
        return self.is_dead and self.ends_at != NEVER

    def sources(self, params: FeedSubscribeParams) -> list[Source]:
        """Those of its sources that a subscription asks for."""
        kinds = {"agent": ("steps", "stdout", "stderr"), "setup": ("setup",)}.get(self.name, ("gate",))
        if not is_of(params, self.attempt):
            return []
        return [Source(self.attempt.id, self.name, kind) for kind in params.output if kind in kinds]


@dataclass
class Attempt:
    """An attempt and its jobs."""

    id: str
    task_id: str
    project_id: str
    worker_id: str
    start_seq: int
    end_seq: int = NEVER
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def last_seq(self) -> int:
        """The last that was said of it so far."""
        places = [self.start_seq, self.end_seq, *(job.end_seq for job in self.jobs.values())]
        return max(place for place in places if place != NEVER)


@dataclass
class Truth:
    """All of it. first_seq: of the oldest event that is still kept. may_fail: descriptors have run out once."""

    events: list[Event] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    first_seq: int = 1
    may_fail: bool = False

    @property
    def last_seq(self) -> int:
        """Of the newest event."""
        return len(self.events)

    def jobs(self) -> list[Job]:
        """Of all attempts."""
        return [job for attempt in self.attempts.values() for job in attempt.jobs.values()]

    def job_of(self, source: Source) -> Job:
        """Whose output it is."""
        return self.attempts[source.attempt_id].jobs[source.job]

    def next_shown(self, params: FeedSubscribeParams, seq: int) -> int:
        """The next event after a place that a subscription is shown; NEVER where there is none yet."""
        shown = (event.seq for event in self.events[seq:] if self.is_shown(params, event))
        return next(shown, NEVER)

    def is_shown(self, params: FeedSubscribeParams, event: Event) -> bool:
        """Whether an event is one that was asked for."""
        attempt = self.attempts.get(event.attempt_id)
        workers = {event.worker_id, attempt.worker_id if attempt else ""}
        return (
            params.project_id in ("", event.project_id)
            and params.task_id in ("", event.task_id)
            and params.attempt_id in ("", event.attempt_id)
            and (not params.worker_id or params.worker_id in workers)
            and (params.level == "all" or event.type in IMPORTANT)
            and (not params.type or any(event.type == one or event.type.startswith(one) for one in params.type))
        )

    def sizes(self) -> dict[tuple[str, str, str], int]:
        """How much of every file is written."""
        return {
            (job.attempt.id, job.name, channel): job.text(channel).written
            for job in self.jobs()
            for channel in ("stdout", "stderr")
        }


def is_of(params: FeedSubscribeParams, attempt: Attempt) -> bool:
    """Whether an attempt's output was asked for."""
    return (
        params.level == "all"
        and params.project_id in ("", attempt.project_id)
        and params.task_id in ("", attempt.task_id)
        and params.attempt_id in ("", attempt.id)
        and params.worker_id in ("", attempt.worker_id)
    )
