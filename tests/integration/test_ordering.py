"""Ranks by the graph with the real program and the real store: when it is started, and what becomes of it."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ringmaster.daemon.reloading import changed_names
from ringmaster.model.order import PATIENCE_S, RULES
from ringmaster.proc.job import PYTHON
from ringmaster.protocol.task import TaskDepParams, TaskEditParams
from ringmaster.queue import intake, order
from ringmaster.settings import OrderSettings, Settings
from ringmaster.store.connection import Connection
from ringmaster.workers import ordering
from ringmaster.workers.ordering import OrderFailed, mend_order, rank_graph, rank_lone_tasks, run_ordering
from tests.fakes.house import House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        await house.add_project()
        yield house


@asynccontextmanager
async def open_ordering(house: House) -> AsyncIterator[None]:
    """The trio task at work until the end of the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_ordering, house.sur)
        # It listens from its first step on.
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


def use_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Put another program in the place of the one that ranks."""
    path = tmp_path / "program.py"
    path.write_text(text)
    monkeypatch.setattr(ordering, "PROGRAM", path)


async def file_graph(house: House) -> tuple[str, str]:
    """A task of P4 that blocks one of P0; both ids."""
    blocker = await house.add_task("blocker", priority=4)
    return blocker, await house.add_task("urgent", priority=0, after=(blocker,))


async def gap(house: House, blocker: str, urgent: str) -> int:
    """By how much the blocker is ranked after what it blocks."""
    return (await house.task(blocker)).rank - (await house.task(urgent)).rank


async def test_a_change_of_the_graph_changes_ranks_by_itself(house: House):
    async with open_ordering(house):
        blocker, urgent = await file_graph(house)
        await house.wait_for_type("order.changed")
        assert await gap(house, blocker, urgent) == -1
        params = TaskEditParams(id=urgent, priority=3)
        await house.store.write(intake.edit_task, params, actor="t")
        await house.wait_for_type("order.changed", nth=2)
        assert (await house.task(blocker)).rank > (await house.task(urgent)).rank - 12 * 3600 - 2
        await house.store.write(
            intake.change_dependencies, urgent, TaskDepParams(id=urgent, remove=(blocker,)), actor="t"
        )
        await house.wait_for_type("order.changed", nth=3)
        assert await gap(house, blocker, urgent) > PATIENCE_S[4] - PATIENCE_S[3] - 60


async def test_what_was_left_undone_is_done_after_the_start(house: House, monkeypatch: pytest.MonkeyPatch):
    blocker, urgent = await file_graph(house)
    monkeypatch.setattr(ordering, "START_DELAY_S", 0.0)
    async with open_ordering(house):
        await house.wait_for_type("order.changed")
    assert await gap(house, blocker, urgent) == -1


async def test_other_weights_hold_when_the_settings_are_read_again(house: House):
    async with open_ordering(house):
        blocker, urgent = await file_graph(house)
        await house.wait_for_type("order.changed")
        before = (await house.task(urgent)).rank
        alone = await house.add_task("alone", priority=2)
        was = (await house.task(alone)).rank
        old, new = house.sur.settings, Settings(order=OrderSettings(patience_s=(-86_400, 0, 1, 2, 3)))
        house.sur.settings = new

        def tell(conn: Connection) -> None:
            conn.emit("settings.reloaded", data={"changed": changed_names(old, new)})

        await house.store.write(tell)
        await house.wait_for_type("order.changed", nth=2)
        assert (await house.task(urgent)).rank == before + 29 * 86_400
        assert await gap(house, blocker, urgent) == -1
        # Those that are alone come after the graph.
        await house.wait_for_type("order.changed", nth=3)
        assert (await house.task(alone)).rank == was - 2 * 86_400 + 1


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_another_patience_holds_for_tasks_that_were_there_alone(
    house: House, monkeypatch: pytest.MonkeyPatch, count: int
):
    monkeypatch.setattr(order, "RANKS_AT_ONCE", count)
    ids = [await house.add_task(f"{number}", priority=number) for number in range(5)]
    before = [(await house.task(id)).rank for id in ids]
    await rank_lone_tasks(house.sur, RULES)
    changes = "SELECT count(*) FROM events WHERE type = 'order.changed'"
    assert await house.store.read(lambda conn: conn.value(changes)) == 0
    other = (-60, 5, PATIENCE_S[2], 100 * 86_400, 0)
    # In an order in which some move on, and some back.
    await rank_lone_tasks(house.sur, RULES._replace(patience_s=other))
    moved = [new - old for new, old in zip(other, PATIENCE_S, strict=True)]
    assert [(await house.task(id)).rank for id in ids] == [rank + by for rank, by in zip(before, moved, strict=True)]
    await rank_lone_tasks(house.sur, RULES)
    assert [(await house.task(id)).rank for id in ids] == before


async def test_tasks_that_have_to_do_with_no_other_start_no_program(house: House, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(trio.lowlevel, "open_process", fail)
    assert await rank_graph(house.sur) == 0


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.stdin.read(); sys.exit('no memory left')", "exit status 1: no memory left"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("import sys; sys.stdin.read(); print('what?')", "said what is no ranks"),
        ("import time; time.sleep(600)", "took more than 0.2 s"),
    ],
    ids=["fails", "is killed", "babbles", "hangs"],
)
async def test_a_program_that_fails_is_a_line_in_the_log_and_the_next_change_starts_another(
    house: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    program: str,
    words: str,
):
    good = ordering.PROGRAM
    # Only for what hangs: a busy machine takes longer to start Python.
    monkeypatch.setattr(ordering, "LIMIT_S", 0.2 if "took" in words else 30.0)
    monkeypatch.setattr(ordering, "PAUSES_PER_RUN", 0)
    use_program(monkeypatch, tmp_path, program)
    blocker, urgent = await file_graph(house)
    before = await gap(house, blocker, urgent)
    with pytest.raises(OrderFailed, match=words):
        await rank_graph(house.sur)
    assert await gap(house, blocker, urgent) == before
    failed = trio.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failed.set()

    listener = Listener(level=logging.ERROR)
    ordering.log.addHandler(listener)
    try:
        async with open_ordering(house):
            await house.add_task("another", after=(blocker,))
            await failed.wait()
            monkeypatch.setattr(ordering, "PROGRAM", good)
            monkeypatch.setattr(ordering, "LIMIT_S", 60.0)
            await house.add_task("one more", after=(blocker,))
            await house.wait_for_type("order.changed")
    finally:
        ordering.log.removeHandler(listener)
    assert words in caplog.text
    assert await gap(house, blocker, urgent) == -1


async def test_cancelling_ends_the_program(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    use_program(
        monkeypatch, tmp_path, f"import os, signal; open({str(pipe)!r}, 'w').write(str(os.getpid())); signal.pause()"
    )
    await file_graph(house)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rank_graph, house.sur)
        pid = int(await trio.to_thread.run_sync(pipe.read_text))
        os.kill(pid, 0)
        nursery.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("told", [b"", b'{"edges": [[2, 1, 0]]}\n{"tas'], ids=["nothing", "a part"])
def test_the_program_of_a_daemon_that_was_killed_ends(told: bytes):
    process = subprocess.Popen(
        [PYTHON, "-I", "-S", ordering.PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    # What a kill closes, without a word.
    out, err = process.communicate(told, timeout=30)
    assert out == b""
    assert bool(process.returncode) == bool(err) == bool(told)


async def test_changes_during_a_run_are_one_further_run(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = trio.Semaphore(0)
    go_on = trio.Semaphore(0)
    live = 0

    async def rank(sur: object) -> int:
        nonlocal live
        live += 1
        assert live == 1, "twice at once"
        runs.release()
        await go_on.acquire()
        live -= 1
        return 0

    monkeypatch.setattr(ordering, "rank_graph", rank)
    monkeypatch.setattr(ordering, "PAUSES_PER_RUN", 0)
    async with open_ordering(house):
        blocker, _ = await file_graph(house)
        await runs.acquire()
        for _ in range(20):
            await house.add_task("more", after=(blocker,))
        go_on.release()
        await runs.acquire()
        go_on.release()
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert runs.value == 0, "a third"


async def test_more_dependencies_than_it_takes_are_named(house: House, monkeypatch: pytest.MonkeyPatch):
    blocker, urgent = await file_graph(house)
    monkeypatch.setattr(ordering, "EDGES_AT_MOST", 0)
    with pytest.raises(OrderFailed, match="more than 0 dependencies are open; tasks go by priority and arrival"):
        await rank_graph(house.sur)
    assert await gap(house, blocker, urgent) > 0


async def test_a_start_mends_every_rank_that_is_none(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(order, "RANKS_AT_ONCE", 2)
    ids = [await house.add_task(f"{number}", priority=number) for number in range(5)]
    ranks = [(await house.task(id)).rank for id in ids]

    def spoil(conn: Connection) -> None:
        conn.execute("UPDATE tasks SET rank = 0")

    await house.store.write(spoil)
    await mend_order(house.sur)
    assert [(await house.task(id)).rank for id in ids] == ranks
