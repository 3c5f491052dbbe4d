"""Methods about attempts, their logs, and what an attempt may say of itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ringmaster.model.asking import Urgency
from ringmaster.protocol.mutation import Mutation

LogStream = Literal["", "steps", "stdout", "stderr", "setup", "gate"]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt without its token. workspace: where it works. files: the directory of its prompt and jobs.

    session_id: the agent's conversation. account: who pays. cost_usd, tokens_in, tokens_out: of this attempt alone,
    as far as its agent says them. landed_ref, landed_commit: where its landing moved, or is about to move, which ref.
    lease_s: how long whoever pulled it may be silent; 0 for one that the daemon started.
    """

    id: str
    task_id: str
    number: int
    project_id: str
    worker_id: str
    agent: str
    state: str
    outcome: str
    reason: str
    branch: str
    base_commit: str
    head_commit: str
    landed_ref: str
    landed_commit: str
    report: dict[str, Any]
    workspace: str
    files: str
    started_at: float
    ended_at: float | None
    session_id: str = ""
    account: str = ""
    model: str = ""
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    lease_s: float = 0.0


class AttemptListParams(msgspec.Struct, frozen=True, kw_only=True):
    """task_id: of one task; is_live: only those that have not ended."""

    task_id: str = ""
    is_live: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100


class AttemptIdParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: TASK/NUMBER, or a task's id for its newest attempt."""

    id: str


class AttemptList(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    attempts: tuple[AttemptView, ...]


class AttemptPullParams(Mutation, frozen=True, kw_only=True):
    """Somebody takes a task. worker: a seat that tasks are pulled for; made when it is not known; '' takes a free one.

    lease_s: how long they may be silent. is_run: they will start the worker's agent by the `shim` of the answer.
    """

    worker: str = ""
    lease_s: Annotated[float, msgspec.Meta(ge=1.0, le=86_400.0 * 7)] | None = None
    is_run: bool = False


class AttemptPulled(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken; the workspace is ready. token: shown with every call about the attempt; a secret.

    shim: with `is_run` the command line that runs the agent, started with the lock of `job` held as its descriptor,
    whose number takes the place of the last word.
    """

    task: str
    attempt: str
    token: str
    workspace: str
    branch: str
    lease_s: float
    worker: str
    title: str = ""
    job: str = ""
    shim: tuple[str, ...] = ()


class AttemptTokenParams(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt, and the proof that one has pulled it or is it."""

    attempt_id: str
    token: str


class AttemptPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt, and the file it is in."""

    attempt_id: str
    prompt: str
    file: str


class AttemptPromptSent(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt was told, for people: cleaned and without keys. is_truncated: the file has more."""

    attempt_id: str
    prompt: str
    file: str
    is_truncated: bool = False


class AttemptHeartbeatParams(Mutation, frozen=True, kw_only=True):
    """Whoever pulled the attempt lives."""

    attempt_id: str
    token: str


class AttemptHeartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The lease runs from now for `lease_s`; 0 for an attempt that needs none."""

    attempt_id: str
    lease_s: float


class AttemptReportParams(Mutation, frozen=True, kw_only=True):
    """An attempt says how it went: a signal, never the verdict. Of one that is worked on by hand it is the last word.

    status: succeeded, failed or needs_decision; interrupted hands a pulled attempt back.
    """

    attempt_id: str
    token: str
    status: Literal["succeeded", "failed", "needs_decision", "interrupted"]
    summary: Annotated[str, msgspec.Meta(max_length=100_000)] = ""


class AttemptAskParams(Mutation, frozen=True, kw_only=True):
    """An attempt asks a person. The task waits once the attempt has ended.

    options: what they may answer, in their order; none for any words. recommendation: which of them it would take.
    default_answer: one of the options, given `default_after_s` from now (a minute at least) if nobody has answered.
    """

    attempt_id: str
    token: str
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
    detail: Annotated[str, msgspec.Meta(max_length=100_000)] = ""
    options: tuple[str, ...] = ()
    recommendation: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    urgency: Urgency = "normal"
    default_answer: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    default_after_s: Annotated[float, msgspec.Meta(gt=0, le=366 * 86_400)] | None = None


class AttemptReported(msgspec.Struct, frozen=True, kw_only=True):
    """The report or question is stored. is_final: the attempt is the daemon's from here."""

    attempt_id: str
    decision_id: str = ""
    is_final: bool = False


class LogsReadParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """id: an attempt or a task (its newest attempt). stream: which output; '' is what people read: the steps of an
    agent that writes its stdout for programs, the stdout of others. offset: bytes into it.

    job: which job of the attempt, as a chunk names it; empty takes `agent`, `setup` or the newest gate,
    as the stream says. since_at: start at the first output written after this time (unix seconds), by
    the job's index, up to a second too early. before: nothing from this offset on. tail_lines: only the last N lines
    of what is left then; None for all. max_bytes bounds the answer, but for a line that is longer; read on from
    `next_offset`. is_raw: the untouched bytes instead of text, for people alone.
    """

    id: str
    stream: LogStream = ""
    job: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    before: Annotated[int, msgspec.Meta(ge=0)] | None = None
    tail_lines: Annotated[int, msgspec.Meta(ge=0)] | None = None
    since_at: float | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 262_144
    is_raw: bool = False


class FileChange(msgspec.Struct, frozen=True):
    """A file that an agent changed. path: as the agent says it."""

    path: str
    change: Literal["add", "update", "delete"]


class LogStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of an agent: in words, and as members what of it the stream states. One of nothing is left out.

    kind: text, tool, command, file, usage or other. at: when.
    call_id: as the agent calls what this step begins or ends. is_start: it begins here; what came of it is a later
    step of the same `call_id`, of a tool that changes nothing only where it failed.
    command: the command line, also where it ended. exit_code: its exit status; None while it runs, and where the agent
    does not say. is_failed: what it did failed or was denied; `text` says why. files: what it changed.
    tokens_in: with what came from a cache.
    """

    kind: str
    text: str
    at: float | None = None
    call_id: str = ""
    is_start: bool = False
    command: str = ""
    exit_code: int | None = None
    is_failed: bool = False
    files: tuple[FileChange, ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None


class LogChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Output as text: cleaned of what acts on a terminal, without keys; bytes that are no UTF-8 come as U+FFFD.

    data_base64: with `is_raw` the untouched bytes, and no text; otherwise empty.
    Offsets count the bytes of the job's file. With the stream `steps` they count those of `stdout`, a chunk
    holds whole lines, `steps` says what the agent did in them, `text` the same in words.
    is_end: the job has ended and nothing follows `next_offset`.
    """

    attempt_id: str
    stream: str
    job: str
    offset: int
    next_offset: int
    text: str
    data_base64: str
    is_end: bool
    steps: tuple[LogStep, ...] = ()


class LogsFollowParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Like `logs.read`, then every further chunk as a `logs.chunk` notification until the job ends.

    An attempt whose job has not begun is waited for. The stream `gate` goes on with each further gate
    until the attempt ends. A dropped connection loses nothing: follow again from the last chunk's `job` and
    `next_offset`. A line that is not ended is sent after a second. is_raw: as of `logs.read`.
    """

    id: str
    stream: LogStream = ""
    job: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    tail_lines: Annotated[int, msgspec.Meta(ge=0)] | None = None
    since_at: float | None = None
    is_raw: bool = False


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """The stream has begun. subscription: the id its notifications carry."""

    subscription: int
    attempt_id: str = ""
