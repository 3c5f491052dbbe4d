"""The files of a job as the daemon reads and writes them. The contract is in docs/architecture.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.tree import Killed

FORMAT = 1


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. Durations in seconds; a limit that is None is not enforced.

    argv: the program is looked up in the PATH of `env`. env: the child's whole environment, to
    which the shim adds RM_NONCE. stdin: path of a file, None for /dev/null. nonce: unguessable, one
    per job. wall_s counts monotonic time; idle_s: without growth of stdout or stderr; output_bytes:
    both together. grace_s: between TERM and KILL for a cancel, wall_s and idle_s. estop: path whose existence
    ends the job. instance, kind, label: for the reader; instance guards adoption. secret_names: the variables of
    `env` that hold secrets, for whoever shows the output; a spec of an earlier release names none.
    """

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    nonce: str
    stdin: str | None = None
    wall_s: float | None = None
    idle_s: float | None = None
    output_bytes: int | None = None
    grace_s: float = 10.0
    estop: str | None = None
    instance: str = ""
    kind: str = ""
    label: str = ""
    secret_names: tuple[str, ...] = ()
    format: int = FORMAT


class JobRun(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs: written by the shim before the child executes its first instruction."""

    format: int
    shim: ProcessIdentity
    child: ProcessIdentity
    started_at: float


class ExitReason(StrEnum):
    """What ended a job. UNKNOWN: a word of a later shim."""

    EXITED = "exited"
    WALL_CLOCK = "wall_clock"
    IDLE = "idle"
    OUTPUT_FLOOD = "output_flood"
    ESTOP = "estop"
    CANCELLED = "cancelled"
    SPAWN_FAILED = "spawn_failed"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> ExitReason:
        return cls.UNKNOWN


class JobExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended; its tree is dead. `code` or `signal` of the child, both None if it never ran.

    user_s, sys_s: of the whole tree as far as it was reaped. error: a line for people.
    oom_kills: how often the kernel killed for want of memory while it ran, of whatever process near it.
    """

    format: int
    reason: ExitReason
    code: int | None = None
    signal: int | None = None
    error: str | None = None
    started_at: float = 0.0
    ended_at: float = 0.0
    user_s: float = 0.0
    sys_s: float = 0.0
    max_rss_kb: int = 0
    oom_kills: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0


class JobLost(msgspec.Struct, frozen=True, kw_only=True):
    """The shim died without a word; what it left is dead (but for `killed.survivors`)."""

    run: JobRun | None = None
    killed: Killed = Killed()


class JobNotStarted(msgspec.Struct, frozen=True):
    """There is no such job, or its child has never run: `start_job` on the same directory is safe."""


Record = TypeVar("Record", JobSpec, JobRun, JobExit)
_SPEC = msgspec.json.Decoder(JobSpec)
_RUN = msgspec.json.Decoder(JobRun)
_EXIT = msgspec.json.Decoder(JobExit)


def _read(path: Path, decoder: msgspec.json.Decoder[Record]) -> Record | None:
    """A file of the job, None when it is not there. Raises RingmasterError when it is not understood."""
    try:
        record = decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RingmasterError(ErrorKind.INTERNAL, f"{path} is not readable: {error}") from error
    if record.format > FORMAT:
        raise RingmasterError(
            ErrorKind.PROTOCOL,
            f"{path} has format {record.format}, this release reads up to {FORMAT}",
            "go on with the release that started this job",
        )
    return record


def read_spec(directory: Path) -> JobSpec | None:
    """spec.json of a job, None when there is none."""
    return _read(directory / "spec.json", _SPEC)


def read_run(directory: Path) -> JobRun | None:
    """run.json of a job, None while the child has not run."""
    return _read(directory / "run.json", _RUN)


def read_exit(directory: Path) -> JobExit | None:
    """exit.json of a job. It counts only while the job's lock is free."""
    return _read(directory / "exit.json", _EXIT)


def write_spec(directory: Path, spec: JobSpec) -> None:
    """Write spec.json durably, readable for the owner alone: the environment may hold secrets."""
    write_durably(directory / "spec.json", msgspec.json.encode(spec))


def write_durably(path: Path, data: bytes) -> None:
    """Temporary name, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + ".tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
