"""What every step works with: the run, its stream, and the two ways in which it ends early."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # the real one costs milliseconds of every start
if TYPE_CHECKING:
    from typing import Any

OUTPUT_LIMIT = 4_000

StepObject = dict[str, "Any"]


class StepFailed(Exception):
    """A step could not be done; the words go into the result."""


class Ended(Exception):
    """The run ends here with a result. code: exit status."""

    def __init__(self, status: str, summary: str = "", *, code: int = 0, **fields: Any) -> None:
        super().__init__(summary)
        self.code = code
        self.result = {"status": status, "summary": summary, **fields}


class Script:
    """One run: the steps, the answers that the prompt holds, and where it works."""

    def __init__(self, steps: list[StepObject], answers: list[dict[str, str]], attempt: int) -> None:
        self.steps = steps
        self.answers = answers
        self.attempt = attempt
        self.workspace = os.path.realpath(os.getcwd())
        self.number = 0

    def path(self, step: StepObject, key: str = "path") -> str:
        """A path inside the workspace, links resolved."""
        named = text_of(step, key)
        path = os.path.realpath(os.path.join(self.workspace, named))
        if path != self.workspace and not path.startswith(self.workspace + "/"):
            raise StepFailed(f"{named} leads out of the workspace; touch_outside is the step for that")
        return path

    def answer_to(self, question: str) -> str | None:
        """A person's newest answer to exactly this question."""
        found = [entry["answer"] for entry in self.answers if entry["question"] == question]
        return found[-1] if found else None

    def is_due(self, step: StepObject) -> bool:
        """Whether the step's `when` holds; a condition of no known name fails the run."""
        conditions = step.get("when") or {}
        unknown = set(conditions) - {"attempt", "attempt_min", "attempt_max", "answered", "answer"}
        if unknown:
            raise StepFailed(f"unknown condition {sorted(unknown)[0]!r}")
        answer = self.answer_to(conditions["answered"]) if "answered" in conditions else None
        return (
            conditions.get("attempt", self.attempt) == self.attempt
            and conditions.get("attempt_min", 0) <= self.attempt
            and conditions.get("attempt_max", self.attempt) >= self.attempt
            and ("answered" not in conditions or answer is not None)
            and ("answer" not in conditions or answer == conditions["answer"])
        )


def emit(line: dict[str, Any]) -> None:
    """Write one JSON line in one call, so that a kill leaves whole lines but for the last."""
    data = json.dumps(line).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def show(script: Script, text: str, **fields: Any) -> None:
    """One `output` line; a long text keeps its end."""
    if len(text) > OUTPUT_LIMIT:
        text = f"[… {len(text) - OUTPUT_LIMIT} characters …]\n{text[-OUTPUT_LIMIT:]}"
    emit({"type": "output", "n": script.number, "text": text, **fields})


def note_change(script: Script, path: str, change: str) -> None:
    """One `change` line about a file that was changed. change: add, update or delete."""
    named = path.removeprefix(script.workspace + "/")
    emit({"type": "change", "n": script.number, "path": named, "change": change})


def text_of(step: StepObject, key: str, default: str | None = None) -> str:
    """A string field of a step."""
    value = step.get(key, default)
    if not isinstance(value, str):
        raise StepFailed(f"needs {key!r} as a string")
    return value
