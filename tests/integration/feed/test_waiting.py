"""What cannot be said yet is waited for, and costs nothing meanwhile."""

from __future__ import annotations

import pytest
import trio.testing

from ringmaster.feed import reader
from tests.integration.feed.following import following
from tests.integration.rpc.harness import Table
from tests.integration.rpc.jobs import Job, claim_task


# A progress bar stands like the first for as long as its step takes.
@pytest.mark.parametrize("rest", ["\r", "\x1b[3", "\u20ac".encode()[:2], "sk-abcdefghijklmnopq"])
async def test_half_an_escape_keeps_no_reader_turning(table: Table, rest: str | bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "PARTIAL_S", 0.0)
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    async with following(table, output=["stdout"]) as follower:
        agent.append("50 % ")
        agent.append(rest)
        await follower.until(lambda f: f.texts)
        # It never comes to that where anything turns.
        with trio.fail_after(5):
            await trio.testing.wait_all_tasks_blocked(0.02)
        agent.append("m done\n")
        await follower.until(lambda f: "done" in "".join(f.texts.values()))
