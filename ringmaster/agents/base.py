"""What an agent is to the supervisor: a command line, a stream of steps, a report at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from ringmaster.model.task import Task
from ringmaster.settings import Settings

EndReason = Literal["exited", "wall_clock", "idle", "output_flood", "estop", "cancelled", "spawn_failed", "lost"]
ReportStatus = Literal["succeeded", "failed", "needs_decision", "rate_limited", "unknown"]
StepKind = Literal["text", "tool", "command", "file", "usage", "other"]


class AgentContext(msgspec.Struct, frozen=True, kw_only=True):
    """All that a command line may depend on.

    prompt_file: the prompt; the supervisor also makes it the agent's stdin.
    command: the worker's own argv template, for agents of kind `command`.
    """

    task: Task
    attempt_id: str
    number: int
    workspace: Path
    prompt_file: Path
    socket: Path
    token: str
    command: tuple[str, ...]
    model: str
    settings: Settings


class AgentCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What to start.

    env: variables to set besides the allow-listed environment.
    env_names: names of variables to hand through from the daemon's own environment where they are set.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    env_names: tuple[str, ...] = ()


class AgentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How the job ended. code or signal: of the child, when it ran; error: words, when it could not."""

    reason: EndReason
    code: int | None = None
    signal: int | None = None
    error: str = ""


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent's output says of its work: signals, never the verdict.

    status: of its structured result; `unknown` without one.
    is_counted: False for a failure that is not the task's fault (5xx, 401, 403 of the agent's API).
    reset_at: when a rate limit ends, unix seconds.
    denials: times the agent was refused a permission. is_complete_said: the words
        `<promise>COMPLETE</promise>` were there, the weakest of all signals.
    unknown_lines: lines that have no known form. last_words: the end of what it said, for the next prompt.
    """

    status: ReportStatus = "unknown"
    summary: str = ""
    question: str = ""
    detail: str = ""
    options: tuple[str, ...] = ()
    is_counted: bool = True
    reset_at: float | None = None
    usage: dict[str, Any] = {}
    steps: int = 0
    unknown_lines: int = 0
    denials: int = 0
    is_complete_said: bool = False
    last_words: str = ""


class ExplicitReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempt said over the socket: `attempt.report`, or `attempt.ask` as needs_decision."""

    status: Literal["succeeded", "failed", "needs_decision"]
    summary: str = ""
    decision_id: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an agent's stream, as a person follows it. at: unix seconds, where the stream says so."""

    kind: StepKind
    text: str
    at: float | None = None


class Agent(Protocol):
    """One kind of agent. Stateless; one value serves every attempt.

    trailer: the last line of the commit that the daemon makes of what the agent left uncommitted.
    """

    @property
    def name(self) -> str:
        """What a worker's `agent` says."""

    @property
    def trailer(self) -> str:
        """`Agent: …`."""

    def command(self, ctx: AgentContext) -> AgentCommand:
        """The command line and environment of one attempt.

        Raises:
            RingmasterError: USAGE in words, when the template cannot be filled in.
        """

    def read_report(self, end: AgentEnd, stdout: Path, stderr: Path) -> AgentReport:
        """Read the whole output once; a file that is missing or of odd bytes gives a report all the same.

        Blocking: up to some seconds for an output at its cap, so call it in a thread.
        """

    def steps(self, line: bytes) -> tuple[Step, ...]:
        """The steps in one line of stdout. Never raises: a line of no known form is a step of kind other."""


def attempt_env(ctx: AgentContext) -> dict[str, str]:
    """The variables that every agent gets."""
    return {
        "RM_TASK": ctx.task.id,
        "RM_ATTEMPT": ctx.attempt_id,
        "RM_ATTEMPT_NUMBER": str(ctx.number),
        "RM_TOKEN": ctx.token,
        "RM_WORKSPACE": str(ctx.workspace),
        "RM_PROMPT_FILE": str(ctx.prompt_file),
        "RMCTL_SOCKET": str(ctx.socket),
    }
