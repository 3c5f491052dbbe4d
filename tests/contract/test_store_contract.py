"""What every store holds, with threads or without: the same tests for both."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.store.connection import Connection
from ringmaster.store.inline import open_inline_store
from ringmaster.store.interface import Store, ignore_events
from ringmaster.store.thread import open_store
from tests.unit.store.schema import add_item, event_seqs, item_names, make_sql_dir

KINDS: dict[str, Any] = {"thread": open_store, "inline": open_inline_store}


class Opener:
    """Opens stores of one kind on one file."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.path = directory / "state" / "test.db"
        self.path.parent.mkdir()
        self.sql_dir = make_sql_dir(directory / "sql")
        self.ticks = itertools.count(1000)

    def open(self, on_commit: Any = ignore_events) -> AbstractAsyncContextManager[Store]:
        return KINDS[self.kind](
            self.path, sql_dir=self.sql_dir, clock=lambda: float(next(self.ticks)), on_commit=on_commit
        )


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return Opener(request.param, tmp_path)


async def gather(*calls: Any) -> list[Any]:
    """Run all calls at once; each result, or the exception it raised."""
    results: list[Any] = [None] * len(calls)

    async def run(index: int, call: Any) -> None:
        try:
            results[index] = await call()
        except Exception as error:  # noqa: BLE001 - the test looks at each
            results[index] = error

    async with trio.open_nursery() as nursery:
        for index, call in enumerate(calls):
            nursery.start_soon(run, index, call)
    return results


async def write_all(store: Store, *calls: tuple[Any, ...]) -> list[Any]:
    """Write all at once, so that a store with batches has them in one."""
    return await gather(*((lambda call=call: store.write(*call)) for call in calls))


async def test_what_was_written_is_there_after_a_reopen(opener: Opener):
    async with opener.open() as store:
        assert await store.write(add_item, "a", value=3) == "a"
    async with opener.open() as store:
        assert await store.read(item_names) == ["a"]


async def test_a_read_sees_the_write_that_returned_before_it(opener: Opener):
    async with opener.open() as store:
        for number in range(20):
            await store.write(add_item, str(number))
            assert len(await store.read(item_names)) == number + 1


async def test_a_failed_write_takes_nothing_else_along(opener: Opener):
    def fail(conn: Connection) -> None:
        add_item(conn, "bad")
        raise RingmasterError(ErrorKind.WRONG_STATE, "no")

    seen: list[int] = []
    async with opener.open(lambda events: seen.extend(event.seq for event in events)) as store:
        results = await write_all(store, (add_item, "a"), (fail,), (add_item, "b"), (fail,), (add_item, "c"))
        assert [getattr(result, "kind", result) for result in results] == [
            "a",
            ErrorKind.WRONG_STATE,
            "b",
            ErrorKind.WRONG_STATE,
            "c",
        ]
        assert await store.read(item_names) == ["a", "b", "c"]
        assert seen == await store.read(event_seqs) == [1, 2, 3]


async def test_a_long_write_is_kept_whole_or_not_at_all(opener: Opener):
    async with opener.open() as store:
        with pytest.raises(ZeroDivisionError):
            await store.write_long(lambda conn: [add_item(conn, "bad"), 1 / 0])
        assert await store.write_long(lambda conn: [add_item(conn, name) for name in "abc"]) == ["a", "b", "c"]
        assert (await store.read(item_names), await store.read(event_seqs)) == (["a", "b", "c"], [1, 2, 3])


async def test_a_refusal_that_changed_nothing_takes_nothing_else_along(opener: Opener):
    def refuse(conn: Connection) -> None:
        raise RingmasterError(ErrorKind.NOT_FOUND, "no")

    async with opener.open() as store:
        results = await write_all(store, (add_item, "a"), (refuse,), (add_item, "b"))
        assert [type(result) for result in results] == [str, RingmasterError, str]
        assert await store.read(item_names) == ["a", "b"]


async def test_an_event_of_a_write_that_fails_is_never_told(opener: Opener):
    def emit_and_fail(conn: Connection) -> None:
        conn.emit("item.added", task_id="never")
        raise RingmasterError(ErrorKind.WRONG_STATE, "no")

    seen: list[str] = []
    async with opener.open(lambda events: seen.extend(event.task_id for event in events)) as store:
        await write_all(store, (add_item, "a"), (emit_and_fail,), (add_item, "b"))
        assert await store.read(event_seqs) == [1, 2]
    assert sorted(seen) == ["a", "b"]


async def test_an_event_that_cannot_be_stored_fails_its_write_alone(opener: Opener):
    def emit_half_a_character(conn: Connection) -> None:
        add_item(conn, "bad")
        conn.emit("item.added", task_id="\udcff")

    async with opener.open() as store:
        results = await write_all(store, (add_item, "a"), (emit_half_a_character,), (add_item, "b"))
        assert [type(result) for result in results] == [str, UnicodeEncodeError, str]
        assert await store.read(item_names) == ["a", "b"]
        assert await store.read(event_seqs) == [1, 2]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 31, 32, 33, 41, 100])
async def test_any_number_of_events_of_one_write_is_stored_in_order(opener: Opener, count: int):
    def emit_many(conn: Connection) -> None:
        for number in range(count):
            conn.emit("item.added", task_id=str(number))

    async with opener.open() as store:
        await store.write(emit_many)
        rows = await store.read(lambda conn: conn.rows("SELECT seq, task_id FROM events ORDER BY seq"))
    assert rows == [(number + 1, str(number)) for number in range(count)]


async def test_an_error_of_sql_reaches_its_caller_alone(opener: Opener):
    async with opener.open() as store:
        results = await write_all(store, (add_item, "a"), (add_item, "b", -1), (add_item, "c"))
        assert [type(result) for result in results] == [str, apsw.ConstraintError, str]
        assert await store.read(item_names) == ["a", "c"]


def end_transaction(conn: Connection) -> None:
    """Fail as a full disk or an I/O error does: SQLite gives up the whole transaction."""
    conn.execute("INSERT OR ROLLBACK INTO items (name, value) VALUES ('bad', -1)")


def end_transaction_in_silence(conn: Connection) -> None:
    try:
        end_transaction(conn)
    except apsw.ConstraintError:
        conn.execute("INSERT INTO items (name, value) VALUES ('outside', 0)")


def dangle(conn: Connection) -> None:
    """Break a constraint that is only looked at when the batch commits."""
    conn.execute("INSERT INTO parts (item) VALUES ('nowhere')")
    add_item(conn, "dangling")


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        (end_transaction, apsw.ConstraintError),
        (end_transaction_in_silence, RuntimeError),
        (dangle, apsw.ConstraintError),
    ],
)
async def test_a_member_that_ends_the_transaction_harms_itself_alone(
    opener: Opener, poison: Any, error: type[Exception]
):
    seen: list[int] = []
    async with opener.open(lambda events: seen.extend(event.seq for event in events)) as store:
        results = await write_all(store, (add_item, "a"), (add_item, "b"), (poison,), (add_item, "c"))
        assert [type(result) for result in results] == [str, str, error, str]
        assert await store.read(item_names) == ["a", "b", "c"]
        assert seen == await store.read(event_seqs) == [1, 2, 3]


async def test_an_unfinished_returning_does_not_stop_the_commit(opener: Opener):
    def add_two(conn: Connection) -> Any:
        return conn.row("INSERT INTO items (name, value) VALUES ('x', 1), ('y', 2) RETURNING name")

    async with opener.open() as store:
        assert await store.write(add_two) == ("x",)
        assert await store.read(item_names) == ["x", "y"]


async def test_events_are_dense_ordered_and_handed_over_before_the_caller_resumes(opener: Opener):
    seen: list[Event] = []
    late: list[str] = []

    async def write(name: str) -> None:
        await store.write(add_item, name)
        if name not in [event.task_id for event in seen]:
            late.append(name)

    async with opener.open(seen.extend) as store:
        await gather(*((lambda name=str(number): write(name)) for number in range(50)))
        assert [event.seq for event in seen] == list(range(1, 51)) == await store.read(event_seqs)
    assert late == []


async def test_an_event_tells_what_its_row_holds(opener: Opener):
    seen: list[Event] = []
    async with opener.open(seen.extend) as store:
        await store.write(add_item, "a", 7)
        row = await store.read(lambda conn: conn.row("SELECT seq, at, type, task_id, data FROM events"))
    [event] = seen
    assert (event.seq, event.at, event.type, event.task_id, bytes(event.data).decode()) == row
    assert bytes(event.data) == b'{"value":7}'


async def test_sequence_numbers_go_on_after_a_reopen(opener: Opener):
    for name in ("a", "b"):
        async with opener.open() as store:
            await store.write(add_item, name)
    async with opener.open() as store:
        assert await store.read(event_seqs) == [1, 2]


async def test_cancellation_loses_no_write_and_doubts_none(opener: Opener):
    answered: list[str] = []

    async def write(name: str) -> None:
        await store.write(add_item, name)
        answered.append(name)

    async with opener.open() as store:
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(write, str(number))
            await store.write(add_item, "last")
            nursery.cancel_scope.cancel()
        assert sorted([*answered, "last"]) == await store.read(item_names)


async def test_a_write_that_is_cancelled_before_it_is_queued_is_not_made(opener: Opener):
    async with opener.open() as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.write(add_item, "a")
        assert scope.cancelled_caught
        assert await store.read(item_names) == []


async def test_a_write_gets_the_time_of_its_batch(opener: Opener):
    async with opener.open() as store:
        first, second = await store.write(lambda conn: (conn.now, conn.now))
        assert first == second
        assert await store.write(lambda conn: conn.now) > first


async def test_a_read_cannot_write(opener: Opener):
    async with opener.open() as store:
        with pytest.raises(apsw.ReadOnlyError):
            await store.read(add_item, "a")
        await store.write(add_item, "b")
        assert await store.read(item_names) == ["b"]


async def test_what_a_read_raises_reaches_its_caller(opener: Opener):
    async with opener.open() as store:
        with pytest.raises(ZeroDivisionError):
            await store.read(lambda conn: 1 / 0)
        assert await store.read(item_names) == []


async def test_a_closed_store_says_that_it_is_stopping(opener: Opener):
    async with opener.open() as store:
        pass
    for call in (store.write, store.write_essential, store.read):
        with pytest.raises(RingmasterError) as caught:
            await call(item_names)
        assert caught.value.kind is ErrorKind.STOPPING


async def test_a_listener_that_fails_ends_the_watch_and_not_the_loop(opener: Opener):
    def fail(events: Sequence[Event]) -> None:
        raise LookupError("listener")

    async with opener.open(fail) as store:
        assert await store.write(add_item, "a") == "a"
        with pytest.raises(LookupError, match="listener"):
            await store.run_watch()


async def told_of(store: Store, fn: Any, *args: Any) -> Any:
    """What a write without a waiter came to."""
    done: list[Any] = []
    event = trio.Event()

    def note(answer: Any) -> None:
        done.append(answer)
        event.set()

    store.write_soon(note, fn, *args)
    assert not done, "told before the call returned"
    await event.wait()
    [answer] = done
    return answer.outcome()


async def test_a_write_without_a_waiter_tells_its_result_after_its_events(opener: Opener):
    seen: list[str] = []
    async with opener.open(lambda events: seen.extend(event.task_id for event in events)) as store:
        assert await told_of(store, add_item, "a") == "a"
        assert seen == ["a"]
        with pytest.raises(apsw.ConstraintError):
            await told_of(store, add_item, "a")
        assert await store.read(item_names) == ["a"]


async def test_a_write_without_a_waiter_keeps_its_place_and_outlives_the_block(opener: Opener):
    names: list[Any] = []
    async with opener.open() as store:
        for name in "abc":
            store.write_soon(lambda done: names.append(done.outcome()), add_item, name)
        assert await store.write(item_names) == ["a", "b", "c"]
        store.write_soon(lambda done: names.append(done.outcome()), add_item, "d")
    await trio.testing.wait_all_tasks_blocked()
    assert names == ["a", "b", "c", "d"]
    with pytest.raises(RingmasterError) as caught:
        store.write_soon(names.append, add_item, "e")
    assert caught.value.kind is ErrorKind.STOPPING


async def test_who_is_told_and_fails_ends_the_watch_and_not_the_loop(opener: Opener):
    def fail(done: object) -> None:
        raise LookupError("told")

    async with opener.open() as store:
        store.write_soon(fail, add_item, "a")
        with pytest.raises(LookupError, match="told"):
            await store.run_watch()
        assert await store.read(item_names) == ["a"]


CHILD = """
import sys, trio
from pathlib import Path
from tests.contract.test_store_contract import KINDS
from tests.unit.store.schema import add_item

async def main(kind, path, sql_dir):
    async with KINDS[kind](Path(path), sql_dir=Path(sql_dir), clock=lambda: 0.0) as store:
        async def write(caller):
            for number in range(1_000_000):
                name = await store.write(add_item, f"{caller}-{number}")
                print(name, flush=True)

        async with trio.open_nursery() as nursery:
            for caller in range(4):
                nursery.start_soon(write, caller)

trio.run(main, *sys.argv[1:])
"""


def write_until_killed(opener: Opener, count: int) -> list[str]:
    """Let a child write, kill it once it has been answered `count` times, and return all answers."""
    command = [sys.executable, "-c", CHILD, opener.kind, str(opener.path), str(opener.sql_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        answered = [child.stdout.readline().strip() for _ in range(count)]
        child.send_signal(signal.SIGKILL)
        answered += [line.strip() for line in child.stdout if line.endswith("\n")]
    assert all(answered)
    return answered


async def test_what_was_answered_survives_kill_9(opener: Opener):
    answered = write_until_killed(opener, 200)
    async with opener.open() as store:
        names = await store.read(item_names)
        assert set(answered) <= set(names)
        assert await store.read(event_seqs) == list(range(1, len(names) + 1))
