"""`rmctl events`: every state change, in order, from a cursor; with -f the feed, and output in it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ringmaster.cli.clock import parse_since
from ringmaster.cli.command import top
from ringmaster.cli.feed_rows import OUTPUTS, FeedRows, parse_outputs, words_of
from ringmaster.cli.inputs import split_words
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

if TYPE_CHECKING:
    from ringmaster.client.feed import FeedReader

PAGE = 1000
SUBJECTS = ("project_id", "task_id", "attempt_id", "worker_id", "decision_id")


def subject(row: Row) -> str:
    """The narrowest thing an event is about."""
    if row["decision_id"]:
        return str(row["decision_id"])
    return str(row["attempt_id"] or row["task_id"] or row["worker_id"] or row["project_id"])


def details(row: Row) -> str:
    """The event's data as `key=value`; the line, of output."""
    if row.get("text"):
        return str(row["text"])
    pairs = ((key, value) for key, value in row["data"].items() if value not in ("", None, [], {}))
    return " ".join(f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in pairs)


def shape(session: Session) -> tuple[Column, ...]:
    """The columns of events."""
    return (
        Column("SEQ", "seq"),
        Column("AT", lambda row: session.output.at(row["at"])),
        Column("TYPE", "type"),
        Column("ABOUT", subject),
        Column("DETAILS", details, is_flexible=True),
        Column("ACTOR", "actor", is_wide=True),
    )


@top(
    "events",
    help="Every state change, in order. Without a cursor the newest; with --after-cursor all that came after it. With "
    "-f it goes on, over restarts too, and -S lets what agents and gates write come along; `-o json` then gives each "
    "message of the feed as it is (docs/protocol.md). Ctrl-C says the cursor to go on from.",
)
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on with what happens, over restarts too.")
@click.option("-n", "--limit", type=click.IntRange(0), default=None, help="At most so many stored ones. [20; -f: 10]")
@click.option("-t", "--type", "types", multiple=True, metavar="TYPE,…", help="task.created, or task. for all of tasks.")
@click.option(
    "--after-cursor", default="", metavar="CURSOR", help="Only later ones: a SEQ, 0 for all; -f: or a cursor."
)
@click.option("--since", default=None, metavar="TIME", help="15m, 2h, or a time.")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("--task", "task_id", default="", help="Of one task.")
@click.option("--attempt", "attempt_id", default="", help="Of one attempt.")
@click.option("--worker", "worker_id", default="", help="-f: of one worker, and of attempts on it.")
@click.option(
    "--level", type=click.Choice(["all", "important"]), default="all", help="-f: what a person must see. [all]"
)
@click.option(
    "-S",
    "--stream",
    "outputs",
    multiple=True,
    metavar="OUTPUT,…",
    shell_complete=lambda ctx, param, begun: [output for output in OUTPUTS if output.startswith(begun)],
    help="-f: steps,stdout,stderr,setup,gate.",
)
@click.option("--show-cursor", "is_cursor_shown", is_flag=True, help="Say on stderr where it ended.")
def events(
    session: Session,
    is_following: bool,
    limit: int | None,
    types: tuple[str, ...],
    after_cursor: str,
    since: str | None,
    outputs: tuple[str, ...],
    worker_id: str,
    level: str,
    is_cursor_shown: bool,
    **ids: str,
) -> None:
    """Read events, then follow them."""
    wanted: Row = {"type": split_words(types), **ids}
    live: Row = {"worker_id": worker_id, "level": level, "output": parse_outputs(split_words(outputs))}
    is_stored = _is_stored(is_following, limit, after_cursor, since, live)
    reader = Reader(session, wanted)
    follower = Follower(session, reader if is_stored else None, {**wanted, **live, "cursor": after_cursor})
    if is_stored:
        since_at = parse_since(since, time.time()) if since else None
        after = int(after_cursor) if after_cursor else None
        if limit is None and after is None and since_at is None:
            limit = 10 if is_following else 20
        follower.show({"kind": "event", "event": event} for event in reader.read(after, limit, since_at))
    try:
        if is_following:
            follower.show(follower.messages())
    except KeyboardInterrupt:
        session.output.words(f"{'' if not sys.stderr.isatty() else chr(10)}-- cursor: {follower.cursor}")
        raise
    if is_cursor_shown:
        session.output.words(f"-- cursor: {follower.cursor}")


def _is_stored(is_following: bool, limit: int | None, after_cursor: str, since: str | None, live: Row) -> bool:
    """Whether what is stored comes first.

    Raises:
        RingmasterError: USAGE for what only goes with -f, and for asking the stored ones what they cannot be asked.
    """
    is_cursor = bool(after_cursor) and not after_cursor.isdigit()
    narrow = "--worker" if live["worker_id"] else "--level" if live["level"] != "all" else ""
    named = narrow or ("--stream" if live["output"] else "a cursor that is no SEQ" if is_cursor else "")
    if named and not is_following:
        raise RingmasterError(ErrorKind.USAGE, f"{named} goes with -f alone", "rmctl events -f")
    if (narrow or is_cursor) and (limit or since or (after_cursor and not is_cursor)):
        what = narrow or "such a cursor"
        raise RingmasterError(ErrorKind.USAGE, f"with {what} nothing stored is shown", "leave out -n, --since and SEQ")
    return not narrow and not is_cursor


class Follower:
    """Shows messages of the feed; each once, whatever connection it comes by. reader: of what is stored before."""

    def __init__(self, session: Session, reader: Reader | None, wanted: Row) -> None:
        self._session = session
        self._reader = reader
        self._wanted = wanted | ({"cursor": ""} if reader is not None else {})
        self._feed: FeedReader | None = None
        self._rows = FeedRows()

    @property
    def cursor(self) -> str:
        """Where to go on: the feed's cursor, before that the number of the last event."""
        if self._feed is not None and self._feed.cursor:
            return self._feed.cursor
        return str(self._reader.cursor) if self._reader is not None else str(self._wanted["cursor"])

    def messages(self) -> Iterator[Row]:
        """What happens; first what has happened since the stored ones were read."""
        from ringmaster.protocol.feed import FeedSubscribeParams

        self._feed = self._session.feed(FeedSubscribeParams(**self._wanted))
        told = 0
        for message in self._feed.messages():
            if message["kind"] == "hello" and self._reader is not None:
                # The feed has begun: what is stored by now is read, and of what the feed brings the rest is new.
                yield message
                yield from ({"kind": "event", "event": event} for event in self._reader.read_on())
                told = self._reader.cursor
            elif message["kind"] != "event" or message["event"]["seq"] > told:
                yield message

    def show(self, messages: Iterator[Row]) -> None:
        """Print them as they come."""
        output = self._session.output
        if output.is_json and self._wanted["output"]:
            # A stream has no end, so it is an object a line.
            output.kind = "jsonl"
            for message in messages:
                output.raw_json(message)
                sys.stdout.flush()
            return
        output.stream(self._rows_of(messages), shape(self._session), id_of="seq")

    def _rows_of(self, messages: Iterator[Row]) -> Iterator[Row]:
        is_named = self._session.output.is_quiet or self._session.output.kind == "name"
        for message in messages:
            if message["kind"] == "event":
                yield message["event"]
            elif not is_named:
                yield from self._rows.rows_of(message)
            self._session.output.words(words_of(message))


class Reader:
    """Reads events page by page. `cursor` is the last seq looked at."""

    def __init__(self, session: Session, wanted: Row) -> None:
        self.session = session
        self.wanted = wanted
        self.cursor = 0

    def read(self, after: int | None, limit: int | None, since_at: float | None) -> Iterator[Row]:
        """What is stored: after a cursor, since a time, or the newest `limit`. Raises RingmasterError: USAGE for a
        cursor that no event has reached.
        """
        if after is None and since_at is None:
            page = self._page(None, limit or 1)
            self.cursor = page["cursor"]
            yield from page["events"] if limit else ()
            return
        self.cursor = after or 0
        if after:
            self._check_reached(after)
        yield from self.read_on(limit, since_at)

    def read_on(self, limit: int | None = None, since_at: float | None = None) -> Iterator[Row]:
        """All after `cursor`, at most `limit`."""
        count = 0
        while True:
            start = self.cursor
            page = self._page(start, PAGE)
            for event in page["events"]:
                if event["seq"] <= start or (since_at is not None and event["at"] < since_at):
                    continue
                if limit is not None and count >= limit:
                    return
                count += 1
                self.cursor = event["seq"]
                yield event
            if page["cursor"] <= start:
                return
            # Also past what a filter left out: an empty page is not the last one while the cursor moves.
            self.cursor = page["cursor"]

    def _check_reached(self, seq: int) -> None:
        """Who waits behind the end would wait for ever: the number is from another instance, or mistyped."""
        from ringmaster.protocol.event import EventsReadParams

        newest = self.session.call("events.read", EventsReadParams(limit=1))["cursor"]
        if newest < seq:
            words = f"there is no event {seq} yet: the newest is {newest}"
            raise RingmasterError(ErrorKind.USAGE, words, f"rmctl events --after-cursor {newest}")

    def _page(self, after: int | None, limit: int) -> Row:
        from ringmaster.protocol.event import EventsReadParams

        page: Row = self.session.call("events.read", EventsReadParams(after=after, limit=limit, **self.wanted))
        return page
