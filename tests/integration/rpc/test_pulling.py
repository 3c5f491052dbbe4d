"""`attempt.pull|prompt|heartbeat|report|ask` and `worker.wait` over the socket: who may, with which token."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ringmaster.bus import Lagged
from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import lease
from ringmaster.queue import report as reporting
from ringmaster.store import accounts, attempts
from tests.integration.rpc.harness import NOBODY, Table, attempt_caller

HAND = "w"


@asynccontextmanager
async def handing_out(table: Table) -> AsyncIterator[None]:
    """What the supervisor does to a pulled attempt: a prompt, then the lease."""
    with table.bus.open_subscription(lambda event: event.type == "attempt.pulled") as events:

        async def hand_out() -> None:
            async for event in events:
                assert not isinstance(event, Lagged)
                row = await table.store.read(attempts.attempt_by_id, event.attempt_id)
                directory = table.paths.attempt(row.id)
                directory.mkdir(parents=True)
                (directory / "prompt.md").write_text(f"Do {row.task_id}\n")
                lease.workspace_of(row, table.paths).mkdir(parents=True)
                await table.store.write(lease.begin_lease, row.id, row.token)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hand_out)
            yield
            nursery.cancel_scope.cancel()


@pytest.fixture
async def hands(table: Table) -> AsyncIterator[Table]:
    await table.add_project()
    async with handing_out(table):
        yield table


def names(pulled: Any) -> dict[str, Any]:
    return {"attempt_id": pulled["attempt"], "token": pulled["token"]}


async def cursor(table: Table) -> int:
    return int((await table.sql("SELECT max(seq) FROM events"))[0][0])


async def test_a_pull_is_answered_once_it_is_ready_and_its_row_holds_the_lease(hands: Table):
    task_id = await hands.add_task("Title")
    pulled = await hands.call("attempt.pull", worker=HAND, lease_s=90.0)
    assert (pulled["task"], pulled["title"], pulled["lease_s"], pulled["shim"]) == (task_id, "Title", 90.0, [])
    row = await hands.store.read(attempts.attempt_by_id, pulled["attempt"])
    assert (row.token, row.lease_s, row.lease_left_s) == (pulled["token"], 90.0, 90.0)
    assert pulled["workspace"] == (await hands.call("attempt.show", id=task_id))["workspace"]
    assert pulled["token"] not in str(await hands.call("attempt.show", id=task_id))


async def test_only_a_person_pulls(hands: Table):
    await hands.add_task()
    claim = await hands.claim()
    await hands.add_task()
    for caller in (attempt_caller(claim.attempt.id), NOBODY):
        assert (await hands.refusal("attempt.pull", caller=caller)).kind is ErrorKind.PERMISSION
    assert (await hands.refusal("worker.wait", caller=attempt_caller(claim.attempt.id))).kind is ErrorKind.PERMISSION


async def test_nothing_to_pull_and_what_is_held_back_are_told_apart(hands: Table):
    assert (await hands.refusal("attempt.pull", worker=HAND)).kind is ErrorKind.NOTHING_TO_CLAIM
    await hands.add_task()
    hands.paths.estop.touch()
    error = await hands.refusal("attempt.pull", worker=HAND)
    assert (error.kind, "ESTOP" in error.message) == (ErrorKind.REFUSED, True)
    assert not (await hands.call("worker.wait", id=HAND, timeout_s=0.0))["is_ready"]
    hands.paths.estop.unlink()
    assert (await hands.call("worker.wait", id=HAND, timeout_s=0.0))["is_ready"]
    assert (await hands.refusal("attempt.pull", worker=HAND, lease_s=0.5)).kind is ErrorKind.USAGE


async def test_a_release_on_trial_that_may_begin_nothing_more_gives_nothing_to_who_pulls(hands: Table):
    await hands.add_task()
    hands.sur.starts_left = 0
    assert (await hands.refusal("attempt.pull", worker=HAND)).kind is ErrorKind.REFUSED
    assert not (await hands.call("worker.wait", timeout_s=0.0))["is_ready"]
    hands.sur.starts_left = None
    assert (await hands.call("worker.wait", timeout_s=0.0))["is_ready"]


async def test_what_is_pulled_counts_as_begun_by_a_release_on_trial(hands: Table):
    for _ in range(2):
        await hands.add_task()
    hands.sur.starts_left = 1
    first = await hands.call("attempt.pull", worker=HAND, idempotency_key="k")
    assert (await hands.call("attempt.pull", worker=HAND, idempotency_key="k"))["attempt"] == first["attempt"]
    assert hands.sur.starts_left == 0
    assert (await hands.refusal("attempt.pull", worker="another")).kind is ErrorKind.REFUSED


async def test_nothing_is_given_out_without_room(hands: Table, monkeypatch: pytest.MonkeyPatch):
    await hands.add_task()
    with monkeypatch.context() as full:
        full.setattr("ringmaster.store.disk.free_bytes", lambda place: 0.0)
        assert (await hands.refusal("attempt.pull", worker=HAND)).kind is ErrorKind.DISK_FULL
        assert not (await hands.call("worker.wait", timeout_s=0.0))["is_ready"]
    assert (await hands.call("worker.wait", timeout_s=0.0))["is_ready"]
    assert (await hands.call("attempt.pull", worker=HAND))["attempt"]


async def test_a_repeated_pull_is_answered_alike_whatever_holds_back_new_ones(hands: Table):
    await hands.add_task()
    pulled = await hands.call("attempt.pull", worker=HAND, idempotency_key="once")
    hands.paths.estop.touch()
    assert await hands.call("attempt.pull", worker=HAND, idempotency_key="once") == pulled
    assert (await hands.refusal("attempt.pull", worker="b")).kind is ErrorKind.REFUSED


async def test_a_wait_ends_when_the_account_has_rested(table: Table):
    await table.add_project()
    await table.add_task()
    await table.call("worker.spawn", agent="scripted", id="runner", is_pulled=True)
    await table.store.write(lambda conn: accounts.note_account(conn, id="acct", agent="scripted", label="A"))
    until_at = table.clock() + 0.3
    await table.store.write(lambda conn: accounts.pause_account(conn, "acct", until_at=until_at, reason="limit"))
    with trio.fail_after(20):
        assert (await table.call("worker.wait", id="runner"))["is_ready"]
    assert table.clock() >= until_at


async def test_a_wait_of_a_paused_worker_does_not_look_again_and_again_at_what_is_due(
    table: Table, monkeypatch: pytest.MonkeyPatch
):
    await table.add_project()
    await table.add_task()
    await table.sql("UPDATE tasks SET not_before_at = ?", table.clock() - 60.0)
    await table.call("worker.spawn", agent="scripted", id="runner", is_pulled=True)
    await table.call("worker.pause", id="runner")
    looks, read = 0, table.store.read

    async def count(fn: Any, *args: Any) -> Any:
        nonlocal looks
        looks += 1
        return await read(fn, *args)

    monkeypatch.setattr(table.store, "read", count)
    assert not (await table.call("worker.wait", id="runner", timeout_s=0.3))["is_ready"]
    assert looks == 2, "at the beginning and at the end"


async def test_an_attempt_that_ends_before_it_is_ready_is_an_error_of_the_pull(table: Table):
    await table.add_project()
    await table.add_task()
    with table.bus.open_subscription(lambda event: event.type == "attempt.pulled") as events:

        async def fail() -> None:
            event = await anext(aiter(events))
            assert not isinstance(event, Lagged)
            row = await table.store.read(attempts.attempt_by_id, event.attempt_id)
            why = (row.id, row.token, Outcome.INTERRUPTED, "no repository")
            await table.store.write(reporting.end_attempt, *why, rng=table.sur.rng)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            error = await table.refusal("attempt.pull", worker=HAND)
    assert (error.kind, "ended as interrupted: no repository" in error.message) == (ErrorKind.REFUSED, True)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("attempt.prompt", {}),
        ("attempt.heartbeat", {}),
        ("attempt.report", {"status": "succeeded"}),
        ("attempt.report", {"status": "interrupted"}),
        ("attempt.ask", {"question": "?"}),
    ],
)
async def test_each_call_needs_the_attempts_own_token_while_it_lives(hands: Table, method: str, params: dict[str, Any]):
    await hands.add_task()
    await hands.add_task()
    pulled, other = [await hands.call("attempt.pull", worker=name) for name in ("a", "b")]
    before = await cursor(hands)
    for token in ("", "0" * 32, other["token"]):
        error = await hands.refusal(method, attempt_id=pulled["attempt"], token=token, **params)
        assert (error.kind, "this is not the token of" in error.message) == (ErrorKind.LEASE_LOST, True)
    error = await hands.refusal(method, attempt_id="rm-none/1", token=pulled["token"], **params)
    assert error.kind is ErrorKind.NOT_FOUND
    error = await hands.refusal(method, caller=attempt_caller(other["attempt"]), **names(pulled), **params)
    assert error.kind is ErrorKind.PERMISSION
    await hands.store.write(lease.expire, pulled["attempt"], pulled["token"])
    assert await cursor(hands) == before + 1
    error = await hands.refusal(method, **names(pulled), **params)
    assert (error.kind, f"your work is in {pulled['workspace']}" in error.message) == (ErrorKind.LEASE_LOST, True)
    assert await cursor(hands) == before + 1


async def test_a_report_by_hand_is_final_and_the_same_one_again_is_answered_alike(hands: Table):
    await hands.add_task()
    pulled = await hands.call("attempt.pull", worker=HAND)
    said: dict[str, Any] = {**names(pulled), "status": "succeeded", "summary": "done"}
    first = await hands.call("attempt.report", **said)
    assert first["is_final"]
    before = await cursor(hands)
    assert await hands.call("attempt.report", **said) == first
    error = await hands.refusal("attempt.report", **{**said, "summary": "done twice"})
    assert (error.kind, "was reported as succeeded before" in error.message) == (ErrorKind.WRONG_STATE, True)
    await hands.store.write(
        reporting.end_attempt, pulled["attempt"], pulled["token"], Outcome.NO_CHANGES, "nothing", rng=hands.sur.rng
    )
    after = await cursor(hands)
    assert await hands.call("attempt.report", **said) == first, "also once it has ended by it"
    assert (await cursor(hands), after > before) == (after, True)


async def test_no_work_is_handed_in_from_a_workspace_that_is_not_in_its_place(hands: Table):
    await hands.add_task()
    pulled = await hands.call("attempt.pull", worker=HAND)
    place = Path(pulled["workspace"])
    place.rename(place.with_name("moved"))
    before = await cursor(hands)
    for status in ("succeeded", "needs_decision"):
        if status == "needs_decision":
            place.symlink_to(place.with_name("moved"))
        error = await hands.refusal("attempt.report", **names(pulled), status=status)
        assert (error.kind, f"the workspace is not at {place}" in error.message) == (ErrorKind.WRONG_STATE, True)
    assert (await hands.refusal("attempt.report", **{**names(pulled), "token": "x"}, status="succeeded")).kind is (
        ErrorKind.LEASE_LOST
    )
    assert await cursor(hands) == before
    place.unlink()
    place.with_name("moved").rename(place)
    said: dict[str, Any] = {**names(pulled), "status": "succeeded"}
    first = await hands.call("attempt.report", **said)
    place.rmdir()
    assert await hands.call("attempt.report", **said) == first, "it was taken, whatever became of the place"


async def test_a_claim_of_nothing_needs_no_workspace(hands: Table):
    await hands.add_task()
    pulled = await hands.call("attempt.pull", worker=HAND)
    Path(pulled["workspace"]).rmdir()
    assert (await hands.call("attempt.report", **names(pulled), status="interrupted"))["is_final"]


async def test_a_supervised_attempt_needs_no_heartbeat_and_is_not_handed_back(hands: Table):
    await hands.add_task()
    claim = await hands.claim()
    own: dict[str, Any] = {"attempt_id": claim.attempt.id, "token": claim.attempt.token}
    assert (await hands.call("attempt.heartbeat", **own))["lease_s"] == 0.0
    error = await hands.refusal("attempt.report", **own, status="interrupted")
    assert (error.kind, "was not pulled" in error.message) == (ErrorKind.USAGE, True)
    assert not (await hands.call("attempt.report", **own, status="succeeded"))["is_final"]


async def test_what_stands_in_a_prompts_place_holds_nobody_up(hands: Table):
    await hands.add_task("a")
    pulled = await hands.call("attempt.pull", worker=HAND)
    file = hands.paths.attempt(pulled["attempt"]) / "prompt.md"
    file.unlink()
    os.mkfifo(file)
    assert (await hands.call("attempt.prompt", **names(pulled)))["prompt"] == ""
    file.unlink()
    file.mkdir()
    assert (await hands.refusal("attempt.prompt", **names(pulled))).kind is ErrorKind.WRONG_STATE


async def test_waiting_ends_when_a_task_comes_or_the_worker_is_stopped(hands: Table):
    await hands.call("worker.spawn", agent="hand", id=HAND)
    waited: list[Any] = []
    async with hands.open_line() as line, trio.open_nursery() as nursery:

        async def wait() -> None:
            waited.append(await line.request("worker.wait", id=HAND, timeout_s=10.0))

        nursery.start_soon(wait)
        await hands.add_task()
    assert waited == [{"is_ready": True, "state": "active"}]
    await hands.call("attempt.pull", worker=HAND)
    assert not (await hands.call("worker.wait", id=HAND, is_seat_enough=True, timeout_s=0.0))["is_ready"]
    await hands.call("worker.stop", id=HAND)
    assert (await hands.call("worker.wait", id=HAND))["state"] == "stopped"
