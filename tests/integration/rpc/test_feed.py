"""`feed.subscribe` over the socket: events, steps and lines in one feed, from any mark on without gap or double."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ringmaster.model.errors import ErrorKind
from ringmaster.store.connection import Connection
from tests.integration.rpc.following import Follower
from tests.integration.rpc.harness import Table, attempt_caller
from tests.integration.rpc.jobs import Job, claim_task, end_attempt


@asynccontextmanager
async def following(table: Table, **params: Any) -> AsyncIterator[Follower]:
    async with table.open_line() as line:
        await line.request("feed.subscribe", **params)
        follower = Follower(line.item)
        # With `hello` it has begun.
        await follower.until(lambda f: f.mark)
        yield follower


async def test_events_and_output_come_in_one_feed_each_in_its_order(table: Table):
    claim = await claim_task(table)
    async with following(table, output=["stdout", "stderr", "gate"]) as follower:
        hello = follower.messages[0]
        assert (hello["kind"], hello["instance"], hello["generation"]) == ("hello", "instance-1", 1)
        agent = await Job(table, claim).begin()
        agent.append("one\ntwo\n")
        agent.append("oops\n", "stderr")
        await agent.end()
        gate = await Job(table, claim, "gate-1").begin()
        gate.append("1 passed\n")
        await gate.end()
        await follower.until(lambda f: len(f.ended) == 3)
        attempt_id = claim.attempt.id
        assert follower.texts == {
            (attempt_id, "agent", "stdout"): "one\ntwo\n",
            (attempt_id, "agent", "stderr"): "oops\n",
            (attempt_id, "gate-1", "gate"): "1 passed\n",
        }
        assert follower.types() == ["attempt.job_started", "attempt.job_ended"] * 2


async def test_steps_are_made_of_whole_lines(table: Table):
    claim = await claim_task(table)
    async with following(table, output=["steps"]) as follower:
        agent = await Job(table, claim).begin()
        step = json.dumps({"type": "text", "text": "I think"})
        agent.append(step[:10])
        await follower.until(lambda f: "attempt.job_started" in f.types())
        agent.append(step[10:] + "\n")
        await follower.until(lambda f: f.texts.get((claim.attempt.id, "agent", "steps")))
        assert follower.offsets[claim.attempt.id, "agent", "steps"] == len(step) + 1
        assert "I think" in follower.texts[claim.attempt.id, "agent", "steps"]


async def test_who_comes_back_with_a_mark_misses_nothing_and_gets_nothing_twice(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("before\n")
    source = (claim.attempt.id, "agent", "stdout")
    async with following(table, output=["stdout", "gate"], tail_lines=None) as first:
        await first.until(lambda f: f.texts.get(source) == "before\n")
        await first.until_marked()
    # While nobody looks on: more output, an end, another job from its beginning to its end.
    agent.append("meanwhile\n")
    await agent.end()
    gate = await Job(table, claim, "gate-1").begin()
    gate.append("red\n")
    await gate.end()
    async with following(table, output=["stdout", "gate"], cursor=first.mark) as second:
        await second.until(lambda f: len(f.ended) == 2)
        await second.until_marked()
        assert second.texts == {source: "meanwhile\n", (claim.attempt.id, "gate-1", "gate"): "red\n"}
        assert second.types() == ["attempt.job_ended", "attempt.job_started", "attempt.job_ended"]
        assert first.seqs + second.seqs == sorted(set(first.seqs + second.seqs))
    # What was told to its end is not told again.
    async with following(table, output=["stdout", "gate"], cursor=second.mark) as third:
        await claim_task(table, "Another")
        await third.until(lambda f: f.types())
        assert not third.texts


async def test_who_comes_back_between_a_command_and_its_end_is_told_what_ended(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    source = (claim.attempt.id, "agent", "steps")
    agent.append(json.dumps({"type": "step", "n": 1, "do": "run", "text": "make test"}) + "\n")
    async with following(table, output=["steps"]) as stayed:
        async with following(table, output=["steps"], tail_lines=None) as first:
            await first.until(lambda f: f.texts.get(source) == "run make test\n")
            await first.until_marked()
        # One follower reads on from a renderer that has seen the beginning, two begin behind it.
        agent.append(json.dumps({"type": "output", "n": 1, "text": "", "code": 3}) + "\n")
        await stayed.until(lambda f: "exit" in f.texts.get(source, ""))
    async with following(table, output=["steps"], cursor=first.mark) as second:
        await second.until(lambda f: source in f.texts)
    async with following(table, output=["steps"], tail_lines=1) as third:
        await third.until(lambda f: source in f.texts)
    ends = [[s for m in f.messages for s in m.get("steps", ())][-1] for f in (stayed, second, third)]
    wanted = {"kind": "command", "text": "exit 3: make test", "call_id": "1", "command": "make test"}
    assert ends == [wanted | {"exit_code": 3, "is_failed": True}] * 3
    assert second.texts == third.texts == {source: "exit 3: make test\n"}


async def test_output_begins_where_it_is_asked_to(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("one\ntwo\nthree\n")
    source = (claim.attempt.id, "agent", "stdout")
    for tail_lines, expected in ((0, "more\n"), (2, "two\nthree\nmore\n"), (None, "one\ntwo\nthree\nmore\n")):
        async with following(table, output=["stdout"], tail_lines=tail_lines) as follower:
            agent.append("more\n")
            await follower.until(lambda f, expected=expected: f.texts.get(source) == expected)
        (agent.place / "stdout").write_text("one\ntwo\nthree\n")


async def test_an_attempt_that_is_named_is_told_to_its_end_and_the_stream_ends(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("all\n")
    await agent.end()
    await end_attempt(table, claim)
    await claim_task(table, "Another")
    async with table.open_line() as line:
        await line.request("feed.subscribe", attempt_id=claim.attempt.id, output=["stdout"], tail_lines=None)
        messages = [message for item in await line.items_to_end() for message in item]
    assert [(m["text"], m["is_end"]) for m in messages if m["kind"] == "lines"] == [("all\n", False), ("", True)]
    assert messages[-1]["kind"] == "mark"


async def test_only_what_is_asked_for_comes(table: Table):
    mine, other = await claim_task(table), await claim_task(table, "Another")
    async with following(table, task_id=mine.task.id, type=["attempt.job_ended"], output=["stdout"]) as follower:
        for claim in (other, mine):
            agent = await Job(table, claim).begin()
            agent.append(f"of {claim.task.id}\n")
            await agent.end()
        await follower.until(lambda f: f.ended)
        assert follower.types() == ["attempt.job_ended"]
        assert follower.texts == {(mine.attempt.id, "agent", "stdout"): f"of {mine.task.id}\n"}


async def test_important_events_come_without_the_others_and_without_output(table: Table):
    claim = await claim_task(table)
    async with following(table, level="important") as follower:
        agent = await Job(table, claim).begin()
        agent.append("noise\n")
        await table.call("queue.pause")
        await follower.until(lambda f: f.types())
        assert (follower.types(), follower.texts) == (["queue.paused"], {})


async def test_a_workers_feed_has_its_attempts(table: Table):
    mine, other = await claim_task(table), await claim_task(table, "Another")
    async with following(table, worker_id=mine.attempt.worker_id, output=["stdout"]) as follower:
        for claim in (other, mine):
            agent = await Job(table, claim).begin()
            agent.append("line\n")
            await end_attempt(table, claim)
        await follower.until(lambda f: f.texts and "attempt.ended" in f.types())
        assert {source[0] for source in follower.texts} == {mine.attempt.id}
        assert {m["event"]["attempt_id"] for m in follower.messages if m["kind"] == "event"} <= {mine.attempt.id, ""}


async def test_a_cursor_that_cannot_be_gone_on_from_comes_with_a_snapshot(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("one\n")
    async with following(table, output=["stdout"], tail_lines=None) as first:
        await first.until(lambda f: f.texts)
        await first.until_marked()
    for cursor, reason in (("nonsense", "no cursor"), (first.mark[:-4], "is cut off"), (first.mark, "is gone")):
        (agent.place / "stdout").write_text("")
        async with following(table, output=["stdout"], cursor=cursor) as follower:
            hello, expired, snapshot, *_ = follower.messages
            assert [hello["kind"], expired["kind"], snapshot["kind"]] == ["hello", "cursor_expired", "snapshot"]
            assert reason in expired["reason"]
            assert snapshot["tasks_by_state"] == {"running": 1}
            assert [attempt["attempt_id"] for attempt in snapshot["attempts"]] == [claim.attempt.id]
            # It goes on from there.
            agent.append("later\n")
            await follower.until(lambda f: f.texts)


async def test_an_attempt_follows_its_own_task_and_nothing_else(table: Table):
    mine, other = await claim_task(table), await claim_task(table, "Another")
    caller = attempt_caller(mine.attempt.id)
    refused = await table.refusal("feed.subscribe", caller=caller, task_id=other.task.id)
    assert refused.kind is ErrorKind.PERMISSION
    async with table.open_line(caller) as line:
        await line.request("feed.subscribe", output=["stdout"])
        follower = Follower(line.item)
        await follower.until(lambda f: f.mark)
        for claim in (other, mine):
            agent = await Job(table, claim).begin()
            agent.append("line\n")
            await agent.end()
        await follower.until(lambda f: f.ended)
        assert {source[0] for source in follower.texts} == {mine.attempt.id}
        assert {m["event"]["task_id"] for m in follower.messages if m["kind"] == "event"} == {mine.task.id}


async def test_what_is_wrong_is_refused_in_words(table: Table):
    for params, words in (({"type": ["task.exploded"]}, "no type of event"), ({"task_id": "rm-none"}, "no task")):
        refused = await table.refusal("feed.subscribe", **params)
        assert words in refused.message


async def test_a_key_does_not_go_out(table: Table):
    claim = await claim_task(table)
    async with following(table, output=["stdout"]) as follower:
        agent = await Job(table, claim).begin()
        agent.append("my key is sk-abcdefghijklmnopqrstuvwxyz0123456789 \x1b[31mred\x1b[0m\n")
        await agent.end()
        await follower.until(lambda f: f.ended)
        assert follower.texts[claim.attempt.id, "agent", "stdout"] == "my key is [redacted] red\n"


async def test_ten_megabytes_come_whole_to_who_reads_from_the_beginning(table: Table, tmp_path: Path):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    block = "".join(f"line {number} of many, with some text behind it\n" for number in range(50_000))
    agent.append(block)
    source = (claim.attempt.id, "agent", "stdout")
    async with following(table, output=["stdout"], tail_lines=None) as follower:
        agent.append(block)
        await agent.end()
        await follower.until(lambda f: f.ended)
        assert follower.texts[source] == block * 2


async def test_more_events_at_once_than_anything_keeps_come_all_and_in_order(table: Table):
    def emit(conn: Connection) -> None:
        for _ in range(5_000):
            conn.emit("task.edited", task_id="rm-a")

    async with following(table, output=[]) as follower:
        await table.store.write(emit)
        await follower.until(lambda f: len(f.seqs) == 5_000)
        assert follower.seqs == list(range(follower.seqs[0], follower.seqs[0] + 5_000))


async def test_a_store_that_is_ahead_of_what_is_kept_is_asked(table: Table):
    def emit(conn: Connection) -> None:
        conn.emit("task.edited", task_id="rm-a")

    async with following(table, output=[]) as follower:
        await table.store.write(emit)
        await follower.until(lambda f: f.seqs)
        newest = follower.seqs[-1]
    assert table.feed.events_after(newest - 1, 10) is not None
    assert table.feed.events_after(newest, 10) is None
