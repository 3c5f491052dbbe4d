"""`events.*` over the socket: pages, and streams without gap or double."""

from __future__ import annotations

import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.store.connection import Connection
from tests.integration.rpc.harness import Table, attempt_caller


def emit(conn: Connection, first: int, count: int, type: str = "test.happened", task_id: str = "") -> None:
    for number in range(first, first + count):
        conn.emit(type, task_id=task_id, data={"n": number})


async def test_reading_pages_from_a_cursor(table: Table):
    await table.store.write(emit, 0, 25)
    seen: list[int] = []
    cursor = 0
    while page := await table.call("events.read", after=cursor, limit=10):
        seen += [event["seq"] for event in page["events"]]
        if page["cursor"] == cursor:
            break
        cursor = page["cursor"]
    assert seen == list(range(1, 26))
    newest = await table.call("events.read", limit=3)
    assert [event["seq"] for event in newest["events"]] == [23, 24, 25]
    assert newest["cursor"] == 25


async def test_filters_look_as_far_as_they_must(table: Table):
    await table.store.write(emit, 0, 1, "task.created", "rm-a")
    await table.store.write(emit, 0, 2500)
    await table.store.write(emit, 0, 1, "task.done", "rm-a")
    page = await table.call("events.read", after=0, type=["task."], limit=5)
    assert [event["type"] for event in page["events"]] == ["task.created", "task.done"]
    assert page["cursor"] == 2502
    page = await table.call("events.read", after=0, type=["task.done", "gate."])
    assert [event["seq"] for event in page["events"]] == [2502]
    for wanted in ("nothing", "task.finished", "tasks.", "task", ""):
        error = await table.refusal("events.read", type=["task.done", wanted])
        assert (error.kind, f"{wanted!r} is no type" in error.message) == (ErrorKind.USAGE, True)
        assert ("task.done" in error.hint, "gate." in error.hint) == (True, True)
    newest = await table.call("events.read", type=["task."], limit=2)
    assert [event["seq"] for event in newest["events"]] == [1, 2502]
    assert (await table.refusal("events.read", task_id="rm-nope")).kind is ErrorKind.NOT_FOUND


async def test_a_stream_gives_what_is_stored_then_what_happens(table: Table):
    await table.store.write(emit, 0, 1200)
    async with table.open_line() as line, trio.open_nursery() as nursery:
        answer = await line.request("events.subscribe", after=0)
        assert answer["cursor"] == 0

        async def write_on() -> None:
            # While the stored ones are being sent.
            for number in range(50):
                await table.store.write(emit, 1200 + number * 10, 10)

        nursery.start_soon(write_on)
        seen = [await line.item() for _ in range(1700)]
    assert [event["seq"] for event in seen] == list(range(1, 1701))
    assert [event["data"]["n"] for event in seen] == list(range(1700))


async def test_a_stream_without_a_cursor_begins_at_the_end(table: Table):
    await table.store.write(emit, 0, 5)
    async with table.open_line() as line:
        assert (await line.request("events.subscribe"))["cursor"] == 5
        await table.store.write(emit, 5, 1)
        assert (await line.item())["seq"] == 6


async def test_a_slow_subscriber_that_lagged_reads_on_from_the_store(table: Table):
    async with table.open_line() as line:
        await line.request("events.subscribe", after=0)
        await table.store.write(emit, 0, 1)
        assert (await line.item())["seq"] == 1
        # Far more than its buffer holds, in commits of their own, with nobody reading.
        for number in range(30):
            await table.store.write(emit, number * 500, 500)
        seen = [(await line.item())["seq"] for _ in range(15_000)]
    assert seen == list(range(2, 15_002))


async def test_a_filtered_stream_and_its_end(table: Table):
    await table.add_project()
    own, other = await table.add_task(), await table.add_task()
    async with table.open_line() as line:
        answer = await line.request("events.subscribe", task_id=own, type=["task."])
        await table.call("task.edit", id=other, title="x")
        await table.call("task.edit", id=own, title="x")
        event = await line.item()
        assert (event["type"], event["task_id"]) == ("task.edited", own)
        number = answer["subscription"]
        assert (await line.request("events.unsubscribe", subscription=number))["was_there"]
        assert await line.items_to_end() == []
        assert not (await line.request("events.unsubscribe", subscription=number))["was_there"]


async def test_an_attempt_hears_of_its_own_task_alone(table: Table):
    await table.add_project()
    own, other = await table.add_task(), await table.add_task()
    caller = attempt_caller((await table.claim()).attempt.id)
    page = await table.call("events.read", caller=caller, after=0)
    assert {event["task_id"] for event in page["events"]} == {own}
    error = await table.refusal("events.read", caller=caller, task_id=other)
    assert error.kind is ErrorKind.PERMISSION
