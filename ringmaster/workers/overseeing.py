"""The limits of a job whose own shim cannot enforce them, because somebody has stopped it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import trio

from ringmaster.proc.job_files import JobSpec, read_run

log = logging.getLogger("ringmaster.jobs")

SLACK_S = 5.0
"""How long past a limit the shim is left to it."""


class Overseen(Protocol):
    """What is asked of a job; see `Job`."""

    @property
    def directory(self) -> Path:
        """Where its files lie."""

    @property
    def spec(self) -> JobSpec:
        """Its limits."""

    @property
    def stdout(self) -> Path:
        """Grows with its output."""

    @property
    def stderr(self) -> Path:
        """Grows with its output."""

    def is_shim_stopped(self) -> bool:
        """Whether its shim does nothing."""

    def resume_shim(self) -> None:
        """Let its shim go on."""

    def kill_shim(self) -> None:
        """Make it a lost job."""


async def enforce_limits(job: Overseen, now: Callable[[], float]) -> None:
    """Hold a job to its wall-clock and idle limits while its shim is stopped. Cancelled when the job has ended.

    A shim that runs is left alone, for the limits are its own. One that is found stopped past a limit is let go on, and
    ends its tree at once; one that is stopped again is killed, which makes the job a lost one. Output is only capped
    by the shim.
    """
    run = read_run(job.directory)
    elapsed_s = max(0.0, now() - run.started_at) if run is not None else 0.0
    ends_at = math.inf if job.spec.wall_s is None else trio.current_time() + job.spec.wall_s - elapsed_s
    is_warned = False
    while True:
        due = min(ends_at, _idle_at(job, now())) + SLACK_S
        if due == math.inf:
            return
        if due > trio.current_time():
            await trio.sleep_until(due)
            # It may have said something meanwhile.
            continue
        if job.is_shim_stopped():
            if is_warned:
                log.error("%s: its shim is stopped again past its limit and is killed", job.spec.label)
                return job.kill_shim()
            log.warning("%s: its shim is stopped past its limit and is let go on", job.spec.label)
            job.resume_shim()
            is_warned = True
        await trio.sleep(job.spec.grace_s + SLACK_S)


def _idle_at(job: Overseen, now: float) -> float:
    """When it is idle for too long, by the loop's clock."""
    if job.spec.idle_s is None:
        return math.inf
    return trio.current_time() + job.spec.idle_s - max(0.0, now - max(_changed_at(job), default=now))


def _changed_at(job: Overseen) -> Iterable[float]:
    for path in (job.stdout, job.stderr):
        try:
            yield path.stat().st_mtime
        except OSError:
            continue
