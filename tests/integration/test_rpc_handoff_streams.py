"""Streams of events and of logs through many switches: each event and each byte comes once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.model.outcomes import Outcome
from ringmaster.proc.identity import own_identity
from ringmaster.proc.inotify import open_watcher
from ringmaster.protocol.daemon import Health, KeepResult
from ringmaster.queue import report as reporting
from ringmaster.reload.meter import Meter
from ringmaster.rpc.calls import Limits
from ringmaster.rpc.handoff import decode_handoff, encode_handoff
from ringmaster.rpc.methods import METHODS
from ringmaster.rpc.server import Server
from ringmaster.rpc.services import Services
from ringmaster.store.connection import Connection
from ringmaster.workers.projects import Projects
from tests.fakes.listening import open_listener
from tests.integration.rpc.following import Follower
from tests.integration.rpc.harness import OPERATOR, Line, Table, open_table


class House:
    """The real methods on a listener of its own, where one server takes the place of another."""

    def __init__(self, table: Table, path: Path, switch: Callable[..., Awaitable[None]]) -> None:
        self.table = table
        self.path = path
        self.switch = switch

    @asynccontextmanager
    async def open_line(self) -> AsyncIterator[Line]:
        stream = await trio.open_unix_socket(str(self.path))
        async with stream:
            yield Line(stream)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    place = tmp_path / "switching"
    place.mkdir()
    async with open_table(tmp_path) as table, open_watcher() as watcher, trio.open_nursery() as nursery:

        async def keep() -> KeepResult:
            await trio.lowlevel.checkpoint()
            return KeepResult(keeper_pid=1, was_kept=True)

        services = Services(
            sur=table.sur,
            watcher=watcher,
            projects=Projects(table.sur),
            started_at=table.clock(),
            request_stop=table.stops.append,
            keep=keep,
            reload=table.reload,
            meter=Meter(table.clock),
            feed=table.feed,
            health=lambda: Health(state="ok", words="", pid=own_identity().pid, started_at=1.0, is_kept=True),
        )
        with open_listener(place / "s") as listener:
            running: list[tuple[Server, trio.CancelScope]] = []

            async def serve(  # noqa: ASYNC128 - the server says so
                document: bytes, *, task_status: trio.TaskStatus[None]
            ) -> None:
                server = Server(METHODS, services, lambda peer: OPERATOR, Limits(output_bytes=30_000))
                with trio.CancelScope() as scope:
                    running.append((server, scope))
                    await server.serve(listener, decode_handoff(document), task_status=task_status)

            async def switch(meanwhile: Callable[[], object] = lambda: None) -> None:
                server, scope = running.pop()
                server.quiesce()
                await server.wait_settled()
                document = encode_handoff(server.hand_over())
                scope.cancel()
                meanwhile()
                await nursery.start(serve, document)

            await nursery.start(serve, encode_handoff(()))
            try:
                yield House(table, place / "s", switch)
            finally:
                nursery.cancel_scope.cancel()


def emit(conn: Connection, type: str, task_id: str, count: int) -> None:
    for _ in range(count):
        conn.emit(type, task_id=task_id, data={"text": "x" * 500})


async def test_every_event_comes_once_through_twenty_switches(house: House):
    table = house.table
    await table.store.write(emit, "task.created", "rm-a", 700)
    last_seq = 700 + 20 * 60
    seen: dict[int, list[int]] = {}

    async def read(line: Line, wanted: int) -> None:
        while sum(map(len, seen.values())) < wanted:
            params = (await line.notification())["params"]
            seen[params["subscription"]].append(params["item"]["seq"])

    async with house.open_line() as line:
        asked: tuple[dict[str, Any], ...] = ({"after": 0}, {}, {"after": 0, "type": ["task.done"]}, {"after": 650})
        for number, params in enumerate(asked, 1):
            answer = await line.request("events.subscribe", **params)
            assert answer["subscription"] == number
            seen[number] = []
        wanted = {
            1: list(range(1, last_seq + 1)),
            2: list(range(701, last_seq + 1)),
            3: [seq for seq in range(701, last_seq + 1) if (seq - 701) // 20 % 3 == 1],
            4: list(range(651, last_seq + 1)),
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, line, sum(map(len, wanted.values())))
            for _ in range(20):
                for type in ("task.edited", "task.done", "task.edited"):
                    await table.store.write(emit, type, "rm-a", 20)
                await house.switch()
        assert seen == wanted
        # Numbers go on where the first image was, and a stream of its ends when told.
        assert (await line.request("events.subscribe"))["subscription"] == 5
        assert (await line.request("events.unsubscribe", subscription=1))["was_there"]


async def test_a_stream_goes_on_though_its_project_is_gone_since(house: House):
    await house.table.add_project("toy")
    async with house.open_line() as line:
        await line.request("events.subscribe", project_id="to", after=0)
        assert (await line.item())["type"] == "project.added"
        await house.table.sql("UPDATE projects SET removed_at = 1.0 RETURNING id")
        await house.switch()
        await house.table.store.write(lambda conn: conn.emit("project.removed", project_id="toy"))
        assert (await line.item())["type"] == "project.removed"


@pytest.mark.parametrize("stream", ["stdout", "steps"])
async def test_every_byte_of_a_log_comes_once_and_its_end_too(house: House, stream: str):
    task_id, place = await begin_job(house.table)
    written = b"before\n" * 100
    (place / "stdout").write_bytes(written)
    chunks: list[Any] = []
    async with house.open_line() as line:
        await line.request("logs.follow", id=task_id, stream=stream, tail_lines=1)
        chunks.append(await line.item())
        for number in range(20):
            await house.switch()
            piece = f"äö€ {number}\n".encode()
            written += piece
            with (place / "stdout").open("ab") as file:
                file.write(piece[: number % 6])
                file.flush()
                await house.switch()
                file.write(piece[number % 6 :])
        (place / "exit.json").write_text("{}")
        await house.switch()
        chunks += await line.items_to_end()
        await house.switch()
        assert (await line.request("logs.unfollow", subscription=1)) == {"was_there": False}
        assert line.notifications == []
    offset = len(b"before\n") * 99
    for chunk in chunks:
        assert chunk["offset"] == offset
        offset = chunk["next_offset"]
    assert offset == len(written)
    assert "".join(chunk["text"] for chunk in chunks).encode() == written[99 * 7 :]
    assert [chunk["is_end"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def begin_job(table: Table) -> tuple[str, Path]:
    """A task with a running attempt, and the directory of its agent's job."""
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    place = table.paths.attempt(claim.attempt.id) / "agent"
    place.mkdir(parents=True)
    return claim.task.id, place


async def test_what_is_written_while_nobody_serves_is_after_the_last_lines_of_before(house: House):
    task_id, place = await begin_job(house.table)
    (place / "stdout").write_bytes(b"old\n")

    def write() -> None:
        with (place / "stdout").open("ab") as file:
            file.write(b"new\n")

    async with house.open_line() as line:
        await line.request("logs.follow", id=task_id, tail_lines=0)
        await trio.testing.wait_all_tasks_blocked()
        await house.switch(meanwhile=write)
        assert (await line.item())["text"] == "new\n"


async def test_the_end_of_a_log_that_its_reader_has_not_taken_yet_is_told_once(house: House):
    task_id, place = await begin_job(house.table)
    (place / "exit.json").write_text("{}")
    await house.table.store.write(emit, "task.edited", "rm-a", 2000)
    async with house.open_line() as line:
        documents = (
            {"jsonrpc": "2.0", "id": "e", "method": "events.subscribe", "params": {"after": 0}},
            {"jsonrpc": "2.0", "id": "l", "method": "logs.follow", "params": {"id": task_id}},
        )
        await line.stream.send_all(b"".join(json.dumps(document).encode() + b"\n" for document in documents))
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            await house.switch()
            await trio.testing.wait_all_tasks_blocked()
        messages: list[Any] = []
        last_seq = 0
        while last_seq < 2000 or not any(m.get("method") == "rpc.ended" for m in messages):
            messages.append(await line.notification())
            last_seq = max(last_seq, messages[-1].get("params", {}).get("item", {}).get("seq", 0))
        await line.request("daemon.health")
        messages += line.notifications
    assert sorted(m["id"] for m in messages if "id" in m) == ["e", "l"]
    assert len([m for m in messages if m.get("method") == "logs.chunk"]) == 1
    assert len([m for m in messages if m.get("method") == "rpc.ended"]) == 1
    seqs = [m["params"]["item"]["seq"] for m in messages if m.get("method") == "events.event"]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_gates_are_followed_one_after_the_other_by_one_image_after_the_other(house: House):
    table = house.table
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    seen: list[tuple[str, str, bool]] = []
    async with house.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="gate")
        for number in (1, 2, 5):
            place = table.paths.attempt(claim.attempt.id) / f"gate-{number}"
            place.mkdir(parents=True)
            (place / "stdout").write_text(f"gate {number}\n")
            (place / "exit.json").write_text("{}")
            for _ in range(2):
                chunk = await line.item()
                seen.append((chunk["job"], chunk["text"], chunk["is_end"]))
            await house.switch()
        attempt = claim.attempt
        await table.store.write(
            reporting.end_attempt, attempt.id, attempt.token, Outcome.FAILED, "over", rng=table.sur.rng
        )
        assert await line.items_to_end() == []
    assert seen == [
        chunk
        for number in (1, 2, 5)
        for chunk in ((f"gate-{number}", f"gate {number}\n", False), (f"gate-{number}", "", True))
    ]


async def test_a_wait_for_a_task_is_begun_again_and_answered(house: House):
    table = house.table
    await table.add_project()
    task_id = await table.add_task()
    async with house.open_line() as line, trio.open_nursery() as nursery:
        answers: list[Any] = []

        async def wait() -> None:
            answers.append(await line.request("task.wait", id=task_id))

        nursery.start_soon(wait)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            await house.switch()
        assert answers == []
        await table.call("task.cancel", id=task_id)
    assert answers[0]["view"]["task"]["state"] == "cancelled"


def begin_output(conn: Connection, task_id: str, directory: str) -> None:
    conn.emit("attempt.job_started", task_id=task_id, attempt_id=f"{task_id}/1", data={"directory": directory})


async def test_a_feed_goes_on_in_another_image_without_gap_or_double(house: House):
    task_id, place = await begin_job(house.table)
    await house.table.store.write(begin_output, task_id, str(place))
    async with house.open_line() as line:
        await line.request("feed.subscribe", task_id=task_id, output=["stdout"], tail_lines=None)
        follower = Follower(line.item)
        await follower.until(lambda f: f.mark)
        wanted = ""
        for number in range(5):
            with (place / "stdout").open("ab") as file:
                file.write(f"line {number}\n".encode())
            wanted += f"line {number}\n"
            await house.table.store.write(emit, "task.edited", task_id, 3)
            await house.switch()
        source = (f"{task_id}/1", "agent", "stdout")
        await follower.until(lambda f: f.texts.get(source) == wanted and len(f.seqs) == 15)
        assert follower.seqs == list(range(follower.seqs[0], follower.seqs[0] + 15))
        assert [message["kind"] for message in follower.messages].count("hello") == 1
