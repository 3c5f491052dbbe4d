"""What is shown of output: lines and steps, cleaned and redacted, however the bytes come. No I/O."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.agents.base import Agent, Step
from ringmaster.output.calls import Call, Calls, words_of_end
from ringmaster.protocol.attempt import FileChange, LogStep
from ringmaster.redaction.cleaning import clean
from ringmaster.redaction.forms import BLOCK_NEEDLE
from ringmaster.redaction.lines import LOOK_BACK, LineRedactor
from ringmaster.redaction.redactor import Redactor

__all__ = ["LOOK_BACK", "LinesRenderer", "Rendered", "StepsRenderer", "View", "open_renderer"]

View = Literal["lines", "steps"]
LINE_BYTES = 65_536
"""A longer line is shown in pieces."""
LINE_PIECE_BYTES = 8_192
"""How much of one is looked at at once: whoever reads it on the loop is back there after it."""
STEP_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is no step that an agent would write; it is read in pieces."""
STEP_TEXT = 16_384
CALL_ID = 200
"""A longer one is shown to nobody."""
OUTPUT_LINES = 20
OUTPUT_TEXT = 4_096
"""Of what a command that failed wrote, how much is shown with it: the end."""


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

    def take(self, data: bytes, *, is_last: bool, is_due: bool = False, is_brief: bool = False) -> Rendered:
        """Render what follows what was consumed; what was not consumed is given again, with more behind it.

        is_last: nothing comes after. is_due: a line that is not ended has waited long enough. Otherwise whole lines
        are consumed, and of a line longer than `LINE_BYTES` a piece. is_brief: less where it would take long, though
        it is the last: for whoever has to let others have their turn.
        """
        parts: list[str] = []
        done = 0
        if self._lines.is_within_line:
            end = data.find(b"\n")
            if is_brief and (end < 0 or end > LINE_PIECE_BYTES) and len(data) > LINE_PIECE_BYTES:
                count, text = self._lines.take_piece(data[:LINE_PIECE_BYTES], is_end=False)
                if count:
                    return Rendered(count, text, is_partial=True)
            if end >= 0:
                parts += (self._lines.take_piece(data[:end], is_end=True)[1], "\n")
                done = end + 1
        whole = data.rfind(b"\n", done) + 1
        if whole > done:
            near = data.find(b"\n", done + LINE_PIECE_BYTES // 2) + 1
            if is_brief and 0 < near < whole and BLOCK_NEEDLE.encode() in data:
                # Lines that may be of a key are looked at one by one.
                return Rendered(near, "".join([*parts, self._lines.show_lines(data[done:near])]))
            parts.append(self._lines.show_lines(data[done:whole]))
            done = whole
        least = LINE_PIECE_BYTES if self._lines.is_within_line else LINE_BYTES
        is_piece_due = is_last or is_due or len(data) - done > least
        while is_piece_due and done < len(data):
            count, text = self._take_piece(data[done:], is_last=is_last)
            parts.append(text)
            done += count
            is_piece_due = is_last and count > 0 and not is_brief
        is_partial = done > 0 and (done < len(data) or not is_last) and data[done - 1 : done] != b"\n"
        return Rendered(done, "".join(parts), is_partial=is_partial)

    def _take_piece(self, rest: bytes, *, is_last: bool) -> tuple[int, str]:
        if len(rest) > LINE_PIECE_BYTES:
            count, text = self._lines.take_piece(rest[:LINE_PIECE_BYTES], is_end=False)
            if count:
                return count, text
            # Something longer begins there.
        return self._lines.take_piece(rest, is_end=is_last)


class StepsRenderer:
    """An agent's stdout as what it did: steps of whole lines, each string cleaned and redacted.

    before: as of `LinesRenderer`, for a key whose lines have begun before, and for commands and tools that have.
    """

    def __init__(self, redactor: Redactor, agent: Agent, before: bytes = b"") -> None:
        self._redactor = redactor
        self._agent = agent
        self._before = before[-LOOK_BACK:]
        self._at = 0
        self._calls = Calls(LOOK_BACK)
        self._lines = self._look_back() if BLOCK_NEEDLE.encode() in self._before else LineRedactor(redactor)

    def take(self, data: bytes, *, is_last: bool, is_due: bool = False, is_brief: bool = False) -> Rendered:
        """As `LinesRenderer.take`. A line waits for its end whether it is due or not, up to `STEP_LINE_BYTES`."""
        end = len(data) if is_last else data.rfind(b"\n") + 1
        if not end and len(data) > STEP_LINE_BYTES:
            end = len(data)
        steps: list[LogStep] = []
        at = self._at
        for line in data[:end].split(b"\n"):
            if line:
                for step in self._agent.steps(line.removesuffix(b"\r")):
                    shown = self._shown(step, at)
                    if shown is not None:
                        steps.append(shown)
            at += len(line) + 1
        self._at += end
        return Rendered(end, steps=tuple(steps), is_partial=end > 0 and not is_last and data[end - 1 : end] != b"\n")

    def _shown(self, step: Step, at: int) -> LogStep | None:
        if not step.call_id:
            return self._log_step(step, self._redact(step.text or step.command), self._files(step.files))
        if self._before:
            self._look_back()
        if not step.is_start:
            return self._ended(step, at)
        call, text = self._begin(step, at)
        return self._log_step(step, text, (), call.command) if step.is_shown else None

    def _begin(self, step: Step, at: int) -> tuple[Call, str]:
        text = self._redact(step.text or step.command)
        command = text if not step.text else self._redact(step.command)
        call = Call(at, step.kind, command or text, command, step.is_shown)
        self._calls.begin(step.call_id, call)
        return call, text

    def _ended(self, step: Step, at: int) -> LogStep | None:
        """What came of a call; None when there is nothing to say besides that it is over."""
        call = self._calls.end(step.call_id, at)
        has_news = bool(step.text or step.files or step.is_failed or step.exit_code is not None)
        if call is not None and call.is_shown and not has_news:
            return None
        # As its beginning was shown: a line of a key block is taken out by what came before that.
        command = call.command if call is not None else self._redact(step.command)
        files = self._files(step.files)
        text = words_of_end(
            about=call.about if call is not None else command,
            said=self._redact(step.text),
            exit_code=step.exit_code,
            is_failed=step.is_failed,
            files=files,
            output=self._end_of(step.output) if step.is_failed else "",
        )
        if not text:
            return None
        return self._log_step(step, text, files, command, call.kind if call is not None else step.kind)

    def _log_step(
        self, step: Step, text: str, files: tuple[FileChange, ...], command: str = "", kind: str = ""
    ) -> LogStep:
        return LogStep(
            kind=kind or step.kind,
            text=text,
            at=step.at,
            call_id=self._redactor.redact(clean(step.call_id)) if 0 < len(step.call_id) <= CALL_ID else "",
            is_start=step.is_start,
            command=command,
            exit_code=step.exit_code,
            is_failed=step.is_failed,
            files=files,
            tokens_in=step.tokens_in,
            tokens_out=step.tokens_out,
            cost_usd=step.cost_usd,
        )

    def _look_back(self) -> LineRedactor:
        """Learn of the calls that have begun before the first byte that was given. Which key block has, is answered."""
        before, self._before = self._before, b""
        earlier = StepsRenderer(self._redactor, self._agent)
        # Of a line that has begun before what is looked at nothing is known.
        begin = before.find(b"\n") + 1 if len(before) == LOOK_BACK else 0
        at = earlier._at = begin - len(before)
        if BLOCK_NEEDLE.encode() in before:
            earlier.take(before[begin:], is_last=False)
        else:
            # What is said between does not matter then, and to redact it takes most of the time.
            for line in before[begin:].split(b"\n")[:-1]:
                earlier._learn(line, at)
                at += len(line) + 1
        self._calls = earlier._calls
        return earlier._lines

    def _learn(self, line: bytes, at: int) -> None:
        for step in self._agent.steps(line.removesuffix(b"\r")) if line else ():
            if step.call_id and step.is_start:
                self._begin(step, at)
            elif step.call_id:
                self._calls.end(step.call_id, at)

    def _redact(self, text: str) -> str:
        if not text:
            return text
        # Looked at is more than is shown: the end of what is looked at may be half a key.
        is_cut = len(text) > 2 * STEP_TEXT
        text = clean(text[: 2 * STEP_TEXT])
        if is_cut:
            text = text[: self._redactor.find_begun(text)]
        text = self._redactor.redact(text) if "\n" in text else self._lines.redact_line(text)
        return text[:STEP_TEXT] + "…" if len(text) > STEP_TEXT or is_cut else text

    def _end_of(self, output: str) -> str:
        """The last lines of what a command wrote."""
        is_cut = len(output) > 2 * STEP_TEXT
        text = self._redactor.redact(clean(output[-2 * STEP_TEXT :]))
        if is_cut:
            # What is looked at may begin within a key, or within a key block.
            text = text[STEP_TEXT:].partition("\n")[2]
        lines = text.rstrip().split("\n")
        return "\n".join(lines[-OUTPUT_LINES:])[-OUTPUT_TEXT:]

    def _files(self, files: tuple[FileChange, ...]) -> tuple[FileChange, ...]:
        shown: list[FileChange] = []
        room = STEP_TEXT
        for file in files:
            path = self._redact(file.path)
            room -= len(path)
            if room < 0:
                break
            shown.append(FileChange(path, file.change))
        return tuple(shown)


def open_renderer(view: View, redactor: Redactor, agent: Agent, before: bytes = b"") -> LinesRenderer | StepsRenderer:
    """The renderer of a view."""
    return LinesRenderer(redactor, before) if view == "lines" else StepsRenderer(redactor, agent, before)
