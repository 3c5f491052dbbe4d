"""The feed: events, agents' steps and lines of output in one stream. Its messages are the same on both wires."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ringmaster.model.event import Event
from ringmaster.protocol.attempt import LogStep

FEED_PROTOCOL = 1

FeedOutput = Literal["steps", "stdout", "stderr", "setup", "gate"]
"""`steps` and `stdout` are two views of an agent's stdout; `setup` and `gate` are the stdout of those jobs."""

FeedLevel = Literal["all", "important"]


class FeedSubscribeParams(msgspec.Struct, frozen=True, kw_only=True):
    """What of the feed is wanted. What is empty does not filter.

    project_id, task_id, attempt_id, worker_id: events about it, and the output of its attempts.
    type: events alone; exact, or a noun and a dot. level `important`: the events that a person must see, and no output.
    output: which output comes along; () for none.
    tail_lines: where output begins that no cursor names, of jobs that run now: so many lines before its end; None for
        its beginning. Of an attempt that is named (`attempt_id`) jobs that have ended come too. Output of jobs that
        begin later comes from its beginning.
    cursor: go on after what a cursor says; '' for now.
    """

    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    worker_id: str = ""
    type: tuple[str, ...] = ()
    level: FeedLevel = "all"
    output: tuple[FeedOutput, ...] = ("steps", "stderr", "setup", "gate")
    tail_lines: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = 0
    cursor: Annotated[str, msgspec.Meta(max_length=1_000_000)] = ""


class FeedSubscribed(msgspec.Struct, frozen=True, kw_only=True):
    """subscription: the id that its `feed.messages` notifications carry."""

    subscription: int


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="hello"):
    """The first message. cursor: where the feed begins."""

    instance: str
    generation: int
    cursor: str
    protocol: int = FEED_PROTOCOL


class FeedEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="event"):
    """A state change."""

    event: Event


class Lines(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="lines"):
    """A run of lines of one job's output, cleaned and redacted. Offsets count the bytes of its file.

    output: the one that was asked for. is_partial: the last line goes on in the next message.
    is_end: the job has ended and nothing follows.
    """

    attempt_id: str
    job: str
    output: FeedOutput
    offset: int
    next_offset: int
    text: str = ""
    is_partial: bool = False
    is_end: bool = False


class Steps(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="steps"):
    """What an agent did in a run of whole lines of its stdout. Members as of `lines`."""

    attempt_id: str
    job: str
    offset: int
    next_offset: int
    steps: tuple[LogStep, ...] = ()
    is_end: bool = False


class Mark(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mark"):
    """All before it has been sent: who comes back with this cursor goes on here. At most every 250 ms."""

    cursor: str


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Output that was left out; `logs.read` has it. Offsets as of `lines`."""

    attempt_id: str
    job: str
    output: FeedOutput
    offset: int
    next_offset: int


class Resync(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="resync"):
    """The reader was too slow: output was left out, and the feed goes on behind it. No event is ever left out."""

    cursor: str
    gaps: tuple[Gap, ...]


class Unreadable(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="unreadable"):
    """A source cannot be read from `offset` on, and why. Nothing more of it comes, but its end where it is gone.

    Otherwise cursors go on naming it: who subscribes again with one goes on there, if it can be read by then.
    """

    attempt_id: str
    job: str
    output: FeedOutput
    offset: int
    reason: str


class CursorExpired(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cursor_expired"):
    """The cursor cannot be gone on from. A `snapshot` follows, and the feed goes on from it."""

    reason: str


class FeedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """A live attempt in a snapshot."""

    attempt_id: str
    task_id: str
    project_id: str
    worker_id: str
    state: str
    started_at: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="snapshot"):
    """How things stand at `cursor`, in one read transaction. tasks_by_state: of all projects.

    attempts: the live ones that were asked for. open_decisions: how many questions wait for a person.
    """

    cursor: str
    generation: int
    tasks_by_state: dict[str, int]
    attempts: tuple[FeedAttempt, ...]
    open_decisions: int


class Bye(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="bye"):
    """The daemon closes the feed. reason: `reload` (come back at once) or `stop`. cursor: where to go on."""

    reason: Literal["reload", "stop"]
    cursor: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refused"):
    """What the client sent is not done, and nothing has changed: why, and what to do."""

    message: str
    hint: str = ""


FEED_MESSAGES = (Hello, FeedEvent, Lines, Steps, Mark, Resync, Unreadable, CursorExpired, Snapshot, Bye, Refused)
"""All that the feed says; `kind` tells them apart."""


class SubscribeMessage(
    FeedSubscribeParams, frozen=True, kw_only=True, tag_field="kind", tag="subscribe", forbid_unknown_fields=True
):
    """From a client of the websocket: begin, or take this instead of the subscription before."""
