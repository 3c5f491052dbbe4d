"""A source ends when its job is dead, once, and a stream when nothing can come any more."""

from __future__ import annotations

from tests.integration.feed.following import following, holding
from tests.integration.rpc.harness import Table
from tests.integration.rpc.jobs import Job, claim_task, end_attempt


async def test_a_gate_that_outlives_its_attempt_is_told_to_its_end_and_once(table: Table):
    claim = await claim_task(table)
    gate = await Job(table, claim, "gate-1").begin()
    source = (claim.attempt.id, "gate-1", "gate")
    async with following(table, output=["gate"]) as follower:
        with holding(gate.place / "lock"):
            gate.append("first\n")
            await follower.until(lambda f: f.texts)
            # As a rejection does, while the gate runs.
            await end_attempt(table, claim)
            await follower.until(lambda f: "attempt.ended" in f.types())
            await follower.until_marked()
            gate.append("last\n")
            await follower.until(lambda f: f.texts[source] == "first\nlast\n")
            assert not follower.ended
        await gate.end()
        await follower.until(lambda f: f.ended)
        await claim_task(table, "Another")
        await follower.until(lambda f: f.types()[-1] == "attempt.started")
        await follower.until_marked()
        # The follower itself fails where anything comes behind an end.
        assert follower.texts == {source: "first\nlast\n"}


async def test_an_end_that_is_said_late_tells_nothing_again(table: Table):
    claim = await claim_task(table)
    gate = await Job(table, claim, "gate-1").begin()
    gate.append("all\n")
    async with following(table, output=["gate"], tail_lines=None) as follower:
        await end_attempt(table, claim)
        await follower.until(lambda f: f.ended)
        await gate.end()
        await claim_task(table, "Another")
        await follower.until(lambda f: f.types()[-1] == "attempt.started")
        await follower.until_marked()
        assert list(follower.texts.values()) == ["all\n"]


async def test_who_comes_back_to_an_attempt_that_is_over_is_not_kept_waiting(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("all\n")
    attempt_id = claim.attempt.id
    async with following(table, attempt_id=attempt_id, output=["stdout"], tail_lines=None) as first:
        before = first.mark
        await agent.end()
        await end_attempt(table, claim)
        await first.until(lambda f: f.messages[-1]["kind"] == "mark" and f.ended)
    for cursor, text in ((before, "all\n"), (first.mark, "")):
        async with following(table, attempt_id=attempt_id, output=["stdout"], cursor=cursor) as follower:
            while await follower.take():
                pass
            assert "".join(follower.texts.values()) == text
            assert ("attempt.ended" in follower.types()) == bool(text)
