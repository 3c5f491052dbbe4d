"""A source that cannot be read is said so in words, the others go on, and who comes back later misses nothing of it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from ringmaster.proc.inotify import Watcher
from tests.integration.feed.following import Following, following, holding
from tests.integration.rpc.harness import Table
from tests.integration.rpc.jobs import Job, claim_task, end_attempt


def said(follower: Following) -> list[Any]:
    return [message for message in follower.messages if message["kind"] == "unreadable"]


def failing(number: int) -> Any:
    def fail(*args: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


async def test_without_watches_a_source_is_left_off_in_words_and_gone_on_with_later(
    table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("before\n")
    source = (claim.attempt.id, "agent", "stdout")
    with holding(agent.place / "lock"):
        with monkeypatch.context() as starving:
            starving.setattr(Watcher, "watch", failing(errno.ENOSPC))
            async with following(table, output=["stdout"], tail_lines=None) as first:
                # It runs, and is silent: the end of the job would be too late to say it.
                await first.until(said)
                await first.until_marked()
        assert said(first)[0]["offset"] == len("before\n")
        assert "daemon's log" in said(first)[0]["reason"]
        assert "No space left" in caplog.text
        assert not first.ended
        agent.append("later\n")
        async with following(table, output=["stdout"], cursor=first.mark) as second:
            await second.until(lambda f: f.texts)
            assert (second.texts, said(second)) == ({source: "later\n"}, [])


async def test_a_reader_that_failed_is_not_handed_to_who_comes_back(table: Table, monkeypatch: pytest.MonkeyPatch):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("before\n")
    source = (claim.attempt.id, "agent", "stdout")
    with holding(agent.place / "lock"), monkeypatch.context() as starving:
        starving.setattr(Watcher, "watch", failing(errno.ENOSPC))
        # One that takes nothing more keeps its reader.
        async with following(table, output=["stdout"]):
            await trio.testing.wait_all_tasks_blocked(0.02)
            starving.undo()
            async with following(table, output=["stdout"], tail_lines=None) as second:
                await second.until(lambda f: f.texts)
                assert (second.texts, said(second)) == ({source: "before\n"}, [])
                agent.append("later\n")
                await second.until(lambda f: f.texts[source] == "before\nlater\n")


async def test_without_descriptors_one_source_is_left_off_and_the_others_go_on(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    for channel in ("stdout", "stderr"):
        agent.append(f"of {channel}\n", channel)
    opened = os.open

    def open_or_fail(path: Any, *args: Any, **options: Any) -> int:
        if Path(path).name == "stdout":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(path, *args, **options)

    with monkeypatch.context() as starving:
        starving.setattr(os, "open", open_or_fail)
        async with following(table, output=["stdout", "stderr"], tail_lines=5) as first:
            await first.until(lambda f: said(f) and f.texts)
            await first.until_marked()
    assert "Too many open files" in said(first)[0]["reason"]
    assert first.texts == {(claim.attempt.id, "agent", "stderr"): "of stderr\n"}
    async with following(table, output=["stdout", "stderr"], cursor=first.mark) as second:
        await second.until(lambda f: f.texts)
        assert second.texts == {(claim.attempt.id, "agent", "stdout"): "of stdout\n"}


@pytest.mark.parametrize("is_by_cap", [True, False])
async def test_what_a_clean_up_took_before_it_was_read_is_said(table: Table, is_by_cap: bool):
    claim = await claim_task(table)
    async with following(table, output=["stdout"]) as away:
        pass
    agent = await Job(table, claim).begin()
    agent.append("never read\n")
    await agent.end()
    await end_attempt(table, claim)
    directory = table.paths.attempt(claim.attempt.id)
    if is_by_cap:
        (directory / "output-removed.json").write_text('{"at": 1}')
        (agent.place / "stdout").unlink()
    else:
        shutil.rmtree(directory)
    async with following(table, output=["stdout"], cursor=away.mark) as follower:
        await follower.until(lambda f: f.ended)
        assert ["removed" in message["reason"] for message in said(follower)] == [True]
