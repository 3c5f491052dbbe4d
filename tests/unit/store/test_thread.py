from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
import trio.testing

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.store.batch import BATCH_BUDGET_S, Writer
from ringmaster.store.connection import Connection
from ringmaster.store.migrate import load_migrations, open_database
from ringmaster.store.thread import BATCH_LIMIT_S, LONG_LIMIT_S, ThreadStore, open_store
from tests.unit.store.schema import add_item, item_names, make_sql_dir


class Block:
    """A call that stays in its thread until it is released."""

    def __init__(self) -> None:
        self.started = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._released = threading.Event()

    def __call__(self, conn: Connection) -> str:
        self._token.run_sync_soon(self.started.set)
        self._released.wait()
        return "released"

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def sql_dir(tmp_path: Path) -> Path:
    return make_sql_dir(tmp_path / "sql")


async def gather(store: ThreadStore, *writes: Callable[..., Awaitable[Any]]) -> None:
    """Add an item by each, in this order, while a batch runs; it goes on when all wait."""
    block = Block()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.write, block)
        await block.started.wait()
        for number, write in enumerate(writes):
            nursery.start_soon(write, add_item, str(number))
            await trio.testing.wait_all_tasks_blocked()
        block.release()


async def test_what_gathers_while_a_batch_runs_is_committed_together(tmp_path: Path, sql_dir: Path):
    commits: list[Sequence[Event]] = []
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir, on_commit=commits.append) as store:
        await gather(store, *[store.write] * 100)
        assert [len(commit) for commit in commits] == [100]


async def test_a_batch_over_its_budget_is_told_and_cut(tmp_path: Path, sql_dir: Path, caplog: pytest.LogCaptureFixture):
    commits: list[Sequence[Event]] = []

    def dawdle(conn: Connection) -> None:
        until = time.monotonic() + BATCH_BUDGET_S
        while time.monotonic() < until:
            pass
        add_item(conn, f"slow-{conn.now}")

    ticks = iter(range(100))
    async with open_store(
        tmp_path / "a.db", sql_dir=sql_dir, on_commit=commits.append, clock=lambda: next(ticks)
    ) as store:
        block = Block()
        with caplog.at_level(logging.WARNING):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.write, block)
                await block.started.wait()
                for _ in range(3):
                    nursery.start_soon(store.write, dawdle)
                await trio.testing.wait_all_tasks_blocked()
                block.release()
        assert [len(commit) for commit in commits] == [1, 1, 1]
    told = [record.getMessage() for record in caplog.records if "dawdle" in record.getMessage()]
    assert len(told) == 3
    assert all(message.startswith("a batch of 1 writes took") for message in told)


async def test_a_cancelled_read_returns_at_once_and_its_answer_goes_nowhere(tmp_path: Path, sql_dir: Path):
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir) as store:
        block = Block()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.read, block)
            await block.started.wait()
            nursery.cancel_scope.cancel()
        await store.write(add_item, "a")
        block.release()
        assert await store.read(item_names) == ["a"]


async def test_a_query_that_nobody_waits_for_any_more_is_broken_off(tmp_path: Path, sql_dir: Path):
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir) as store:
        started = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def read_without_end(conn: Connection) -> None:
            token.run_sync_soon(started.set)
            conn.rows("WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT count(*) FROM c")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.read, read_without_end)
            await started.wait()
            nursery.cancel_scope.cancel()
        assert await store.read(item_names) == []


async def test_a_long_read_neither_holds_up_writes_nor_sees_them(tmp_path: Path, sql_dir: Path):
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir) as store:
        block = Block()
        seen: list[list[str]] = []

        def read_twice(conn: Connection) -> None:
            seen.append(item_names(conn))
            block(conn)
            seen.append(item_names(conn))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.read, read_twice)
            await block.started.wait()
            await store.write(add_item, "a")
            block.release()
        assert seen == [[], []]
        assert await store.read(item_names) == ["a"]


async def test_the_threads_take_no_signals_and_are_gone_after_close(tmp_path: Path, sql_dir: Path):
    before = threading.active_count()
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir) as store:
        for call in (store.write, store.read):
            name, mask = await call(
                lambda conn: (threading.current_thread().name, signal.pthread_sigmask(signal.SIG_BLOCK, []))
            )
            assert name.startswith("store-")
            assert {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD} <= set(mask)
        assert threading.active_count() == before + 2
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert threading.active_count() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "reserve", "sql"]


async def test_closing_finishes_what_is_queued(tmp_path: Path, sql_dir: Path):
    answers: list[str] = []

    async def write(store: ThreadStore, name: str) -> None:
        answers.append(await store.write(add_item, name))

    async def open_and_close(nursery: trio.Nursery) -> None:
        async with open_store(tmp_path / "a.db", sql_dir=sql_dir) as store:
            for number in range(10):
                nursery.start_soon(write, store, str(number))
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_and_close, nursery)
    assert len(answers) == 10


async def test_a_file_that_cannot_be_used_is_told_and_leaves_no_thread(tmp_path: Path, sql_dir: Path):
    before = threading.active_count()
    (tmp_path / "a.db").write_text("somebody's notes")
    with pytest.raises(RingmasterError, match="is not a database"):
        async with open_store(tmp_path / "a.db", sql_dir=sql_dir):
            pass
    assert threading.active_count() == before


async def test_a_broken_writer_leaves_nobody_waiting_and_ends_the_watch(
    tmp_path: Path, sql_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir) as store:
        monkeypatch.setattr(Writer, "run", lambda self, pending: 1 / 0)
        for _ in range(2):
            with pytest.raises(RingmasterError) as caught:
                await store.write(add_item, "a")
            assert caught.value.kind is ErrorKind.INTERNAL
        with pytest.raises(ZeroDivisionError):
            await store.run_watch()


class Ended(BaseException):
    """Stands for the end of the process."""


def end(reason: str) -> NoReturn:
    raise Ended(reason)


async def test_a_stuck_batch_ends_the_process_but_a_leap_of_the_clock_does_not(
    tmp_path: Path, sql_dir: Path, mock_clock: trio.testing.MockClock
):
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir, end_process=end) as store:
        block = Block()
        ended: list[str] = []

        async def watch() -> None:
            try:
                await store.run_watch()
            except Ended as error:
                ended.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write, block)
            await block.started.wait()
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(10 * BATCH_LIMIT_S)
            await trio.testing.wait_all_tasks_blocked()
            assert ended == []
            for _ in range(5):
                mock_clock.jump(BATCH_LIMIT_S / 4)
                await trio.testing.wait_all_tasks_blocked()
            block.release()
            nursery.cancel_scope.cancel()
        assert ended == ["a batch of writes has made no progress for 10 s"]


async def test_a_batch_that_is_stuck_at_close_ends_the_process(
    tmp_path: Path, sql_dir: Path, mock_clock: trio.testing.MockClock
):
    ended: list[str] = []

    def note_and_release(reason: str) -> Any:
        ended.append(reason)
        block.release()

    block = Block()

    async def open_and_close(nursery: trio.Nursery) -> None:
        async with open_store(tmp_path / "a.db", sql_dir=sql_dir, end_process=note_and_release) as store:
            nursery.start_soon(store.write, block)
            await block.started.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_and_close, nursery)
        await block.started.wait()
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            mock_clock.jump(BATCH_LIMIT_S / 4)
            await trio.testing.wait_all_tasks_blocked()
    assert ended == ["a batch of writes has made no progress for 10 s"]


async def test_a_busy_writer_is_not_a_stuck_one(tmp_path: Path, sql_dir: Path, mock_clock: trio.testing.MockClock):
    ended: list[str] = []

    def note(reason: str) -> Any:
        ended.append(reason)

    async with open_store(tmp_path / "a.db", sql_dir=sql_dir, end_process=note) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run_watch)
            for _ in range(10):
                block = Block()
                nursery.start_soon(store.write, block)
                await block.started.wait()
                mock_clock.jump(BATCH_LIMIT_S / 4)
                await trio.testing.wait_all_tasks_blocked()
                block.release()
                await store.write(item_names)
            nursery.cancel_scope.cancel()
    assert ended == []


async def test_a_long_write_has_its_own_limit_which_each_sign_of_life_starts_anew(
    tmp_path: Path, sql_dir: Path, mock_clock: trio.testing.MockClock
):
    gates = [Block() for _ in range(3)]
    ended: list[str] = []

    steps = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 50000) SELECT max(x) FROM c"

    def write_much(conn: Connection) -> str:
        for number, gate in enumerate(gates):
            conn.rows(steps)
            gate(conn)
            add_item(conn, str(number))
        return "done"

    def note_and_release(reason: str) -> Any:
        ended.append(reason)
        for gate in gates:
            gate.release()

    async def pass_s(seconds: float) -> None:
        for _ in range(int(seconds / (BATCH_LIMIT_S / 4))):
            mock_clock.jump(BATCH_LIMIT_S / 4)
            await trio.testing.wait_all_tasks_blocked()

    async with open_store(tmp_path / "a.db", sql_dir=sql_dir, end_process=note_and_release) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run_watch)
            nursery.start_soon(store.write_long, write_much)
            for gate in gates[:-1]:
                await gate.started.wait()
                await pass_s(LONG_LIMIT_S - BATCH_LIMIT_S / 2)
                assert ended == []
                gate.release()
            await gates[-1].started.wait()
            await pass_s(LONG_LIMIT_S + BATCH_LIMIT_S / 4)
            assert ended[:1] == ["a batch of writes has made no progress for 60 s"]
            await store.write(item_names)
            nursery.cancel_scope.cancel()


async def test_a_long_write_leaves_the_limit_of_those_after_it_as_it_was(
    tmp_path: Path, sql_dir: Path, mock_clock: trio.testing.MockClock
):
    block = Block()
    ended: list[str] = []

    def note_and_release(reason: str) -> Any:
        ended.append(reason)
        block.release()

    async with open_store(tmp_path / "a.db", sql_dir=sql_dir, end_process=note_and_release) as store:
        await store.write_long(add_item, "a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run_watch)
            nursery.start_soon(store.write, block)
            await block.started.wait()
            for _ in range(5):
                mock_clock.jump(BATCH_LIMIT_S / 4)
                await trio.testing.wait_all_tasks_blocked()
            await store.write(item_names)
            nursery.cancel_scope.cancel()
    assert ended == ["a batch of writes has made no progress for 10 s"]


async def test_a_long_write_is_a_batch_by_itself(tmp_path: Path, sql_dir: Path):
    commits: list[Sequence[Event]] = []
    async with open_store(tmp_path / "a.db", sql_dir=sql_dir, on_commit=commits.append) as store:
        await gather(store, store.write, store.write, store.write_long, store.write)
        assert [len(commit) for commit in commits] == [2, 1, 1]


async def test_another_program_that_holds_the_database_is_told(
    tmp_path: Path, sql_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ringmaster.store.connection.BUSY_TIMEOUT_MS", 1)
    path = tmp_path / "a.db"
    async with open_store(path, sql_dir=sql_dir) as store:
        other = open_database(path, load_migrations(sql_dir))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RingmasterError, match="another program holds the database locked"):
            await store.write(add_item, "a")
        other.execute("ROLLBACK")
        other.close()
        assert await store.write(add_item, "a") == "a"
