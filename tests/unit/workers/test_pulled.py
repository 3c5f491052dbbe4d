"""How long a lease holds: by the loop's clock, put off by heartbeats, written down at a stop."""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from ringmaster.bus import Bus
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.outcomes import Outcome
from ringmaster.model.project import ProjectConfig
from ringmaster.proc.job_files import JobSpec, write_spec
from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue import lease
from ringmaster.queue.intake import add_task
from ringmaster.settings import Paths, Settings
from ringmaster.store import attempts, projects
from ringmaster.store.connection import Connection
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.preparing import Bench
from ringmaster.workers.pulled import Ending, lease_left_s, wait_for_end
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.user_repository import UserRepository
from tests.fakes.empty_store import open_empty_store

LEASE_S = 100.0
PLACE = Path("/nowhere")
PATHS = Paths(name="t", state=PLACE, socket=PLACE / "s", config=PLACE / "c")


class Held:
    """An attempt that somebody has pulled, in a store without a thread."""

    def __init__(self, sur: Surroundings, attempt: Attempt) -> None:
        self.sur = sur
        self.attempt = attempt
        self.control = AttemptControl(attempt.id, 0.1)
        self.directory = PLACE
        self.began_at = trio.current_time()

    async def wait(self, left_s: float = LEASE_S) -> tuple[Ending, float]:
        """How it ends, and after how long."""
        empty: Any = None
        user: UserRepository = empty
        bench = Bench(empty, empty, self.attempt, user, PLACE, PLACE, self.directory)
        return await wait_for_end(self.sur, bench, self.control, left_s), trio.current_time() - self.began_at

    async def heartbeat(self, token: str = "") -> None:
        """As the method does it."""
        token = token or self.attempt.token
        self.sur.leases.renew(self.attempt.id, token, trio.current_time())
        await self.sur.store.write(lease.heartbeat, self.attempt.id, token, PATHS)

    async def report(self, status: str = "succeeded") -> Attempt:
        """As the method does it, and the event after it."""
        said = {"status": status, "summary": "done"}
        row = await self.sur.store.write(lease.hand_in, self.attempt.id, self.attempt.token, said, PATHS)
        self.sur.leases.changed(self.attempt.id)
        return row

    async def row(self) -> Attempt:
        """Its row."""
        return await self.sur.store.read(attempts.attempt_by_id, self.attempt.id)


def pull_one(conn: Connection) -> Attempt:
    """A project, a task, and the attempt that a pull gives."""
    rng = random.Random(3)
    projects.insert_project(conn, id="toy", path="/toy", common_dir="/toy/.git", target="main", config=ProjectConfig())
    add_task(conn, TaskAddParams(title="One"), actor="test", max_attempts=3, rng=rng)
    claim = lease.pull(
        conn, "ann", "secret", lease_s=LEASE_S, is_run=False, max_running=9, actor="test", rng=random.Random(4)
    )
    assert claim is not None
    return lease.begin_lease(conn, claim.attempt.id, "secret")


@asynccontextmanager
async def open_held() -> AsyncIterator[Held]:
    async with open_empty_store(clock=lambda: 1000.0) as store:
        bus: Bus[Event] = Bus()
        sur = Surroundings(store=store, bus=bus, paths=PATHS, settings=Settings(), instance_id="i")
        yield Held(sur, await store.write(pull_one))


async def test_a_lease_runs_out_after_its_time(autojump_clock: MockClock):
    async with open_held() as held:
        assert await held.wait() == ("run_out", LEASE_S)
        assert (await held.row()).lease_left_s == 0.0
        for late in (held.heartbeat, held.report):
            with pytest.raises(
                RingmasterError, match=r"your work is in /nowhere/workspaces/toy/rm-[a-z0-9]+-1"
            ) as caught:
                await late()
            assert caught.value.kind is ErrorKind.LEASE_LOST


async def test_a_daemon_that_stood_still_past_a_deadline_hears_first_what_was_sent_meanwhile(autojump_clock: MockClock):
    async with open_held() as held, trio.open_nursery() as nursery:

        async def stand_still() -> None:
            await trio.sleep(1.0)
            autojump_clock.jump(LEASE_S + 6.0)

        nursery.start_soon(stand_still)
        assert await held.wait() == ("run_out", LEASE_S + 7.0 + lease.START_GRACE_S)


async def test_each_heartbeat_begins_it_anew(autojump_clock: MockClock):
    async with open_held() as held, trio.open_nursery() as nursery:

        async def live() -> None:
            for _ in range(3):
                await trio.sleep(LEASE_S - 1)
                await held.heartbeat()

        nursery.start_soon(live)
        assert await held.wait() == ("run_out", 3 * (LEASE_S - 1) + LEASE_S)


async def test_a_wrong_token_puts_nothing_off(autojump_clock: MockClock):
    async with open_held() as held, trio.open_nursery() as nursery:
        refused: list[ErrorKind] = []

        async def guess() -> None:
            await trio.sleep(LEASE_S / 2)
            try:
                await held.heartbeat("guessed")
            except RingmasterError as error:
                refused.append(error.kind)

        nursery.start_soon(guess)
        assert await held.wait() == ("run_out", LEASE_S)
        assert refused == [ErrorKind.LEASE_LOST]


async def test_a_report_comes_before_the_end_of_the_lease_that_is_seen_after_it(autojump_clock: MockClock):
    async with open_held() as held:
        # Its write is done, its word has not come round: the deadline passes, and finds no lease to end.
        said = {"status": "succeeded", "summary": "done"}
        await held.sur.store.write(lease.hand_in, held.attempt.id, held.attempt.token, said, PATHS)
        assert not await held.sur.store.write(lease.expire, held.attempt.id, held.attempt.token)
        assert await held.wait(0.0) == ("handed_in", 0.0)
        row = await held.row()
        assert (row.report["said"], row.lease_left_s) == (said, None)
        # And the same again is the same; another is refused.
        assert await held.report() == row
        with pytest.raises(RingmasterError) as caught:
            await held.report("failed")
        assert caught.value.kind is ErrorKind.WRONG_STATE
        assert await held.row() == row


async def test_what_is_left_is_written_down_at_a_stop_and_a_start_gives_a_minute_at_least(autojump_clock: MockClock):
    async with open_held() as held:
        with trio.move_on_after(70.0):
            await held.wait()
        assert (await held.row()).lease_left_s == LEASE_S - 70.0
        held.began_at = trio.current_time()
        assert lease.left_after_start(LEASE_S - 70.0) == 60.0
        assert await held.wait(lease.left_after_start(LEASE_S - 70.0)) == ("run_out", 60.0)
        assert lease.left_after_start(90.0) == 90.0
        assert lease.left_after_start(0.0) == 0.0, "what has run out stays so"


async def test_an_exec_in_place_is_no_start_and_gives_nobody_more_time():
    async with open_held() as held:
        attempt = msgspec.structs.replace(held.attempt, lease_left_s=5.0)
        assert lease_left_s(held.sur, attempt, is_new=False) == lease.START_GRACE_S
        held.sur.is_continued = True
        assert lease_left_s(held.sur, attempt, is_new=False) == 5.0
        assert lease_left_s(held.sur, attempt, is_new=True) == 5.0


async def test_a_wish_and_a_hand_back_end_it_at_once(autojump_clock: MockClock):
    async with open_held() as held, trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(5)
            held.control.request(Outcome.INTERRUPTED, "worker ann was stopped")

        nursery.start_soon(stop)
        assert await held.wait() == ("unwanted", 5.0)
    async with open_held() as held, trio.open_nursery() as nursery:
        nursery.start_soon(held.report, "interrupted")
        assert (await held.wait())[0] == "unwanted"
        assert (held.control.wanted, held.control.reason) == (Outcome.INTERRUPTED, "handed back by its worker: done")


async def test_a_wall_clock_that_jumps_changes_nothing(autojump_clock: MockClock):
    async with open_held() as held:
        held.sur.now = lambda: 1e12
        assert await held.wait() == ("run_out", LEASE_S)


async def test_a_token_is_of_one_attempt(autojump_clock: MockClock):
    async with open_held() as held:
        other = msgspec.structs.replace(held.attempt, token="another")
        assert not attempts.is_token(other, held.attempt.token)
        assert not attempts.is_token(held.attempt, "")
        assert attempts.is_token(held.attempt, "secret")


@contextmanager
def starting(held: Held, tmp_path: Path) -> Iterator[Path]:
    """The job of an agent whose lock is held by somebody who does not begin it."""
    held.attempt = msgspec.structs.replace(held.attempt, agent="scripted")
    held.directory = tmp_path
    job = tmp_path / "agent"
    job.mkdir()
    write_spec(job, JobSpec(argv=("true",), cwd="/", env={}, nonce="n", instance=held.sur.instance_id))
    lock = os.open(job / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield job
    finally:
        os.close(lock)


async def test_who_holds_the_lock_and_does_not_begin_holds_up_neither_the_lease_nor_a_wish(tmp_path: Path):
    async with open_held() as held:
        with starting(held, tmp_path) as job, trio.fail_after(20):
            ending, after_s = await held.wait(0.1)
            assert (ending, after_s >= 0.1) == ("run_out", True)
            # Whoever goes on now finds nothing to begin.
            assert not job.exists()
    (tmp_path / "other").mkdir()
    async with open_held() as held:
        with starting(held, tmp_path / "other"), trio.fail_after(20):
            async with trio.open_nursery() as nursery:

                async def stop() -> None:
                    await trio.testing.wait_all_tasks_blocked(0.02)
                    held.control.request(Outcome.INTERRUPTED, "worker ann was stopped")

                nursery.start_soon(stop)
                assert (await held.wait())[0] == "unwanted"


async def test_a_job_that_has_begun_is_not_sealed(tmp_path: Path):
    async with open_held() as held:
        with starting(held, tmp_path) as job:
            (job / "run.json").touch()
            assert (await held.wait(0.0))[0] == "begun"
            assert (job / "spec.json").exists()


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_daemon_that_is_killed_while_it_moves_a_job_away_goes_on_with_it(tmp_path: Path, has_begun: bool):
    async with open_held() as held:
        with starting(held, tmp_path) as job:
            aside = job.rename(tmp_path / "agent.sealed")
            if has_begun:
                (aside / "run.json").touch()
            assert (await held.wait(0.0))[0] == ("begun" if has_begun else "run_out")
    assert (job.exists(), (aside / "spec.json").exists()) == (has_begun, False)
