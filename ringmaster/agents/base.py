"""What an agent is to the supervisor: a command line, a stream of steps, a report at the end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Permissions
from ringmaster.model.task import Task
from ringmaster.protocol.attempt import FileChange
from ringmaster.settings import Settings

EndReason = Literal[
    "exited", "wall_clock", "idle", "limit", "lingering", "output_flood", "estop", "cancelled", "spawn_failed", "lost"
]
ReportStatus = Literal["succeeded", "failed", "needs_decision", "rate_limited", "unknown"]
StepKind = Literal["text", "tool", "command", "file", "usage", "other"]


class AgentContext(msgspec.Struct, frozen=True, kw_only=True):
    """All that a command line may depend on.

    prompt_file: the prompt; the supervisor also makes it the agent's stdin.
    command: the worker's own argv template, for agents of kind `command`.
    session_id: the conversation; is_resumed: it is an earlier attempt's and goes on. Empty for an agent without.
    permissions: what the project allows; is_sandboxed: the agent can reach nothing but its workspace.
    budget_usd: what it may still spend.
    agent_home: the agent's HOME. environ: the daemon's environment, to find a person's own configuration by.
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
    session_id: str = ""
    is_resumed: bool = False
    permissions: Permissions = "run"
    is_sandboxed: bool = False
    budget_usd: float | None = None
    agent_home: Path = Path("/nonexistent")
    environ: Mapping[str, str] = {}


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays for an agent. id: the kind and a digest of the credential; label: for a person, never a secret."""

    id: str
    agent: str
    label: str


class AgentCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What to start.

    env: variables to set besides the allow-listed environment.
    env_names: names of variables to hand through from the daemon's own environment where they are set.
    directories: places besides the workspace that it writes to, such as its configuration; made where missing.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    env_names: tuple[str, ...] = ()
    directories: tuple[Path, ...] = ()


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and dollars. tokens_in: with what came from a cache.

    seen_in: input tokens that this run's own lines account for.
    """

    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    seen_in: int = 0


NOTHING_SPENT = Spent()


def spent_since(stated: Spent, before: Spent) -> Spent:
    """What one run spent, where `before` is what the run before it in the same session stated.

    Some versions state the sum over a resumed session and some the run alone, and nothing in the stream says
    which: the reading that lies nearer to what the run's own lines account for is taken.
    """
    sum_error = abs(stated.tokens_in - before.tokens_in - stated.seen_in)
    is_sum = (
        before.tokens_in > 0
        and sum_error < abs(stated.tokens_in - stated.seen_in)
        and stated.tokens_out >= before.tokens_out
        and stated.cost_usd >= before.cost_usd
    )
    if not is_sum:
        return stated
    return Spent(
        cost_usd=stated.cost_usd - before.cost_usd,
        tokens_in=stated.tokens_in - before.tokens_in,
        tokens_out=stated.tokens_out - before.tokens_out,
        seen_in=stated.seen_in,
    )


class AgentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How the job ended. code or signal: of the child, when it ran; error: words, when it could not.

    is_memory_short: the kernel killed for want of memory while it ran, so a SIGKILL is likely one of those.
    `lingering`: it had given its result and was ended because it did not exit. `limit`: it was ended at the limit
    that `error` names, by its meter.
    """

    reason: EndReason
    code: int | None = None
    signal: int | None = None
    error: str = ""
    is_memory_short: bool = False


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent's output says of its work: signals, never the verdict.

    status: of its structured result; `unknown` without one.
    is_counted: False for a failure that is not the task's fault (5xx, 401, 403 of the agent's API).
    reset_at: when a rate limit ends, unix seconds.
    denials: times the agent was refused a permission. is_complete_said: the words
        `<promise>COMPLETE</promise>` were there, the weakest of all signals.
    unknown_lines: lines that have no known form. last_words: the end of what it said, for the next prompt.
    is_final: its last line was a result, so all that it says is there.
    session_id: the conversation, as the agent calls it; is_session_lost: it could not be gone on with.
    api_status: HTTP status of the API's last error that ended the run; 401 also for a login that is missing.
    spent: tokens and dollars as the agent states them, perhaps over all runs of the session; see `spent_since`.
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
    is_final: bool = False
    session_id: str = ""
    is_session_lost: bool = False
    model: str = ""
    api_status: int | None = None
    spent: Spent = NOTHING_SPENT


class ExplicitReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempt said over the socket: `attempt.report`, or `attempt.ask` as needs_decision."""

    status: Literal["succeeded", "failed", "needs_decision"]
    summary: str = ""
    decision_id: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a line of an agent's stream says, before it is cleaned, redacted and bounded.

    Members as of `LogStep`, and: is_shown: False for a beginning that is only kept for what answers it. output: what a
    command or tool wrote; the end of it is shown where it failed. With a `call_id` and without `is_start` it is an end:
    `text` is then how it went in the agent's words, '' for none; what it was about is known from its beginning, and
    `command` stands in for that.
    """

    kind: StepKind
    text: str = ""
    at: float | None = None
    call_id: str = ""
    is_start: bool = False
    is_shown: bool = True
    command: str = ""
    exit_code: int | None = None
    is_failed: bool = False
    output: str = ""
    files: tuple[FileChange, ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be metered. turns, budget_usd: its limits. environ: what its program was started with.

    model: as asked for. since_at: unix seconds; what is older belongs to another run.
    """

    turns: int | None = None
    budget_usd: float | None = None
    model: str = ""
    environ: Mapping[str, str] = {}
    since_at: float = 0.0


class Meter(Protocol):
    """Counts one run, line by line from its first. Both methods may read small files, so call them in a thread."""

    def take(self, line: bytes) -> str:
        """Count a line of stdout; the limit that is reached with it, in words, or ''."""

    def spent(self) -> Spent:
        """What the run has come to so far."""


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

    @property
    def program(self) -> str:
        """The program it starts, as PATH is searched for it; '' when each worker names its own."""

    @property
    def is_resumable(self) -> bool:
        """Whether it has conversations that a later attempt can go on with, and a last line that `is_final` knows."""

    @property
    def is_stdout_for_programs(self) -> bool:
        """Whether its stdout is a protocol, which people read as steps."""

    def new_session_id(self, rng: random.Random) -> str:
        """The id to begin a conversation with; '' for an agent that has none or names its own."""

    def account(self, environ: Mapping[str, str]) -> Account | None:
        """Who pays, with the daemon's environment; None when nobody does or no login is found. Reads small files."""

    def is_final(self, line: bytes) -> bool:
        """Whether a line of stdout is a result, after which the agent has nothing left to do but exit."""

    def command(self, ctx: AgentContext) -> AgentCommand:
        """The command line and environment of one attempt.

        Raises:
            RingmasterError: USAGE in words, when the template cannot be filled in.
        """

    def read_report(self, end: AgentEnd, stdout: Path, stderr: Path, model: str = "") -> AgentReport:
        """Read the whole output once; a file that is missing or of odd bytes gives a report all the same.

        model: as asked for, for an agent that does not say which one answered.
        Blocking: up to some seconds for an output at its cap, so call it in a thread.
        """

    def meter(self, run: Run) -> Meter | None:
        """What counts a run of a program that does not hold limits by itself; None for one that does."""

    def steps(self, line: bytes) -> tuple[Step, ...]:
        """The steps in one line of stdout, by that line alone. Never raises: one of no known form is of kind other."""


class PlainProgram:
    """What an agent that asks no model is without: an account, a conversation, a last line. A base for its class."""

    is_resumable = False
    is_stdout_for_programs = False

    def account(self, environ: Mapping[str, str]) -> Account | None:
        """Nobody that Ringmaster knows of."""
        return None

    def new_session_id(self, rng: random.Random) -> str:
        """None."""
        return ""

    def is_final(self, line: bytes) -> bool:
        """Never: programs may go on after a result line of theirs."""
        return False

    def meter(self, run: Run) -> Meter | None:
        """None: it uses nothing that could be counted."""
        return None


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


def refuse_open_house(ctx: AgentContext) -> None:
    """Raises USAGE when an agent that asks for nothing would run without a sandbox around it."""
    if not ctx.is_sandboxed:
        raise RingmasterError(
            ErrorKind.USAGE,
            "permissions = full lets an agent do anything, and there is no sandbox around it",
            f"rmctl project edit {ctx.task.project_id} --sandbox bwrap, or --permissions run",
        )
