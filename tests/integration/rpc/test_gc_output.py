"""`daemon.gc` and the cap on all output together: the oldest that nobody needs goes, and says so."""

from __future__ import annotations

import fcntl
import os
import random

import msgspec
import pytest

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.claim import Claim
from ringmaster.queue.decide import open_decision
from ringmaster.store.connection import Connection
from ringmaster.workers import cleanup
from ringmaster.workers.output_cap import Output
from ringmaster.workers.surroundings import Surroundings
from tests.integration.rpc.harness import Table

SIZE = 64 * 1024


def allow(table: Table, size: int) -> None:
    """Set the cap."""
    settings = table.sur.settings
    table.sur.settings = msgspec.structs.replace(
        settings, limits=msgspec.structs.replace(settings.limits, logs_bytes=size)
    )


async def begin(table: Table) -> Claim:
    """A running attempt of a new task, whose jobs wrote twice SIZE."""
    await table.add_task()
    claim = await table.claim()
    for job in ("agent", "gate-1"):
        place = table.paths.attempt(claim.attempt.id) / job
        place.mkdir(parents=True)
        (place / "stdout").write_bytes(b"word\n" + b"x" * (SIZE - 5))
        (place / "exit.json").write_text("{}")
    return claim


async def end(table: Table, claim: Claim, state: str = "done") -> None:
    attempt = claim.attempt
    await table.store.write(reporting.end_attempt, attempt.id, attempt.token, Outcome.FAILED, "over", rng=table.sur.rng)
    await table.sql("UPDATE tasks SET state = ? WHERE id = ?", state, claim.task.id)
    table.clock.ahead_s += 1.0


def has_output(table: Table, claim: Claim) -> bool:
    return any(table.paths.attempt(claim.attempt.id).glob("*/stdout"))


@pytest.fixture
async def claims(table: Table) -> list[Claim]:
    """Three that have ended, the first first, and one that runs."""
    await table.add_project()
    found = [await begin(table) for _ in range(4)]
    for claim in found[:3]:
        await end(table, claim)
    return found


def ask(conn: Connection, claim: Claim) -> None:
    open_decision(
        conn, DecisionKind.NO_CHANGES, project_id="toy", task_id=claim.task.id, question="?", rng=random.Random(1)
    )


async def test_the_oldest_output_goes_until_the_rest_is_within_the_cap(table: Table, claims: list[Claim]):
    allow(table, 8 * SIZE)
    assert (await table.call("daemon.gc"))["removed"] == []
    allow(table, 5 * SIZE)
    planned = await table.call("daemon.gc", is_dry_run=True)
    assert [words.split(":")[0] for words in planned["removed"]] == [
        f"the output of {claim.attempt.id}" for claim in claims[:2]
    ]
    assert planned["freed_bytes"] == 4 * SIZE
    assert has_output(table, claims[0])
    done = await table.call("daemon.gc")
    assert (done["removed"], done["freed_bytes"]) == (planned["removed"], planned["freed_bytes"])
    assert [has_output(table, claim) for claim in claims] == [False, False, True, True]
    # How its jobs ended stays, and a second look finds nothing to do.
    assert (table.paths.attempt(claims[0].attempt.id) / "gate-1" / "exit.json").exists()
    assert (await table.call("daemon.gc"))["removed"] == []
    page = await table.call("events.read", after=0, limit=1000)
    assert [event["data"]["removed"] for event in page["events"] if event["type"] == "daemon.cleaned_up"] == [2]


async def test_reading_what_was_removed_says_so_and_when(table: Table, claims: list[Claim]):
    allow(table, 6 * SIZE)
    await table.call("daemon.gc")
    for method in ("logs.read", "logs.follow"):
        for stream in ("stdout", "steps", "gate"):
            error = await table.refusal(method, id=claims[0].attempt.id, stream=stream)
            assert error.kind is ErrorKind.NOT_FOUND
            assert "was removed at 20" in error.message
            assert "logs_bytes" in error.message
    assert (await table.call("logs.read", id=claims[1].attempt.id, tail_lines=None))["text"].startswith("word")


async def test_what_goes_for_its_age_does_not_go_for_the_cap_too(table: Table, claims: list[Claim]):
    allow(table, 5 * SIZE)
    first = claims[0]
    await table.sql("UPDATE attempts SET ended_at = 1.0 WHERE id = ?", first.attempt.id)
    planned = await table.call("daemon.gc", is_dry_run=True)
    done = await table.call("daemon.gc")
    assert planned["removed"] == done["removed"]
    assert planned["freed_bytes"] == done["freed_bytes"]
    assert [words.split(":")[0] for words in done["removed"]] == [
        f"the files of {first.attempt.id}",
        f"the output of {claims[1].attempt.id}",
    ]


async def test_in_the_place_of_what_is_in_use_the_next_goes(table: Table, claims: list[Claim]):
    held = os.open(table.paths.attempt(claims[0].attempt.id) / "agent" / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        allow(table, 6 * SIZE)
        done = await table.call("daemon.gc")
    finally:
        os.close(held)
    assert len(done["kept"]) == 1
    assert [has_output(table, claim) for claim in claims] == [True, False, True, True]


async def test_a_task_that_is_taken_up_again_meanwhile_keeps_its_output(
    table: Table, claims: list[Claim], monkeypatch: pytest.MonkeyPatch
):
    by_their_end = cleanup._by_their_end

    async def look(sur: Surroundings, found: list[Output]) -> list[Output]:
        outputs = await by_their_end(sur, found)
        await table.sql("UPDATE tasks SET state = 'open' WHERE id = ?", claims[0].task.id)
        return outputs

    monkeypatch.setattr(cleanup, "_by_their_end", look)
    allow(table, 6 * SIZE)
    await table.call("daemon.gc")
    assert [has_output(table, claim) for claim in claims] == [True, False, True, True]


async def test_what_lives_waits_or_may_be_gone_on_with_stays(table: Table, claims: list[Claim]):
    first, second, third, live = claims
    await table.sql("UPDATE tasks SET state = 'open' WHERE id = ?", first.task.id)
    await table.store.write(ask, second)
    held = os.open(table.paths.attempt(third.attempt.id) / "agent" / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        allow(table, 1)
        done = await table.call("daemon.gc")
    finally:
        os.close(held)
    assert done["removed"] == []
    assert any(third.attempt.id in words for words in done["kept"])
    assert "bytes of output more than logs_bytes, of tasks that go on" in done["kept"][-1]
    assert all(has_output(table, claim) for claim in claims)
    allow(table, 0)
    assert (await table.call("daemon.gc"))["removed"] == []
    assert all(has_output(table, claim) for claim in (third, live))
