"""What is shown of output: lines and steps, cleaned and redacted, however the bytes come. No I/O."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.agents.base import Agent, Step
from ringmaster.protocol.attempt import LogStep
from ringmaster.redaction.cleaning import clean, decode, is_plain
from ringmaster.redaction.lines import LOOK_BACK, LineRedactor
from ringmaster.redaction.redactor import Redactor

__all__ = ["LOOK_BACK", "LinesRenderer", "Rendered", "StepsRenderer", "View", "open_renderer"]

View = Literal["lines", "steps"]
LINE_BYTES = 65_536
"""A longer line is shown in pieces."""
STEP_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is no step that an agent would write; it is read in pieces."""
STEP_TEXT = 16_384


class Rendered(msgspec.Struct, frozen=True):
    """What may be shown of the bytes that were given.

    length: how many of them are consumed; 0: nothing can be said yet. text: of lines. steps: of steps.
    is_partial: the last line goes on.
    """

    length: int
    text: str = ""
    steps: tuple[LogStep, ...] = ()
    is_partial: bool = False


class LinesRenderer:
    """Output as lines, each with its newline but for the last of a job and those in pieces.

    before: up to `LOOK_BACK` bytes that lie before the first that will be given.
    """

    def __init__(self, redactor: Redactor, before: bytes = b"") -> None:
        self._lines = LineRedactor(redactor, before[-LOOK_BACK:])

    def take(self, data: bytes, *, is_last: bool, is_due: bool = False) -> Rendered:
        """Render what follows what was consumed; what was not consumed is given again, with more behind it.

        is_last: nothing comes after. is_due: a line that is not ended has waited long enough. Otherwise whole lines
        are consumed, and of a line longer than `LINE_BYTES` a piece.
        """
        parts: list[str] = []
        done = 0
        if self._lines.is_within_line:
            end = data.find(b"\n")
            if end >= 0:
                parts += (self._lines.take_piece(data[:end], is_end=True)[1], "\n")
                done = end + 1
        whole = data.rfind(b"\n", done) + 1
        if whole > done:
            parts.append(self._lines.redact_lines(_cleaned(data[done:whole])))
            done = whole
        rest = data[done:]
        if rest and (is_last or is_due or len(rest) > LINE_BYTES):
            count, text = self._lines.take_piece(rest, is_end=is_last)
            parts.append(text)
            done += count
        return Rendered(done, "".join(parts), is_partial=done > 0 and not is_last and data[done - 1 : done] != b"\n")


class StepsRenderer:
    """An agent's stdout as what it did: steps of whole lines, each string cleaned and redacted.

    before: as of `LinesRenderer`, for a key whose lines have begun before.
    """

    def __init__(self, redactor: Redactor, agent: Agent, before: bytes = b"") -> None:
        self._redactor = redactor
        self._agent = agent
        self._lines = LineRedactor(redactor, before[-LOOK_BACK:].rpartition(b"\n")[0] + b"\n" if before else b"")

    def take(self, data: bytes, *, is_last: bool, is_due: bool = False) -> Rendered:
        """As `LinesRenderer.take`. A line waits for its end whether it is due or not, up to `STEP_LINE_BYTES`."""
        end = len(data) if is_last else data.rfind(b"\n") + 1
        if not end and len(data) > STEP_LINE_BYTES:
            end = len(data)
        steps = [
            self._shown(step)
            for line in data[:end].split(b"\n")
            if line
            for step in self._agent.steps(line.removesuffix(b"\r"))
        ]
        return Rendered(end, steps=tuple(steps), is_partial=end > 0 and not is_last and data[end - 1 : end] != b"\n")

    def _shown(self, step: Step) -> LogStep:
        text = step.text
        # Looked at is more than is shown: the end of what is looked at may be half a key.
        is_cut = len(text) > 2 * STEP_TEXT
        text = clean(text[: 2 * STEP_TEXT])
        if is_cut:
            text = text[: self._redactor.find_begun(text)]
        text = self._redactor.redact(text) if "\n" in text else self._lines.redact_line(text)
        if len(text) > STEP_TEXT or is_cut:
            text = text[:STEP_TEXT] + "…"
        return LogStep(kind=step.kind, text=text, at=step.at)


def open_renderer(view: View, redactor: Redactor, agent: Agent, before: bytes = b"") -> LinesRenderer | StepsRenderer:
    """The renderer of a view."""
    return LinesRenderer(redactor, before) if view == "lines" else StepsRenderer(redactor, agent, before)


def _cleaned(data: bytes) -> str:
    return data.decode() if is_plain(data) else clean(decode(data))
