"""The command agent: any program, started from an argv template."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ringmaster.agents.base import AgentCommand, AgentContext, AgentEnd, AgentReport, PlainProgram, Step, attempt_env
from ringmaster.agents.gemini_steps import gemini_steps, is_gemini
from ringmaster.agents.lines import (
    PROMISE,
    ResultLine,
    decode_object,
    iter_lines,
    report_from,
    result_of,
    tail_text,
)
from ringmaster.agents.opencode_steps import is_opencode, opencode_steps
from ringmaster.model.errors import ErrorKind, RingmasterError

PLACEHOLDERS = ("prompt_file", "workspace", "task", "attempt", "model", "socket")

LAST_WORDS_BYTES = 4_000

# `${name}` is the shell's and `{{name}}` stands for a plain `{name}`, so both are left alone; braces around
# anything but a name (JSON, awk programs) are no placeholders either.
_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]+)\}\}|(?<![$\\])\{([A-Za-z_]+)\}")


def check_template(argv: tuple[str, ...], name: str = "command") -> None:
    """Refuse an argv template that could never be filled in.

    Raises:
        RingmasterError: USAGE when it is empty or names an unknown placeholder.
    """
    if not argv or not argv[0]:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"the agent {name!r} has no command",
            "give the worker one after --, such as -- aider --message-file {prompt_file}",
        )
    _fill(argv, dict.fromkeys(PLACEHOLDERS, ""), name)


def _fill(argv: tuple[str, ...], values: dict[str, str], name: str) -> tuple[str, ...]:
    def value_of(match: re.Match[str]) -> str:
        escaped, placeholder = match.groups()
        if escaped is not None:
            return f"{{{escaped}}}"
        if placeholder not in values:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"the command of agent {name!r} has the unknown placeholder {{{placeholder}}}",
                f"known are {', '.join(f'{{{known}}}' for known in PLACEHOLDERS)};"
                f" write {{{{{placeholder}}}}} for the text itself",
            )
        return values[placeholder]

    return tuple(_PLACEHOLDER.sub(value_of, argument) for argument in argv)


class CommandAgent(PlainProgram):
    """Fills in a template: its own, or for the kind `command` the worker's.

    argv: the template; empty takes the worker's. env_names: variables handed through to it.
    """

    def __init__(self, name: str = "command", argv: tuple[str, ...] = (), env_names: tuple[str, ...] = ()) -> None:
        self.name = name
        self.trailer = f"Agent: {name}"
        self._argv = argv
        self._env_names = env_names

    def command(self, ctx: AgentContext) -> AgentCommand:
        """The template filled in. The prompt is on stdin too.

        Raises:
            RingmasterError: USAGE when there is no template or it names an unknown placeholder.
        """
        argv = self._argv or ctx.command
        check_template(argv, self.name)
        values = {
            "prompt_file": str(ctx.prompt_file),
            "workspace": str(ctx.workspace),
            "task": ctx.task.id,
            "attempt": ctx.attempt_id,
            "model": ctx.model,
            "socket": str(ctx.socket),
        }
        env = attempt_env(ctx) | {"RM_MODEL": ctx.model}
        return AgentCommand(argv=_fill(argv, values, self.name), env=env, env_names=self._env_names)

    def read_report(self, end: AgentEnd, stdout: Path, stderr: Path, model: str = "") -> AgentReport:
        """The last result line where the program writes one; else status unknown and its last words."""
        result: ResultLine | None = None
        lines = unknown = 0
        is_complete_said = False
        for line in iter_lines(stdout):
            lines += 1
            found = decode_object(line)
            stated = result_of(found) if found is not None else None
            if stated is not None:
                result = stated
            else:
                unknown += 1
                is_complete_said = is_complete_said or PROMISE in line
        words = [tail_text(stdout, LAST_WORDS_BYTES), tail_text(stderr, LAST_WORDS_BYTES)]
        return msgspec.structs.replace(
            report_from(result),
            steps=lines - unknown,
            unknown_lines=unknown,
            is_complete_said=is_complete_said,
            last_words="\n".join(part for part in words if part)[-LAST_WORDS_BYTES:],
        )

    @property
    def program(self) -> str:
        """See `Agent.program`."""
        return self._argv[0] if self._argv else ""

    def steps(self, line: bytes) -> tuple[Step, ...]:
        """A result line in words, a line of a stream that is known by its form as what it says; others as text."""
        found = decode_object(line)
        stated = result_of(found) if found is not None else None
        if stated is not None:
            return (Step(kind="text", text=f"{stated.status}: {stated.summary}".removesuffix(": ")),)
        if found is not None and is_gemini(found):
            return gemini_steps(found)
        if found is not None and is_opencode(found):
            return opencode_steps(found)
        text = line.decode("utf-8", "replace").strip()
        return (Step(kind="text", text=text),) if text else ()
