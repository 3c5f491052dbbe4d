"""Which beginning an end in an agent's stream answers, and the words for an end. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ringmaster.agents.base import StepKind
from ringmaster.protocol.attempt import FileChange


class Call(msgspec.Struct, frozen=True):
    """A command or tool that was begun. at: where its line begins. about, command: as they are shown."""

    at: int
    kind: StepKind
    about: str
    command: str
    is_shown: bool


class Calls:
    """The calls begun in the last `look_back` bytes, by the agent's id for them.

    An end is paired with its beginning only when that lies less than `look_back` bytes before it, so that a reader
    that begins between the two and has read as much before its beginning says the same as one that read on.
    """

    __slots__ = ("_by_id", "_look_back")

    def __init__(self, look_back: int) -> None:
        self._look_back = look_back
        self._by_id: dict[str, Call] = {}

    def begin(self, call_id: str, call: Call) -> None:
        """Remember a call; forget those that can have no end any more."""
        self._by_id.pop(call_id, None)
        self._by_id[call_id] = call
        while True:
            oldest = next(iter(self._by_id))
            if call.at - self._by_id[oldest].at < self._look_back:
                return
            del self._by_id[oldest]

    def end(self, call_id: str, at: int) -> Call | None:
        """The call that ends in the line at `at`, which is forgotten with it; None when it is not known."""
        call = self._by_id.pop(call_id, None)
        return call if call is not None and at - call.at < self._look_back else None


def words_of_end(
    *,
    about: str,
    said: str,
    exit_code: int | None,
    is_failed: bool,
    files: Sequence[FileChange],
    output: str,
) -> str:
    """What came of a call, in words that need no other member: `exit 3: make test`, then the end of what it wrote."""
    changed = "\n".join(f"{file.change} {file.path}" for file in files)
    if changed and not is_failed:
        return changed
    head = f"exit {exit_code}" if exit_code is not None else ("failed" if is_failed else "")
    first, _, more = (about or changed or (said if head else "")).strip().partition("\n")
    if said and said != first and exit_code is None:
        head = f"{head}, {said}" if head else said
    words = f"{head}: {first}{' …' if more else ''}" if head and first else head or first
    return f"{words}\n{output}" if output and is_failed else words
