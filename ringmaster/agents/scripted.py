"""The scripted agent: does the steps recorded in its task, for real, without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from ringmaster.agents.base import (
    AgentCommand,
    AgentContext,
    AgentEnd,
    AgentReport,
    PlainProgram,
    Step,
    StepKind,
    attempt_env,
)
from ringmaster.agents.lines import (
    ResultLine,
    decode_object,
    iter_lines,
    report_from,
    result_of,
    tail_text,
)
from ringmaster.agents.recorded.work import TRAILER
from ringmaster.protocol.attempt import FileChange

PROGRAM = Path(__file__).with_name("scripted_program.py")

STEP_KINDS: dict[str, StepKind] = {
    "say": "text",
    "ask": "text",
    "report": "text",
    "read": "file",
    "write": "file",
    "edit": "file",
    "delete": "file",
    "touch_outside": "file",
    "run": "command",
    "git": "command",
    "commit": "command",
}

PROGRAMS = {"run": "", "git": "git "}
"""Of the steps that are a command line: what stands before their words."""
LAST_WORDS_BYTES = 4_000


class ScriptedAgent(PlainProgram):
    """Runs `scripted_program.py` on the interpreter that runs the daemon, without site packages."""

    name = "scripted"
    is_stdout_for_programs = True
    trailer = TRAILER

    def command(self, ctx: AgentContext) -> AgentCommand:
        """`python -I -S scripted_program.py`; the prompt comes on stdin."""
        return AgentCommand(argv=(sys.executable, "-I", "-S", str(PROGRAM)), env=attempt_env(ctx))

    def read_report(self, end: AgentEnd, stdout: Path, stderr: Path, model: str = "") -> AgentReport:
        """The last result line and counts of what came before it."""
        result: ResultLine | None = None
        steps = unknown = 0
        last_said: list[str] = []
        for line in iter_lines(stdout):
            found = decode_object(line)
            kind = found.get("type") if found is not None else None
            if found is None or kind not in ("step", "output", "change", "result"):
                unknown += 1
            elif kind == "step":
                steps += 1
                last_said = [*last_said[-9:], _words(found)]
            else:
                result = result_of(found) or result
        words = "\n".join(last_said)
        errors = tail_text(stderr, LAST_WORDS_BYTES)
        return msgspec.structs.replace(
            report_from(result),
            steps=steps,
            unknown_lines=unknown,
            last_words=f"{words}\n{errors}".strip()[-LAST_WORDS_BYTES:],
        )

    @property
    def program(self) -> str:
        """See `Agent.program`."""
        return sys.executable

    def steps(self, line: bytes) -> tuple[Step, ...]:
        """What one line says: what begins, what came of it, what it wrote; nothing for an empty one."""
        found = decode_object(line)
        if found is None:
            text = line.decode("utf-8", "replace").strip()
            return (Step(kind="other", text=text),) if text else ()
        kind, call_id = found.get("type"), _call_id(found)
        if kind == "step":
            return (_begun(found, call_id),)
        if kind == "output":
            return _shown_output(found, call_id)
        if kind == "change" and found.get("change") in ("add", "update", "delete"):
            return (Step(kind="file", call_id=call_id, files=(FileChange(str(found.get("path")), found["change"]),)),)
        result = result_of(found)
        if result is not None:
            return (Step(kind="text", text=f"{result.status}: {result.summary}".removesuffix(": ")),)
        return (Step(kind="other", text=line.decode("utf-8", "replace")),)


def _words(step: dict[str, Any]) -> str:
    return f"{step.get('do', '?')} {step.get('text', '')}".strip()


def _call_id(found: dict[str, Any]) -> str:
    number = found.get("n")
    return str(number) if isinstance(number, int) else ""


def _begun(found: dict[str, Any], call_id: str) -> Step:
    name = str(found.get("do"))
    kind = STEP_KINDS.get(name, "tool")
    if kind not in ("command", "file"):
        return Step(kind=kind, text=_words(found))
    prefix = PROGRAMS.get(name)
    command = f"{prefix}{found.get('text', '')}" if prefix is not None else ""
    return Step(kind=kind, text=_words(found), command=command, call_id=call_id, is_start=bool(call_id))


def _shown_output(found: dict[str, Any], call_id: str) -> tuple[Step, ...]:
    text, code = str(found.get("text", "")), found.get("code")
    if not isinstance(code, int):
        return (Step(kind="other", text=text),)
    shown = (Step(kind="other", text=text),) if text else ()
    return (*shown, Step(kind="command", call_id=call_id, exit_code=code, is_failed=code != 0))
