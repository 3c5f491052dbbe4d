"""People are told of each new question by a command of theirs: once, in order, and whatever the command does."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ringmaster.bus import Bus, Wakeup
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.event import Event
from ringmaster.queue import decide
from ringmaster.queue.defaults import NOTICES
from ringmaster.settings import DaemonSettings, Paths, Settings
from ringmaster.store import cursors
from ringmaster.workers.notices import Notices, run_command
from ringmaster.workers.surroundings import Surroundings
from tests.fakes.empty_store import open_empty_store
from tests.unit.queue.making import Clock, Queue


class World:
    """A store, and a daemon's part that tells of questions."""

    def __init__(self, sur: Surroundings, queue: Queue, tmp_path: Path) -> None:
        self.sur = sur
        self.queue = queue
        self.told = tmp_path / "told"
        self.wakeup = Wakeup()

    def use(self, script: str, limit_s: float = 20.0) -> None:
        """Settings with a shell script as the command."""
        command = ("sh", "-c", script) if script else ()
        self.sur.settings = Settings(daemon=DaemonSettings(on_decision=command, on_decision_limit_s=limit_s))

    async def ask(self, question: str) -> str:
        return await self.queue.store.write(
            decide.open_decision, DecisionKind.QUESTION, project_id="toy", question=question, rng=self.queue.rng
        )

    async def wait_told(self) -> None:
        """Until everybody has been told of everything asked so far."""
        with trio.fail_after(20):
            while (await self.cursor() or 0) < await self.newest():
                await self.wakeup.wait()

    async def cursor(self) -> int | None:
        return await self.queue.store.read(cursors.read_cursor, NOTICES)

    async def newest(self) -> int:
        events = await self.queue.events("decision.opened")
        return events[-1].seq if events else 0

    def documents(self) -> list[dict[str, object]]:
        """What the command has read, in order."""
        return [json.loads(line) for line in self.told.read_text().splitlines()] if self.told.exists() else []


@asynccontextmanager
async def open_world(tmp_path: Path) -> AsyncIterator[World]:
    bus: Bus[Event] = Bus()
    clock = Clock()
    async with open_empty_store(clock=clock, on_commit=bus.publish) as store:
        queue = Queue(store, clock)
        await queue.add_project()
        paths = Paths(name="night", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c")
        yield World(Surroundings(store, bus, paths, Settings(), "i"), queue, tmp_path)


@asynccontextmanager
async def telling(world: World) -> AsyncIterator[None]:
    """A daemon, until the block is left."""
    async with trio.open_nursery() as nursery:
        # It is begun before the block: the next line waits for it.
        nursery.start_soon(Notices(world.sur, world.wakeup.set).run)  # noqa: ASYNC113
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


async def test_each_question_is_told_once_and_in_order(tmp_path: Path):
    async with open_world(tmp_path) as world:
        world.use(f"cat >> {world.told}")
        await world.ask("before anybody was to be told")
        async with telling(world):
            asked = [await world.ask(str(number)) for number in range(3)]
            await world.wait_told()
        assert [document["id"] for document in world.documents()] == asked
        first = world.documents()[0]
        assert (first["question"], first["kind"], first["options"]) == ("0", "question", [])
        assert first["command"] == f"rmctl -s night decision answer {asked[0]} WORDS"
        # The next daemon goes on where this one ended.
        asked.append(await world.ask("between two daemons"))
        async with telling(world):
            await world.wait_told()
        assert [document["id"] for document in world.documents()] == asked


async def test_a_question_that_was_answered_meanwhile_is_not_told(tmp_path: Path):
    async with open_world(tmp_path) as world:
        world.use(f"cat >> {world.told}")
        async with telling(world):
            pass
        gone = await world.ask("gone")
        await world.queue.do(decide.answer_decision, gone, answer="a", message="", actor="t")
        asked = await world.ask("still open")
        async with telling(world):
            await world.wait_told()
        assert [document["id"] for document in world.documents()] == [asked]


async def test_one_is_told_after_the_other_and_a_failure_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with open_world(tmp_path) as world:
        lock = tmp_path / "at-work"
        # mkdir fails where another is at work: then there is no line.
        world.use(f"mkdir {lock} && cat >> {world.told} && rmdir {lock}; echo no mail today >&2; exit 3")
        async with telling(world):
            asked = [await world.ask(str(number)) for number in range(3)]
            await world.wait_told()
        assert [document["id"] for document in world.documents()] == asked
        lines = [record.getMessage() for record in caplog.records if record.name == "ringmaster.notices"]
        assert lines == [f"on_decision for {id}: sh ended with 3: no mail today" for id in asked]


async def test_who_is_to_be_told_can_be_changed_while_the_daemon_runs(tmp_path: Path):
    async with open_world(tmp_path) as world:
        async with telling(world):
            await world.ask("nobody is told")
            world.use(f"cat >> {world.told}")
            await world.queue.store.write(lambda conn: conn.emit("settings.reloaded"))
            await trio.testing.wait_all_tasks_blocked()
            asked = await world.ask("now they are")
            await world.wait_told()
            world.use("")
            await world.queue.store.write(lambda conn: conn.emit("settings.reloaded"))
            await trio.testing.wait_all_tasks_blocked()
            assert await world.cursor() is None
        assert [document["id"] for document in world.documents()] == [asked]


async def test_what_was_being_told_when_the_daemon_ended_is_told_by_the_next(tmp_path: Path):
    async with open_world(tmp_path) as world:
        started = tmp_path / "started"
        os.mkfifo(started)
        world.use(f"echo $$ > {started}; exec sleep 1000")
        async with telling(world):
            asked = await world.ask("?")
            pid = int(await trio.to_thread.run_sync(started.read_text))
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert (await world.cursor() or 0) < await world.newest()
        world.use(f"cat >> {world.told}")
        async with telling(world):
            await world.wait_told()
        assert [document["id"] for document in world.documents()] == [asked]


async def test_a_command_has_a_limit_and_leaves_nothing_behind(tmp_path: Path):
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; wait"
    said = await run_command(("sh", "-c", script), b"{}\n", 0.3)
    assert said == "sh took more than 0.3 s and was ended"
    child, itself = (int(pid) for pid in pids.read_text().split())
    with pytest.raises(ProcessLookupError):
        os.kill(itself, 0)
    # An orphan of this process, for a test is no subreaper: only whether it still runs can be asked.
    await _wait_dead(child)


async def _wait_dead(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)


async def test_what_a_command_leaves_at_work_ends_with_it(tmp_path: Path):
    pids = tmp_path / "pids"
    assert await run_command(("sh", "-c", f"sleep 1000 & echo $! > {pids}"), b"{}\n", 20.0) == ""
    await _wait_dead(int(pids.read_text()))


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("true",), ""),
        (("/nonexistent/mail",), "/nonexistent/mail: No such file or directory"),
        (("sh", "-c", "exit 7"), "sh ended with 7"),
        (("sh", "-c", "kill -TERM $$"), "sh ended with -15"),
        (("sh", "-c", "yes >&2 & sleep 0; kill $!; exit 1"), "sh ended with 1"),
    ],
)
async def test_how_a_command_ended_is_said_in_words(argv: tuple[str, ...], words: str):
    # It need not read what it is given, and may say more than anybody keeps.
    said = await run_command(argv, b"x" * 1_000_000, 20.0)
    assert said.startswith(words)
    assert len(said) < 400


async def test_it_gets_a_persons_environment_and_nothing_of_the_daemons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/bus")
    for name in ("NOTIFY_SOCKET", "RM_TOKEN", "RMCTL_SOCKET", "LISTEN_FDS"):
        monkeypatch.setenv(name, "secret")
    file = tmp_path / "environment"
    assert await run_command(("sh", "-c", f"env > {file}"), b"", 20.0) == ""
    found = file.read_text()
    assert "DBUS_SESSION_BUS_ADDRESS=unix:path=/bus" in found
    assert "secret" not in found
