"""A job whose shim is stopped: nothing before its limit, then it is let go on, then it is killed."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from ringmaster.proc.job_files import JobSpec
from ringmaster.workers.overseeing import SLACK_S, enforce_limits

GRACE_S = 2.0


class StoppedJob:
    """A job in whose shim nothing happens. is_obedient: it runs, once it was let go on."""

    def __init__(self, directory: Path, *, is_obedient: bool, **limits: float) -> None:
        self.directory = directory
        self.stdout, self.stderr = directory / "stdout", directory / "stderr"
        self.spec = JobSpec(argv=("x",), cwd="/", env={}, nonce="n", grace_s=GRACE_S, **limits)  # type: ignore[arg-type]
        self.is_obedient = is_obedient
        self.seen: list[tuple[str, float]] = []

    def is_shim_stopped(self) -> bool:
        return not (self.is_obedient and self.seen)

    def resume_shim(self) -> None:
        self.seen.append(("resumed", trio.current_time()))

    def kill_shim(self) -> None:
        self.seen.append(("killed", trio.current_time()))


async def seen_of(job: StoppedJob, seconds: float) -> list[tuple[str, float]]:
    """What was done to it in so many seconds, with when."""
    began = trio.current_time()
    with trio.move_on_after(seconds):
        await enforce_limits(job, lambda: 1_000.0 + trio.current_time() - began)
    return [(what, at - began) for what, at in job.seen]


async def test_a_stopped_shim_is_let_go_on_past_the_wall_clock_limit_and_then_killed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    job = StoppedJob(tmp_path, is_obedient=False, wall_s=60.0)
    over = 60.0 + SLACK_S
    assert await seen_of(job, 59.0) == []
    assert await seen_of(job, 600.0) == [("resumed", over), ("killed", over + GRACE_S + SLACK_S)]


async def test_a_shim_that_goes_on_is_left_to_it(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    job = StoppedJob(tmp_path, is_obedient=True, wall_s=60.0)
    assert [what for what, _ in await seen_of(job, 6_000.0)] == ["resumed"]


async def test_without_a_limit_there_is_nothing_to_hold_it_to(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    job = StoppedJob(tmp_path, is_obedient=False)
    with trio.fail_after(1.0):
        await enforce_limits(job, lambda: 0.0)
    assert job.seen == []
