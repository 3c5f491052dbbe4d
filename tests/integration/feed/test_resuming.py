"""Who comes back gets everything that its cursor names, or is told why not."""

from __future__ import annotations

from ringmaster.feed.cursor import Source, decode_cursor, encode_cursor
from ringmaster.store.connection import Connection
from tests.integration.feed.following import following
from tests.integration.rpc.harness import Table
from tests.integration.rpc.jobs import Job, claim_task, end_attempt


async def test_a_source_is_gone_on_with_however_much_its_task_has_said_since(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("one\n")
    source = (claim.attempt.id, "agent", "stdout")
    async with following(table, output=["stdout"], tail_lines=None) as first:
        await first.until(lambda f: f.texts)
        await first.until_marked()

    def emit(conn: Connection) -> None:
        for _ in range(1_100):
            conn.emit("task.edited", task_id=claim.task.id, attempt_id=claim.attempt.id)

    await table.store.write(emit)
    agent.append("two\n")
    async with following(table, output=["stdout"], cursor=first.mark) as second:
        await second.until(lambda f: f.texts)
        await second.until(lambda f: len(f.seqs) == 1_100)
        await second.until_marked()
        assert second.texts == {source: "two\n"}
    # Also where the start of the job lies further back than what was looked at before.
    agent.append("three\n")
    async with following(table, output=["stdout"], cursor=second.mark) as third:
        await third.until(lambda f: f.texts)
        assert (third.texts, third.reason) == ({source: "three\n"}, "")


async def test_what_a_cursor_names_and_the_store_does_not_hold_is_said(table: Table):
    claim = await claim_task(table)
    await Job(table, claim).begin()
    async with following(table, output=["stdout"]) as follower:
        cursor = decode_cursor(follower.mark)
    gone = encode_cursor(
        type(cursor)(cursor.instance, cursor.seq, {Source("rm-gone/1", "agent", "stdout"): 5, **cursor.offsets})
    )
    async with following(table, output=["stdout"], cursor=gone) as follower:
        assert "rm-gone/1" in follower.reason
    # Who has no use for it is not told of it.
    async with following(table, output=["gate"], cursor=gone) as follower:
        assert not follower.reason


async def test_a_cursor_before_the_oldest_event_that_is_kept_is_expired(table: Table):
    await claim_task(table)
    async with following(table) as follower:
        old, seq = follower.mark, decode_cursor(follower.mark).seq
    await table.store.write(lambda conn: conn.emit("task.edited"))
    await table.sql("DELETE FROM events WHERE seq <= ? RETURNING seq", seq)
    async with following(table, cursor=old) as follower:
        assert not follower.reason
    await table.store.write(lambda conn: conn.emit("task.edited"))
    await table.sql("DELETE FROM events WHERE seq <= ? RETURNING seq", seq + 1)
    async with following(table, cursor=old) as follower:
        assert "events behind it are gone" in follower.reason


async def test_a_cursor_that_names_no_job_opens_no_file(table: Table):
    mine, other = await claim_task(table), await claim_task(table, "Another")
    for claim in (mine, other):
        (await Job(table, claim).begin()).append("secret\n")
    async with following(table, output=["stdout"]) as follower:
        cursor = decode_cursor(follower.mark)
    elsewhere = f"../../{other.attempt.id}/agent"
    made_up = encode_cursor(
        type(cursor)(cursor.instance, cursor.seq, {Source(mine.attempt.id, elsewhere, "stdout"): 0})
    )
    async with following(table, task_id=mine.task.id, output=["stdout"], cursor=made_up, tail_lines=None) as follower:
        await follower.until(lambda f: f.texts)
        assert set(follower.texts) == {(mine.attempt.id, "agent", "stdout")}


async def test_a_cursor_is_expired_by_what_a_clean_up_took_of_it(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    async with following(table, output=["stdout"]) as follower:
        # It stands at the very beginning, so no size says that anything is missing.
        cursor = follower.mark
    agent.append("never read\n")
    await agent.end()
    await end_attempt(table, claim)
    (agent.place.parent / "output-removed.json").write_text('{"at": 1}')
    (agent.place / "stdout").unlink()
    async with following(table, output=["stdout"], cursor=cursor) as follower:
        assert "is gone" in follower.reason


async def test_a_source_whose_end_no_event_says_is_ended_for_who_comes_back(table: Table):
    claim = await claim_task(table)
    agent = await Job(table, claim).begin()
    agent.append("all\n")
    async with following(table, output=["stdout"], tail_lines=None) as follower:
        await follower.until(lambda f: f.texts)
        await follower.until_marked()
    # As where the row cannot be read: it is ended, and that is all.
    await table.sql(
        "UPDATE attempts SET state = 'ended', outcome = 'interrupted', ended_at = 1 WHERE id = ? RETURNING id",
        claim.attempt.id,
    )
    async with following(table, output=["stdout"], cursor=follower.mark) as again:
        await again.until(lambda f: f.ended)
        assert not "".join(again.texts.values())
