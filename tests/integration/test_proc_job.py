"""Jobs seen from daemons that come and go."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity, is_alive, own_identity, read_identity
from ringmaster.proc.job import Job, adopt_job, start_job
from ringmaster.proc.job_files import (
    ExitReason,
    JobExit,
    JobLost,
    JobNotStarted,
    JobRun,
    read_run,
    write_spec,
)
from tests.unit.proc.making import list_bearers, make_shell_spec, make_spec, read_lines

CHECKOUT = Path(__file__).parents[2]
# A daemon that starts a job, says so and is killed while it waits.
STARTER = """
import os, sys, trio
from pathlib import Path
from ringmaster.proc.job import start_job
from tests.unit.proc.making import make_shell_spec
async def main():
    job = await start_job(Path(sys.argv[1]), make_shell_spec(sys.argv[2], sys.argv[3], nonce="starter"))
    os.write(1, b"started\\n")
    await job.wait()
trio.run(main)
"""


async def start_waiting(tmp_path: Path, script: str = 'echo up; read line < "$1"; echo $line; exit 5', **fields) -> Job:
    """A job that says `up` and ends when a line is written to tmp_path/go."""
    os.mkfifo(tmp_path / "go")
    job = await start_job(tmp_path / "j", make_shell_spec(script, str(tmp_path / "go"), **fields))
    await read_lines(job.stdout, 1)
    return job


async def let_go(tmp_path: Path) -> None:
    await trio.to_thread.run_sync((tmp_path / "go").write_text, "on\n")


async def test_a_job_outlives_the_daemon_that_started_it(tmp_path):
    os.mkfifo(tmp_path / "go")
    script = 'echo before; read line < "$1"; echo after; exit 5'
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path / "j"), script, str(tmp_path / "go")],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with starter:
        assert starter.stdout is not None
        await trio.to_thread.run_sync(starter.stdout.readline)
        await read_lines(tmp_path / "j/stdout", 1)
        os.killpg(starter.pid, signal.SIGKILL)
    job = await adopt_job(tmp_path / "j")
    assert isinstance(job, Job)
    await let_go(tmp_path)
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.reason, ended.code) == (ExitReason.EXITED, 5)
    assert job.stdout.read_text() == "before\nafter\n"


async def test_adoption_can_be_repeated_in_every_state(tmp_path):
    assert await adopt_job(tmp_path / "j") == JobNotStarted()
    job = await start_waiting(tmp_path)
    again, once_more = await adopt_job(tmp_path / "j"), await adopt_job(tmp_path / "j")
    assert isinstance(again, Job)
    assert isinstance(once_more, Job)
    assert again.shim == once_more.shim == job.shim
    await let_go(tmp_path)
    ended = await job.wait()
    assert await again.wait() == await once_more.wait() == await job.wait() == ended
    assert await adopt_job(tmp_path / "j") == await adopt_job(tmp_path / "j") == ended
    job.cancel()
    assert await adopt_job(tmp_path / "j") == ended


async def test_a_shim_that_was_stopped_still_obeys_a_cancel(tmp_path):
    job = await start_waiting(tmp_path, grace_s=0.1)
    run = read_run(job.directory)
    assert run is not None
    os.kill(run.shim.pid, signal.SIGSTOP)
    job.cancel()
    with trio.fail_after(20):
        ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert ended.reason is ExitReason.CANCELLED


async def test_cancelling_a_wait_leaves_the_job_running(tmp_path):
    job = await start_waiting(tmp_path)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(job.wait)
            nursery.start_soon(job.wait)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert is_alive(job.shim)
    await let_go(tmp_path)
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.code, job.stdout.read_text()) == (5, "up\non\n")


@pytest.mark.parametrize("is_seen_by_waiter", [True, False])
async def test_a_killed_shim_means_lost_and_nothing_left(tmp_path, is_seen_by_waiter):
    script = "trap '' TERM; setsid sh -c '(echo $$; exec sleep 1000)' & echo $$; exec sleep 1000"
    spec = make_shell_spec(script)
    job = await start_job(tmp_path / "j", spec)
    found = [read_identity(int(line)) for line in await read_lines(job.stdout, 2)]
    os.kill(job.shim.pid, signal.SIGKILL)
    lost = await (job.wait() if is_seen_by_waiter else adopt_after_death(job))
    assert isinstance(lost, JobLost)
    assert lost.run == read_run(tmp_path / "j")
    assert lost.killed.survivors == ()
    assert list_bearers(spec.nonce) == []
    assert not any(is_alive(identity) for identity in found if identity)
    assert await adopt_job(tmp_path / "j") == JobLost(run=lost.run)
    await job.wait()


async def adopt_after_death(job: Job):
    """Adopt as a later daemon would, once the shim is dead."""
    pidfd = os.pidfd_open(job.shim.pid)
    await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    return await adopt_job(job.directory)


async def test_a_job_of_another_instance_or_format_is_left_alone(tmp_path):
    job = await start_waiting(tmp_path, instance="mine")
    with pytest.raises(RingmasterError) as refused:
        await adopt_job(tmp_path / "j", instance="other")
    assert refused.value.kind is ErrorKind.REFUSED
    assert isinstance(await adopt_job(tmp_path / "j", instance="mine"), Job)
    with pytest.raises(RingmasterError) as running:
        await start_job(tmp_path / "j", make_spec("true"))
    assert running.value.kind is ErrorKind.WRONG_STATE
    await let_go(tmp_path)
    await job.wait()
    with pytest.raises(RingmasterError) as has_run:
        await start_job(tmp_path / "j", make_spec("true"))
    assert has_run.value.kind is ErrorKind.WRONG_STATE
    (tmp_path / "j/exit.json").write_text('{"format": 99, "reason": "exited"}')
    with pytest.raises(RingmasterError) as newer:
        await adopt_job(tmp_path / "j")
    assert newer.value.kind is ErrorKind.PROTOCOL
    (tmp_path / "j/exit.json").write_text('{"format": 1, "reason": "eaten", "added_later": [1]}')
    ended = await adopt_job(tmp_path / "j")
    assert isinstance(ended, JobExit)
    assert ended.reason is ExitReason.UNKNOWN


async def test_adoption_waits_while_someone_holds_the_lock_and_has_not_run(tmp_path):
    directory = tmp_path / "j"
    directory.mkdir()
    write_spec(directory, make_spec("true"))
    found: list[object] = []

    async def adopt() -> None:
        found.append(await adopt_job(directory))

    with trio.fail_after(20):
        with open(directory / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(adopt)
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await adopt_job(directory)
                lock.close()
        assert found == [JobNotStarted()]
        job = await start_job(directory, make_spec("true"))
        assert isinstance(await job.wait(), JobExit)


async def test_adoption_sees_a_shim_that_comes_up_meanwhile(tmp_path):
    directory = tmp_path / "j"
    directory.mkdir()
    write_spec(directory, make_spec("true"))
    shim = own_identity()
    # The lock is this process's in the shim's stead, until the end.
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with trio.open_nursery() as nursery:

            async def come_up() -> None:
                await trio.testing.wait_all_tasks_blocked()
                record = JobRun(format=1, shim=shim, child=shim, started_at=0.0)
                (directory / "run.tmp").write_bytes(msgspec.json.encode(record))
                os.rename(directory / "run.tmp", directory / "run.json")

            nursery.start_soon(come_up)
            with trio.fail_after(20):
                job = await adopt_job(directory)
    assert isinstance(job, Job)
    assert job.shim == shim


async def test_a_shim_that_cannot_begin_is_said_to_have_failed(tmp_path):
    job = await start_job(tmp_path / "j", make_spec("true"), python="/bin/false")
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert ended.reason is ExitReason.SPAWN_FAILED
    assert await adopt_job(tmp_path / "j") == JobNotStarted()


async def test_a_job_of_an_earlier_boot_is_lost_and_nothing_is_killed_for_it(tmp_path):
    job = await start_waiting(tmp_path)
    running = read_run(tmp_path / "j")
    assert running is not None
    before = msgspec.structs.replace(running, shim=ProcessIdentity(job.shim.pid, job.shim.start_time, "earlier"))
    other = tmp_path / "earlier"
    other.mkdir()
    write_spec(other, job.spec)
    (other / "run.json").write_bytes(msgspec.json.encode(before))
    assert await adopt_job(other) == JobLost(run=before)
    assert is_alive(running.child)
    await let_go(tmp_path)
    await job.wait()


async def test_fifty_jobs_at_once(tmp_path):
    results: dict[int, object] = {}

    async def run(number: int) -> None:
        script = 'for i in 1 2 3; do echo "$1 $i"; done; exit "$1"'
        job = await start_job(tmp_path / str(number), make_shell_spec(script, str(number)))
        results[number] = await job.wait()

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(run, number)
    for number in range(50):
        ended = results[number]
        assert isinstance(ended, JobExit)
        assert (ended.reason, ended.code) == (ExitReason.EXITED, number)
        expected = "".join(f"{number} {i}\n" for i in (1, 2, 3))
        assert (tmp_path / str(number) / "stdout").read_text() == expected
