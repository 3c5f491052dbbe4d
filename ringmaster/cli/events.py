"""`rmctl events`: every state change, in order, from a cursor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import click

from ringmaster.cli.clock import parse_since
from ringmaster.cli.command import top
from ringmaster.cli.inputs import split_words
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session

PAGE = 1000
SUBJECTS = ("project_id", "task_id", "attempt_id", "worker_id", "decision_id")


def subject(row: Row) -> str:
    """The narrowest thing an event is about."""
    if row["decision_id"]:
        return str(row["decision_id"])
    return str(row["attempt_id"] or row["task_id"] or row["worker_id"] or row["project_id"])


def details(row: Row) -> str:
    """The event's data as `key=value`."""
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
    help="Every state change, in order. Without a cursor the newest; with --after-cursor all that came after it.",
)
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on with what happens, over restarts too.")
@click.option("-n", "--limit", type=click.IntRange(0), default=None, help="At most so many. [20; -f: 10]")
@click.option("-t", "--type", "types", multiple=True, metavar="TYPE,…", help="task.created, or task. for all of tasks.")
@click.option("--after-cursor", type=click.IntRange(0), default=None, metavar="SEQ", help="Only later ones; 0 for all.")
@click.option("--since", default=None, metavar="TIME", help="15m, 2h, or a time.")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("--task", "task_id", default="", help="Of one task.")
@click.option("--attempt", "attempt_id", default="", help="Of one attempt.")
def events(
    session: Session,
    is_following: bool,
    limit: int | None,
    types: tuple[str, ...],
    after_cursor: int | None,
    since: str | None,
    project_id: str,
    task_id: str,
    attempt_id: str,
) -> None:
    """Read events, then follow them."""
    wanted = {
        "type": split_words(types),
        "project_id": project_id,
        "task_id": task_id,
        "attempt_id": attempt_id,
    }
    since_at = parse_since(since, time.time()) if since else None
    if limit is None and after_cursor is None and since_at is None:
        limit = 10 if is_following else 20
    reader = Reader(session, wanted)
    session.output.stream(reader.read(after_cursor, limit, since_at), shape(session), id_of="seq")
    if is_following:
        session.output.stream(reader.follow(), shape(session), id_of="seq")


class Reader:
    """Reads events page by page, then follows. `cursor` is the last seq looked at."""

    def __init__(self, session: Session, wanted: Row) -> None:
        self.session = session
        self.wanted = wanted
        self.cursor = 0

    def read(self, after: int | None, limit: int | None, since_at: float | None) -> Iterator[Row]:
        """What is stored: after a cursor, since a time, or the newest `limit`."""
        if after is None and since_at is None:
            page = self._page(None, limit or PAGE)
            self.cursor = page["cursor"]
            yield from page["events"]
            return
        self.cursor = start = after or 0
        count = 0
        while True:
            page = self._page(self.cursor, PAGE)
            for event in page["events"]:
                if since_at is not None and event["at"] < since_at:
                    continue
                if limit is not None and count >= limit:
                    return
                count += 1
                self.cursor = event["seq"]
                yield event
            if page["cursor"] <= start:
                return
            # Also past what a filter left out: an empty page is not the last one while the cursor moves.
            self.cursor = start = page["cursor"]

    def _page(self, after: int | None, limit: int) -> Row:
        from ringmaster.protocol.event import EventsReadParams

        page: Row = self.session.call("events.read", EventsReadParams(after=after, limit=limit, **self.wanted))
        return page

    def follow(self) -> Iterator[Row]:
        """What happens from the cursor on, without end. No gap and no double over a restart of the daemon."""
        from ringmaster.protocol.event import EventsSubscribeParams

        params = EventsSubscribeParams(after=self.cursor, **self.wanted)
        for event in self.session.stream("events.subscribe", params, lambda item: {"after": item["seq"]}):
            self.cursor = event["seq"]
            yield event
