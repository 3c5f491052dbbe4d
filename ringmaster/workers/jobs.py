"""Running a job of an attempt so that it can be entered again after any crash."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from ringmaster.model.attempt import Attempt
from ringmaster.proc.job import Job, adopt_job, start_job
from ringmaster.proc.job_files import JobExit, JobLost, JobNotStarted, JobSpec
from ringmaster.store.connection import Connection
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.surroundings import Surroundings


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
) -> JobSpec:
    """The spec of a job of this instance, under the state's ESTOP and grace."""
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
    )


async def run_job(
    sur: Surroundings, attempt: Attempt, control: AttemptControl, directory: Path, spec: JobSpec
) -> JobExit | JobLost:
    """Start the job in `directory`, or adopt the one that an earlier daemon started there, and wait for its end.

    Cancellation leaves the job running; calling this again, in this process or the next, adopts it.
    Raises OSError when no process can be started, RingmasterError for a job of another instance.
    """
    found = await adopt_job(directory, instance=sur.instance_id, roots=sur.roots())
    if isinstance(found, JobNotStarted):
        directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = await start_job(directory, spec, roots=sur.roots())
        control.holds(found)
        await sur.store.write(emit_job, attempt, "attempt.job_started", spec.kind, str(directory), {})
    if not isinstance(found, Job):
        return found
    control.holds(found)
    try:
        ended = await found.wait()
    finally:
        control.holds(None)
    facts: dict[str, object] = {"reason": "lost"}
    if not isinstance(ended, JobLost):
        facts = {"reason": str(ended.reason), "code": ended.code, "signal": ended.signal}
    await sur.store.write_essential(emit_job, attempt, "attempt.job_ended", spec.kind, str(directory), facts)
    return ended


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
