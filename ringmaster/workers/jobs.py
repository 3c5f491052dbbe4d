"""Running a job of an attempt so that it can be entered again after any crash, and ending what still runs."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import trio

from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.proc.job import Job, adopt_job, is_held, start_job
from ringmaster.proc.job_files import FORMAT, ExitReason, JobExit, JobLost, JobNotStarted, JobSpec, read_spec
from ringmaster.store.connection import Connection
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.overseeing import enforce_limits
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.jobs")
LOST = ".lost-"
"""In the name of a job's directory that was set aside, so that the job could be tried again."""


def make_spec(
    sur: Surroundings,
    *,
    kind: str,
    label: str,
    argv: tuple[str, ...],
    cwd: Path,
    env: Mapping[str, str],
    stdin: Path | None = None,
    wall_s: float | None = None,
    idle_s: float | None = None,
    output_bytes: int | None = None,
    secret_names: Iterable[str] = (),
) -> JobSpec:
    """The spec of a job of this instance, under the state's ESTOP and grace. Blocking: looks at paths.

    secret_names: variables of `env` whose values are not to be shown. A value that is the path of something there is
    no secret, and taken out it would leave output that nobody understands.
    """
    return JobSpec(
        argv=argv,
        cwd=str(cwd),
        env=dict(env),
        nonce=secrets.token_hex(16),
        stdin=str(stdin) if stdin else None,
        wall_s=wall_s,
        idle_s=idle_s,
        output_bytes=output_bytes if output_bytes is not None else sur.settings.limits.output_bytes,
        grace_s=sur.settings.limits.cancel_grace_s,
        estop=str(sur.paths.estop),
        instance=sur.instance_id,
        kind=kind,
        label=label,
        secret_names=tuple(name for name in secret_names if not is_place(env[name])),
    )


def is_place(value: str) -> bool:
    """Whether it is the path of something there is: where a secret lies, and none itself."""
    return value.startswith("/") and "\0" not in value and os.path.exists(value)


async def run_job(
    sur: Surroundings,
    attempt: Attempt,
    control: AttemptControl,
    directory: Path,
    make: Callable[[], Awaitable[JobSpec]],
    beside: Callable[[Job], Awaitable[None]] | None = None,
) -> JobExit | JobLost:
    """Start the job in `directory`, or adopt the one that an earlier daemon started there, and wait for its end.

    beside: what to do with the job while it runs; it is cancelled when the job ends.
    make: what to run; asked only when nothing was started there yet. Nothing is started once the attempt's end is
    wanted or ESTOP is there: that is CANCELLED or ESTOP without a job. Cancellation leaves the job running; calling
    this again, in this process or the next, adopts it.
    Raises OSError when no process can be started, RingmasterError for a job of another instance.
    """
    found = await adopt_job(directory, instance=sur.instance_id, roots=sur.roots())
    if isinstance(found, JobNotStarted):
        spec = await make() if control.wanted is None else None
        if spec is None or control.wanted is not None:
            return JobExit(format=FORMAT, reason=ExitReason.CANCELLED)
        if sur.paths.estop.exists():
            return JobExit(format=FORMAT, reason=ExitReason.ESTOP)
        directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = await start_job(directory, spec, roots=sur.roots())
        control.holds(found)
        # Essential: a job that runs must not be left by who waits for it because the disk is full.
        await sur.store.write_essential(emit_job, attempt, "attempt.job_started", spec.kind, str(directory), {})
    kind = directory.name
    if isinstance(found, Job):
        kind = found.spec.kind
        control.holds(found)
        try:
            found = await _wait(sur, found, beside)
        finally:
            control.holds(None)
    elif isinstance(found, JobExit):
        return found
    facts: dict[str, object] = {"reason": "lost"}
    if isinstance(found, JobExit):
        facts = {"reason": str(found.reason), "code": found.code, "signal": found.signal}
    elif found.killed.survivors:
        log.error("attempt %s: %s left processes that cannot be killed: %s", attempt.id, kind, found.killed.survivors)
        facts["survivors"] = found.killed.survivors
    await sur.store.write_essential(emit_job, attempt, "attempt.job_ended", kind, str(directory), facts)
    return found


async def _wait(sur: Surroundings, job: Job, beside: Callable[[Job], Awaitable[None]] | None) -> JobExit | JobLost:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enforce_limits, job, sur.now)
        if beside is not None:
            nursery.start_soon(beside, job)
        ended = await job.wait()
        nursery.cancel_scope.cancel()
    return ended


async def running_jobs(sur: Surroundings, attempt_id: str) -> list[Job]:
    """The jobs of an attempt that run now. What a dead shim left behind is killed on the way.

    A job that cannot be understood, or is another instance's, is left out and logged.
    """
    running: list[Job] = []
    for directory in await trio.to_thread.run_sync(unsettled_jobs, sur.paths.attempt(attempt_id)):
        try:
            found = await adopt_job(directory, instance=sur.instance_id, roots=sur.roots())
        except (RingmasterError, OSError) as error:
            log.warning("attempt %s: %s", attempt_id, error)
            continue
        if isinstance(found, Job):
            running.append(found)
    return running


async def stop_jobs(sur: Surroundings, attempt_id: str) -> None:
    """End whatever still runs for an attempt; returns when those trees are dead. For whoever ends the attempt."""
    running = await running_jobs(sur, attempt_id)
    for job in running:
        job.cancel(sur.settings.limits.cancel_grace_s)
    for job in running:
        # Whose directory somebody removed: its shim ends all the same, and there is nothing left to read.
        with contextlib.suppress(OSError):
            await job.wait()


def unsettled_jobs(directory: Path) -> list[Path]:
    """The jobs below a directory that run, or whose shim died without a word. Blocking."""
    jobs = sorted(path.parent for path in directory.glob("*/spec.json") if LOST not in path.parent.name)
    return [job for job in jobs if is_held(job / "lock") or _is_wordless(job)]


def set_aside(directory: Path) -> int:
    """Rename a job that showed nothing, so that its name is free for another try; how many there are now."""
    count = 1
    while directory.with_name(f"{directory.name}{LOST}{count}").exists():
        count += 1
    if directory.exists():
        directory.rename(directory.with_name(f"{directory.name}{LOST}{count}"))
    return count


def is_any_job_held(directory: Path) -> bool:
    """Whether a shim holds the lock of a job below: then it runs, whatever the rows say. Blocking."""
    return any(is_held(lock) for lock in directory.glob("*/lock"))


def is_of_another(directory: Path, instance_id: str) -> bool:
    """Whether a job below was started by another instance: it is not ours to end or remove. Blocking."""
    for job in directory.glob("*/spec.json"):
        try:
            spec = read_spec(job.parent)
        except RingmasterError:
            # Whose it is cannot be told; that it does not run has been looked at.
            continue
        if spec is not None and spec.instance not in ("", instance_id):
            return True
    return False


def _is_wordless(job: Path) -> bool:
    return (job / "run.json").exists() and not (job / "exit.json").exists()


def emit_job(
    conn: Connection, attempt: Attempt, type: str, kind: str, directory: str, facts: dict[str, object]
) -> None:
    """Say that a job of an attempt started or ended."""
    conn.emit(
        type,
        project_id=attempt.project_id,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        worker_id=attempt.worker_id,
        data={"kind": kind, "directory": directory, **facts},
    )
