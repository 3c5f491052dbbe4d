"""`rmctl logs`: what an attempt wrote, also while it writes."""

from __future__ import annotations

import sys
import time
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Literal

import click

from ringmaster.cli import terminal
from ringmaster.cli.clock import parse_since
from ringmaster.cli.command import top
from ringmaster.cli.feed_rows import words_of
from ringmaster.cli.logs_search import search
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

Stream = Literal["steps", "stdout", "stderr", "setup", "gate"]
STREAMS = ("steps", "stdout", "stderr", "setup", "gate")
MAX_BYTES = 262_144
HELP_STREAM = "Which output. [steps where the agent writes for programs, else stdout]"


@top(
    "logs",
    help="What an attempt wrote, cleaned and without keys: ID is a TASK (its newest attempt) or TASK/NUMBER. --raw: "
    "the very bytes, which can steer a terminal. With -g the steps of all attempts, or of ID, that have the words in "
    "them; exit code 1 when there is none.",
)
@click.argument("id", required=False, default="")
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on until the attempt ends, over restarts too.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=None, help="Only the last so many lines; matches. [-g: 50]"
)
@click.option(
    "-g", "--grep", "pattern", default=None, metavar="WORDS", help='Steps with: all words, "in a row", begin*.'
)
@click.option("--failed", "is_failed", is_flag=True, help="-g: only of commands and tools that failed.")
@click.option("--since", default=None, metavar="TIME", help="Only output since 15m, 2h, or a time.")
@click.option("-a", "--attempt", type=click.IntRange(1), default=None, metavar="N", help="This attempt of the task.")
@click.option("-P", "--project", "project_id", default="", help="-g: of one project.")
@click.option("-S", "--stream", type=click.Choice(STREAMS), default=None, help=HELP_STREAM)
@click.option("--raw", "is_raw", is_flag=True, help="The bytes as they are, control characters and keys too.")
@click.option("--after-cursor", type=click.IntRange(0), default=0, metavar="BYTES", help="Skip so many bytes.")
@click.option("--show-cursor", "is_cursor_shown", is_flag=True, help="Say on stderr where it ended.")
def logs(
    session: Session,
    id: str,
    lines: int | None,
    pattern: str | None,
    is_failed: bool,
    since: str | None,
    attempt: int | None,
    project_id: str,
    **given: Any,
) -> None:
    """Print logs, then follow them; or look for words in them."""
    name = f"{id.partition('/')[0]}/{attempt}" if attempt else id
    if pattern is not None:
        if not pattern.strip():
            raise RingmasterError(ErrorKind.USAGE, "-g takes words to look for", "rmctl logs -g WORDS")
        if since or any(given.values()):
            raise RingmasterError(
                ErrorKind.USAGE, "-g goes with ID, -a, -P, -n and --failed alone", "rmctl logs --help"
            )
        search(session, pattern, name, project_id, lines, is_failed=is_failed)
        return
    if not id or project_id or is_failed:
        only = "-P" if project_id else "--failed"
        what = f"{only} goes with -g alone" if id else "missing the ID of a task or attempt"
        raise RingmasterError(ErrorKind.USAGE, what, "rmctl logs ID, or rmctl logs -g WORDS")
    if given["is_raw"] and given["stream"] == "steps":
        what = "there are no raw steps: they are words, made of stdout"
        raise RingmasterError(ErrorKind.USAGE, what, f"rmctl logs {name} --raw -S stdout")
    since_at = parse_since(since, time.time()) if since else None
    show(session, name, lines, since_at, **given)


def show(
    session: Session,
    id: str,
    lines: int | None,
    since_at: float | None,
    *,
    is_following: bool,
    stream: Stream | None,
    is_raw: bool,
    after_cursor: int,
    is_cursor_shown: bool,
) -> None:
    """Print what is there, and with is_following what comes."""
    printer = Printer(session, is_raw=is_raw)
    reader = Reader(session, id, stream, printer)
    reader.cursor = after_cursor
    try:
        if not is_following:
            reader.read(lines, since_at)
        elif is_raw or after_cursor or since_at is not None:
            # What the feed has not: the bytes themselves, and a place in them.
            reader.follow(lines, since_at)
        else:
            reader.follow_feed(lines)
    except KeyboardInterrupt:
        printer.finish()
        if is_cursor_shown:
            session.output.words(f"cursor: {reader.cursor}")
        raise
    printer.finish()
    if reader.cursor == after_cursor and session.output.is_terminal and not session.output.is_json:
        session.output.words(f"{reader.id}: nothing on {reader.stream}")
    if is_cursor_shown:
        session.output.words(f"cursor: {reader.cursor}")


class Printer:
    """Writes chunks: text as the daemon shows it, with `--raw` the untouched bytes, objects with `-o json`."""

    def __init__(self, session: Session, *, is_raw: bool) -> None:
        self.output = session.output
        self.is_raw = is_raw
        self.last = ""

    def chunk(self, chunk: Row) -> None:
        """Write one LogChunk at once."""
        if self.output.is_json:
            self.output.json(chunk)
        elif self.is_raw:
            sys.stdout.flush()
            # The agent's steps are words made of its output; there are no bytes behind them.
            sys.stdout.buffer.write(b64decode(chunk["data_base64"]) or chunk["text"].encode())
            sys.stdout.buffer.flush()
        elif chunk["text"]:
            self.last = chunk["text"][-1:]
            if not self.output.is_terminal:
                self.output.text(chunk["text"])
            else:
                # An older daemon does not clean what it says.
                self.output.text(self._steps(chunk["steps"]) or terminal.harmless(chunk["text"]))
        sys.stdout.flush()

    def message(self, message: Row) -> None:
        """Write a message of the feed at once; with `-o json` as it is, an object a line."""
        if self.output.is_json:
            self.output.kind = "jsonl"
            self.output.raw_json(message)
        else:
            text = terminal.harmless(message.get("text", "")) + self._steps(message.get("steps", ()))
            self.last = text[-1:] or self.last
            self.output.text(text)
        sys.stdout.flush()

    def _steps(self, steps: Sequence[Row]) -> str:
        """Each step in its words, the first line of what failed in red where there are colours."""
        texts = []
        for step in steps:
            first, newline, more = terminal.harmless(step["text"]).partition("\n")
            colour = "red" if step.get("is_failed") else "dim" if step.get("exit_code") is not None else ""
            texts.append(f"{self.output.paint(first, colour)}{newline}{more}\n")
        return "".join(texts)

    def finish(self) -> None:
        """On a terminal the prompt begins on a line of its own."""
        if self.output.is_terminal and self.last not in ("", "\n"):
            self.output.text("\n")


class Reader:
    """Reads an attempt's output. `cursor` is the offset of the next byte not yet printed."""

    def __init__(self, session: Session, id: str, stream: Stream | None, printer: Printer) -> None:
        self.session = session
        self.id = id
        self.stream = stream
        self.printer = printer
        self.job = ""
        self.cursor = 0
        self.is_begun = False

    def _take(self, chunk: Row) -> None:
        # The first chunk settles what a task's newest attempt and job are: a later one must not be mixed in.
        self.id = chunk["attempt_id"] or self.id
        self.job = chunk["job"]
        self.stream = self.stream or chunk["stream"]
        self.is_begun = True
        self.cursor = chunk["next_offset"]
        self.printer.chunk(chunk)

    def read(self, lines: int | None, since_at: float | None) -> None:
        """Print what is there."""
        from ringmaster.protocol.attempt import LogsReadParams

        while True:
            params = LogsReadParams(
                id=self.id,
                stream=self.stream or "",
                job=self.job,
                offset=self.cursor,
                tail_lines=None if self.is_begun else lines,
                since_at=None if self.is_begun else since_at,
                max_bytes=MAX_BYTES,
                is_raw=self.printer.is_raw,
            )
            chunk = self.session.call("logs.read", params)
            self._take(chunk)
            if chunk["is_end"] or chunk["next_offset"] == chunk["offset"]:
                return

    def follow(self, lines: int | None, since_at: float | None) -> None:
        """Print until the daemon says that it is over. A lost connection is taken up again at the cursor."""
        from ringmaster.protocol.attempt import LogsFollowParams

        params = LogsFollowParams(
            id=self.id,
            stream=self.stream or "",
            offset=self.cursor,
            tail_lines=lines,
            since_at=since_at,
            is_raw=self.printer.is_raw,
        )

        def resume(item: Row) -> Row:
            place = {"id": item["attempt_id"] or self.id, "job": item["job"], "offset": item["next_offset"]}
            return {**place, "tail_lines": None, "since_at": None}

        for chunk in self.session.stream("logs.follow", params, resume):
            self._take(chunk)

    def follow_feed(self, lines: int | None) -> None:
        """The same from the feed: cleaned, without keys, and with the gates that come later."""
        from ringmaster.protocol.feed import FeedSubscribeParams

        self.stream = stream = self.stream or self._find_stream()
        # Of events only the one that says that it is over: nobody looks at any here.
        params = FeedSubscribeParams(attempt_id=self.id, output=(stream,), tail_lines=lines, type=("attempt.ended",))
        for message in self.session.feed(params).messages():
            if message["kind"] in ("lines", "steps"):
                self.id, self.job = message["attempt_id"], message["job"]
                self.cursor = message["next_offset"]
                self.printer.message(message)
            elif self.session.output.is_json:
                self.printer.message(message)
            else:
                self.session.output.words(words_of(message))

    def _find_stream(self) -> Stream:
        """What people read of the attempt: the daemon knows its agent."""
        from ringmaster.protocol.attempt import LogsReadParams

        stream: Stream = self.session.call("logs.read", LogsReadParams(id=self.id, tail_lines=0))["stream"]
        return stream
