"""A person's verbs on tasks over the socket: hold, release, defer, close, reopen, undo, history; pausing the queue."""

from __future__ import annotations

from typing import Any

from ringmaster.model.errors import ErrorKind
from tests.integration.rpc.harness import Table, attempt_caller


async def test_hold_release_and_defer_say_what_they_did(table: Table):
    await table.add_project()
    id = await table.add_task()
    held = await table.call("task.hold", id=id, message="wait")
    assert held["view"]["shown"] == "blocked"
    assert held["view"]["task"]["held_at"] is not None
    assert (await table.call("task.release", id=id[3:]))["note"] == f"{id} is released"
    deferred = await table.call("task.defer", id=id, until_at=table.clock() + 900)
    assert deferred["view"]["shown"] == "scheduled"
    assert "is not given out before" in deferred["note"]


async def test_a_guard_keeps_each_of_them_from_a_row_that_has_changed(table: Table):
    await table.add_project()
    id = await table.add_task()
    guarded: tuple[tuple[str, dict[str, Any]], ...] = (
        ("hold", {}),
        ("release", {}),
        ("defer", {"until_at": table.clock() + 9}),
        ("close", {}),
        ("reopen", {}),
        ("cancel", {}),
    )
    for method, more in guarded:
        error = await table.refusal(f"task.{method}", id=id, if_version=7, **more)
        assert (error.kind, error.message) == (
            ErrorKind.CONFLICT,
            f"task {id} is of version 1, not 7; nothing was changed",
        )


async def test_close_reopen_and_cancel_tell_what_becomes_of_others(table: Table):
    await table.add_project()
    epic = await table.add_task(type="epic")
    child = await table.add_task(parent_id=epic)
    after = await table.add_task(after=[epic])
    assert "--children keep|cancel" in (await table.refusal("task.close", id=epic)).hint
    assert after in (await table.call("task.close", id=epic, children="keep"))["note"]
    assert f"it blocks {after} again" in (await table.call("task.reopen", id=epic))["note"]
    cancelled = await table.call("task.cancel", id=epic, dependents="cancel")
    assert f"{after}, {child} cancelled with it" in cancelled["note"]


async def test_undo_answers_with_the_row_and_is_done_once_for_a_repeated_request(table: Table):
    await table.add_project()
    id = await table.add_task("old")
    await table.call("task.edit", id=id, title="new")
    undone = await table.call("task.undo", idempotency_key="k")
    assert undone["view"]["task"]["title"] == "old"
    assert await table.call("task.undo", idempotency_key="k") == undone
    history = await table.call("task.history", id=id)
    assert [line["words"] for line in history["lines"]][1:] == [
        "title old -> new",
        f"title new -> old [takes back event {undone['seq']}]",
    ]
    assert history["lines"][1]["undone_by"] == undone["by_seq"]
    assert history["lines"][0]["actor"] == "operator"
    error = await table.refusal("task.undo", target=str(undone["seq"]))
    assert error.kind is ErrorKind.CONFLICT
    assert error.hint == f"to do it again: rmctl undo {undone['by_seq']}"


async def test_an_attempt_sees_its_own_history_and_changes_nothing(table: Table):
    await table.add_project()
    id, other = await table.add_task(), await table.add_task()
    found = await table.claim()
    caller = attempt_caller(found.attempt.id)
    own = found.task.id
    assert (await table.call("task.history", caller=caller, id=own))["is_whole"]
    elsewhere = other if own == id else id
    assert (await table.refusal("task.history", caller=caller, id=elsewhere)).kind is ErrorKind.PERMISSION
    for method, params in (
        ("task.hold", {"id": own}),
        ("task.close", {"id": own}),
        ("task.undo", {}),
        ("queue.pause", {}),
    ):
        assert (await table.refusal(method, caller=caller, **params)).kind is ErrorKind.PERMISSION


async def test_a_pause_of_the_queue_is_in_the_status_until_it_is_resumed(table: Table):
    await table.add_project()
    assert (await table.call("daemon.status"))["queue_pause"] is None
    paused = await table.call("queue.pause", message="lunch")
    assert paused["pause"]["reason"] == "lunch"
    assert (await table.call("daemon.status"))["queue_pause"] == paused["pause"]
    assert (await table.call("queue.resume"))["pause"] is None
    await table.call("queue.pause", project_id="to", message="it is red")
    assert (await table.call("project.show", id="toy"))["paused_reason"] == "paused by a person: it is red"
    assert (await table.call("queue.resume", project_id="toy"))["note"] == "project toy is active"
    assert (await table.refusal("queue.pause", project_id="nope")).kind is ErrorKind.NOT_FOUND
