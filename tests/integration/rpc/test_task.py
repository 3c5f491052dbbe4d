"""`task.*` over the socket."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import pause_project
from tests.integration.rpc.harness import Table, attempt_caller


async def test_an_added_task_is_shown_with_what_comes_next(table: Table):
    await table.add_project()
    answer = await table.call(
        "task.add",
        title=" Add a page ",
        description="words",
        priority=1,
        labels=["web", "web"],
        acceptance=["it shows"],
    )
    task = answer["view"]["task"]
    assert task["title"] == "Add a page"
    assert task["labels"] == ["web"]
    assert answer["view"]["shown"] == "ready"
    detail = await table.call("task.show", id=task["id"])
    assert detail["view"] == answer["view"]
    assert "rmctl worker spawn" in detail["next_step"]


async def test_the_same_key_gives_the_same_answer_and_one_task(table: Table):
    await table.add_project()
    first = await table.call("task.add", title="once", idempotency_key="k1")
    assert await table.call("task.add", title="once", idempotency_key="k1") == first
    assert len((await table.call("task.list"))["tasks"]) == 1
    other = await table.refusal("task.add", title="another", idempotency_key="k1")
    assert other.kind is ErrorKind.CONFLICT
    assert "used for another request" in other.message


async def test_a_task_needs_a_project_and_a_title(table: Table):
    error = await table.refusal("task.add", title="x")
    assert (error.kind, error.message) == (ErrorKind.USAGE, "there is no project yet")
    await table.add_project("one")
    await table.add_project("two")
    error = await table.refusal("task.add", title="x")
    assert "several projects: one, two" in error.message
    error = await table.refusal("task.add", title="  ", project_id="one")
    assert error.message == "the title is empty"
    assert (await table.call("task.list"))["tasks"] == []


async def test_misspelt_and_mistyped_params_are_refused_by_name(table: Table):
    assert "titel" in (await table.refusal("task.add", titel="x", title="y")).message
    assert "priority" in (await table.refusal("task.add", title="y", priority=9)).message


async def test_the_list_pages_in_the_order_of_work_without_gap_or_double(table: Table):
    await table.add_project()
    wanted: list[tuple[int, int, str]] = []
    for number in range(12):
        priority = number % 5
        wanted.append((priority, number, await table.add_task(f"t{number}", priority=priority)))
    seen: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await table.call("task.list", limit=5, cursor=cursor)
        seen += [view["task"]["id"] for view in page["tasks"]]
        cursor = page["next_cursor"]
        if len(seen) == 5:
            # One that comes in before the place of the page shifts nothing.
            await table.add_task("urgent", priority=0)
    assert seen == [id for _, _, id in sorted(wanted)]


async def test_the_list_filters_by_state_label_and_project(table: Table):
    await table.add_project("one")
    await table.add_project("two")
    blocker = await table.add_task("first", project_id="one", labels=["x"])
    blocked = await table.add_task("second", project_id="one", after=[blocker])
    draft = await table.add_task("third", project_id="two", is_draft=True)
    later = await table.add_task("fourth", project_id="two", not_before_at=table.clock() + 900)
    gone = await table.add_task("fifth", project_id="two")
    await table.call("task.cancel", id=gone)

    async def ids(**params: Any) -> list[str]:
        return [view["task"]["id"] for view in (await table.call("task.list", **params))["tasks"]]

    assert await ids(state=["ready"]) == [blocker]
    assert await ids(state=["blocked"]) == [blocked]
    assert await ids(state=["scheduled"]) == [later]
    assert await ids(state=["open"]) == [blocker, blocked, later]
    assert await ids(label="x") == [blocker]
    assert await ids(project_id="tw") == [draft, later]
    assert await ids(state=["cancelled"]) == [gone]
    assert await ids(is_all=True) == [blocker, blocked, draft, later, gone]
    assert await ids(state=["cancelled", "draft"]) == [draft, gone]
    assert "no state of a task" in (await table.refusal("task.list", state=["nope"])).message


async def test_ready_is_what_the_next_seats_get(table: Table):
    await table.add_project()
    low = await table.add_task("low", priority=4)
    high = await table.add_task("high", priority=0)
    await table.add_task("blocked", after=[low])
    page = await table.call("task.ready")
    assert [view["task"]["id"] for view in page["tasks"]] == [high, low]
    assert (await table.claim()).task.id == high
    await table.call("project.edit", id="toy", state="paused")
    assert (await table.call("task.ready"))["tasks"] == []


async def test_an_agent_that_is_none_is_refused_and_one_without_a_seat_is_said(table: Table):
    await table.add_project()
    id = await table.add_task("old")
    calls: tuple[tuple[str, dict[str, Any]], ...] = (("task.add", {"title": "x"}), ("task.edit", {"id": id}))
    for method, params in calls:
        error = await table.refusal(method, agent="nope", **params)
        assert (error.kind, "scripted, command, hand, claude, codex" in error.message) == (ErrorKind.NOT_FOUND, True)
        assert "[agents.nope]" in error.hint
        assert (await table.call(method, agent="codex", **params))["note"] == (
            "no worker runs codex yet: rmctl worker spawn --agent codex"
        )
    await table.call("worker.spawn", agent="scripted")
    assert (await table.call("task.add", title="y", agent="scripted"))["note"] == ""
    assert (await table.call("task.add", title="y"))["note"] == ""


async def test_editing_changes_only_what_is_given(table: Table):
    await table.add_project()
    id = await table.add_task("old", description="kept", is_draft=True)
    answer = await table.call("task.edit", id=id, title="new", is_draft=False)
    assert (answer["view"]["task"]["title"], answer["view"]["task"]["description"]) == ("new", "kept")
    assert answer["view"]["shown"] == "ready"
    types = [event["type"] for event in (await table.call("events.read", task_id=id))["events"]]
    # That it is open comes before what may follow from it, and the edit as a whole last.
    assert types[-2:] == ["task.opened", "task.edited"]
    await table.claim()
    error = await table.refusal("task.edit", id=id, title="newer")
    assert error.kind is ErrorKind.WRONG_STATE


async def test_dependencies_block_and_a_cycle_is_named(table: Table):
    await table.add_project()
    a = await table.add_task("a")
    b = await table.add_task("b", after=[a])
    c = await table.add_task("c", after=[b])
    error = await table.refusal("task.dep", id=a, add=[c])
    assert error.kind is ErrorKind.CONFLICT
    assert f"{a} -> {c} -> {b} -> {a}" in error.message
    detail = await table.call("task.show", id=c)
    assert [blocker["id"] for blocker in detail["blockers"]] == [b]
    assert b in detail["next_step"]
    freed = await table.call("task.dep", id=c, remove=[b])
    assert freed["view"]["shown"] == "ready"


async def test_prefixes_resolve_and_ambiguous_ones_are_named(table: Table):
    await table.add_project()
    ids = [await table.add_task(f"t{number}") for number in range(40)]
    short = ids[0].removeprefix("rm-")
    assert (await table.call("task.show", id=short))["view"]["task"]["id"] == ids[0]
    error = await table.refusal("task.show", id="rm-")
    assert error.kind is ErrorKind.USAGE
    assert "begins several tasks" in error.message
    assert (await table.refusal("task.show", id="rm-!!")).kind is ErrorKind.NOT_FOUND


async def test_a_decision_that_is_taken_for_a_task_is_called_one(table: Table):
    await table.add_project()
    await table.add_task("one")
    claim = await table.claim()
    attempt = claim.attempt
    caller = attempt_caller(attempt.id)
    asked = await table.call(
        "attempt.ask", caller=caller, attempt_id=attempt.id, token=attempt.token, question="?", idempotency_key="q"
    )
    id = asked["decision_id"]
    error = await table.refusal("task.show", id=id)
    assert (error.kind, error.message) == (ErrorKind.NOT_FOUND, f"{id} is a decision and no task")
    assert error.hint == f"rmctl decision show {id}"


async def test_why_it_was_cancelled_stays_with_the_task(table: Table):
    await table.add_project()
    for is_running in (False, True):
        id = await table.add_task("one")
        if is_running:
            await table.claim()
        view = (await table.call("task.cancel", id=id, message="done by hand already"))["view"]
        (decision,) = (await table.call("task.show", id=id))["decisions"]
        assert (decision["state"], decision["question"]) == ("answered", "why was it cancelled?")
        assert (decision["answer"], view["task"]["open_blockers"]) == ("done by hand already", 0)


async def test_cancelling_what_waits_and_what_runs(table: Table):
    await table.add_project()
    waiting, running = await table.add_task("a"), await table.add_task("b", priority=0)
    claim = await table.claim()
    assert claim.task.id == running
    answer = await table.call("task.cancel", id=waiting, message="not needed")
    assert answer["view"]["shown"] == "cancelled"
    answer = await table.call("task.cancel", id=running)
    assert answer["view"]["shown"] == "running"
    assert "is being ended" in answer["note"]
    # Whatever the attempt then comes to, the task is cancelled.
    await table.store.write(
        reporting.end_attempt, claim.attempt.id, claim.attempt.token, Outcome.FAILED, "killed", rng=table.sur.rng
    )
    assert (await table.call("task.show", id=running))["view"]["shown"] == "cancelled"
    error = await table.refusal("task.cancel", id=waiting)
    assert error.message == f"task {waiting} is cancelled already"


async def test_a_retry_runs_again_with_the_words_in_the_next_prompt(table: Table):
    await table.add_project()
    id = await table.add_task("a", max_attempts=1)
    claim = await table.claim()
    await table.store.write(
        reporting.end_attempt, id + "/1", claim.attempt.token, Outcome.FAILED, "no", rng=table.sur.rng
    )
    assert (await table.call("task.show", id=id))["view"]["shown"] == "failed"
    answer = await table.call("task.retry", id=id, message="use the other file")
    assert answer["view"]["shown"] == "ready"
    decision = (await table.call("decision.list", task_id=id, is_all=True))["decisions"][0]
    assert (decision["kind"], decision["answer"], decision["message"]) == (
        "attempts_spent",
        "retry",
        "use the other file",
    )
    # With nothing asked, the words are kept as an answered question.
    await table.call("task.cancel", id=id)
    await table.call("task.retry", id=id, message="once more")
    kept = (await table.call("decision.list", task_id=id, is_all=True))["decisions"][-1]
    assert (kept["kind"], kept["state"], kept["answer"]) == ("question", "answered", "once more")


async def _to_validating(table: Table, kind: DecisionKind) -> str:
    """A task whose newest attempt waits for a person."""
    id = await table.add_task("a")
    claim = await table.claim()
    attempt = claim.attempt

    def wait(conn: object) -> None:
        reporting.begin_work(conn, attempt.id, attempt.token, branch="b", base_commit="1" * 40)  # type: ignore[arg-type]
        reporting.hand_over(conn, attempt.id, attempt.token, head_commit="2" * 40, report={})  # type: ignore[arg-type]
        reporting.wait_for_person(
            conn,  # type: ignore[arg-type]
            attempt.id,
            attempt.token,
            kind,
            question="is it good?",
            detail="",
            rng=table.sur.rng,
        )

    await table.store.write(wait)
    return id


async def test_accepting_and_rejecting_waiting_work(table: Table):
    await table.add_project()
    id = await _to_validating(table, DecisionKind.ACCEPT)
    detail = await table.call("task.show", id=id)
    assert "rmctl task accept" in detail["next_step"]
    assert (detail["view"]["shown"], detail["view"]["is_asking"]) == ("validating", True)
    answer = await table.call("task.accept", id=id)
    assert not answer["view"]["is_asking"]
    assert "goes on to the lane" in answer["note"]
    assert (await table.refusal("task.accept", id=id)).kind is ErrorKind.WRONG_STATE
    other = await _to_validating(table, DecisionKind.NO_GATE)
    error = await table.refusal("task.reject", id=other, message=" ")
    assert error.kind is ErrorKind.USAGE
    answer = await table.call("task.reject", id=other, message="wrong colour")
    assert answer["view"]["shown"] == "ready"
    attempts = (await table.call("task.show", id=other))["attempts"]
    assert attempts[-1]["reason"] == "rejected: wrong colour"


async def test_waiting_ends_when_the_task_ends_and_not_before(table: Table):
    await table.add_project()
    id = await table.add_task("a")
    waited: list[dict[str, object]] = []
    async with table.open_line() as line, trio.open_nursery() as nursery:

        async def wait() -> None:
            waited.append(await line.request("task.wait", id=id))

        nursery.start_soon(wait)
        claim = await table.claim()
        decision = await table.store.write(
            reporting.ask,
            claim.attempt.id,
            claim.attempt.token,
            question="which?",
            detail="",
            options=(),
            rng=table.sur.rng,
        )
        # A question of an agent that still works does not end the wait.
        assert not waited
        await table.store.write(
            reporting.end_attempt, claim.attempt.id, claim.attempt.token, Outcome.NEEDS_DECISION, "?", rng=table.sur.rng
        )
    assert (waited[0]["is_over"], waited[0]["needs"]) == (True, decision)


async def test_waiting_ends_when_the_project_waits_for_a_person(table: Table):
    await table.add_project()
    id = await table.add_task("a")
    waited: list[dict[str, object]] = []
    async with table.open_line() as line, trio.open_nursery() as nursery:

        async def wait() -> None:
            waited.append(await line.request("task.wait", id=id))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not waited
        await table.store.write(
            pause_project, "toy", DecisionKind.BASE_RED, question="mend it?", reason="red", rng=table.sur.rng
        )
    [asked] = (await table.call("decision.list"))["decisions"]
    assert (waited[0]["is_over"], waited[0]["needs"]) == (True, asked["id"])


async def test_waiting_has_its_time(table: Table):
    await table.add_project()
    id = await table.add_task("a")
    assert (await table.call("task.wait", id=id, timeout_s=0))["is_over"] is False
    await table.call("task.cancel", id=id)
    assert (await table.call("task.wait", id=id))["view"]["shown"] == "cancelled"


async def test_a_damaged_row_is_shown_and_takes_nothing_along(table: Table):
    await table.add_project()
    bad, good = await table.add_task("bad"), await table.add_task("good")
    await table.sql("UPDATE tasks SET labels = '{not json' WHERE id = ?", bad)
    shown = {view["task"]["id"]: view["shown"] for view in (await table.call("task.list"))["tasks"]}
    assert shown == {bad: "poisoned", good: "ready"}
    detail = await table.call("task.show", id=bad)
    assert "cannot be read (labels)" in detail["next_step"]
    # The next seat gets the good one, and a person is asked about the other.
    assert (await table.claim()).task.id == good
    decision = (await table.call("decision.list", task_id=bad))["decisions"][0]
    assert decision["kind"] == "poisoned"
    await table.call("task.edit", id=bad, labels=["mended"])
    answer = await table.call("decision.answer", id=decision["id"], answer="retry")
    assert "on the queue again" in answer["note"]
    assert (await table.claim()).task.labels == ("mended",)


async def test_an_attempt_sees_its_own_task_alone(table: Table):
    await table.add_project()
    own, other = await table.add_task("own"), await table.add_task("other")
    claim = await table.claim()
    caller = attempt_caller(claim.attempt.id)
    assert (await table.call("task.show", caller=caller, id=own))["view"]["task"]["id"] == own
    error = await table.refusal("task.show", caller=caller, id=other)
    assert error.kind is ErrorKind.PERMISSION
    listed = await table.call("task.list", caller=caller, is_all=True)
    assert [view["task"]["id"] for view in listed["tasks"]] == [own]
    assert (await table.refusal("task.add", caller=caller, title="more")).kind is ErrorKind.PERMISSION
    assert (await table.refusal("task.wait", caller=caller, id=other)).kind is ErrorKind.PERMISSION
