"""Messages of the feed as rows beside events, and in words."""

from __future__ import annotations

from collections.abc import Iterator

from ringmaster.cli.output import Row
from ringmaster.model.errors import ErrorKind, RingmasterError

OUTPUTS = ("steps", "stdout", "stderr", "setup", "gate")
EMPTY: Row = {
    "seq": "",
    "at": None,
    "type": "",
    "project_id": "",
    "task_id": "",
    "attempt_id": "",
    "worker_id": "",
    "decision_id": "",
    "actor": "",
    "data": {},
    "text": "",
}
GOES_ON = "…"


def parse_outputs(words: tuple[str, ...]) -> tuple[str, ...]:
    """Which output comes along.

    Raises:
        RingmasterError: USAGE for one that there is not.
    """
    for word in words:
        if word not in OUTPUTS:
            raise RingmasterError(ErrorKind.USAGE, f"there is no output {word!r}", f"outputs: {', '.join(OUTPUTS)}")
    return words


class FeedRows:
    """Makes rows of messages. A line that came in pieces is a row for each, with the sign that it goes on."""

    def __init__(self) -> None:
        self._begun: set[tuple[str, str, str]] = set()

    def rows_of(self, message: Row) -> Iterator[Row]:
        """The rows of a message of output; none of another."""
        kind = message["kind"]
        if kind == "lines" and message["text"]:
            yield from self._lines(message)
        elif kind == "steps":
            for step in message["steps"]:
                row = EMPTY | {"at": step.get("at"), "type": step["kind"], "attempt_id": message["attempt_id"]}
                yield from (row | {"text": line} for line in step["text"].splitlines())

    def _lines(self, message: Row) -> Iterator[Row]:
        output = message["output"]
        source = message["attempt_id"], message["job"], output
        row = EMPTY | {"type": message["job"] if output == "gate" else output, "attempt_id": message["attempt_id"]}
        # A line ends with a newline alone: what else splitlines would take for an end was not one to who wrote it.
        lines = message["text"].removesuffix("\n").split("\n")
        if source in self._begun:
            lines[0] = GOES_ON + lines[0]
        if message["is_partial"]:
            self._begun.add(source)
            lines[-1] += GOES_ON
        else:
            self._begun.discard(source)
        yield from (row | {"text": line} for line in lines)


def words_of(message: Row) -> str:
    """What a message about the feed itself says to a person; '' for nothing."""
    kind = message["kind"]
    if kind == "cursor_expired":
        return f"it cannot be gone on from that cursor: {message['reason']}; going on from now"
    if kind == "snapshot":
        states = ", ".join(f"{count} {state}" for state, count in message["tasks_by_state"].items() if count)
        facts = [f"tasks: {states or 'none'}"]
        attempts = [attempt["attempt_id"] for attempt in message["attempts"]]
        if attempts:
            shown = ", ".join(attempts[:5]) + (f" and {len(attempts) - 5} more" if len(attempts) > 5 else "")
            facts.append(f"at work: {shown}")
        count = message["open_decisions"]
        if count:
            facts.append(f"{count} {'question waits' if count == 1 else 'questions wait'} for a person")
        return f"as things stand: {'; '.join(facts)}"
    if kind == "resync":
        places = ", ".join(
            f"{gap['next_offset'] - gap['offset']:,} bytes of {gap['attempt_id']} {gap['output']}"
            for gap in message["gaps"]
        )
        return f"too slow for it: left out {places} (rmctl logs has them)"
    if kind == "unreadable":
        return f"{message['output']} of {message['attempt_id']} cannot be read on: {message['reason']}"
    if kind == "bye" and message["reason"] == "stop":
        return "the daemon stops"
    return ""
