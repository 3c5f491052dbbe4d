"""`task.import` over the socket."""

from __future__ import annotations

from typing import Any

from ringmaster.model.errors import ErrorKind
from tests.fakes.original import SHOP, make_original, make_row
from tests.integration.rpc.harness import Table, attempt_caller

OTHER = "c892ec79-0000-4000-8000-000000000002"
ROWS = (
    make_row("bd-0", status="done"),
    make_row("bd-1", status="in_progress", priority="P1", worker_id="worker-1"),
    make_row("bd-2", status="draft"),
    make_row("bd-3", status="blocked", blocked_reason="Which currency?"),
    make_row("bd-4", status="failed"),
)
AFTER = (("bd-1", "bd-0"), ("bd-2", "bd-1"), ("bd-2", "bd-0"))


async def take(table: Table, path: Any, **params: Any) -> Any:
    return await table.call("task.import", kind="ringmaster", path=str(path), **params)


async def cursor(table: Table) -> int:
    return int((await table.call("daemon.status"))["cursor"])


async def test_tasks_come_with_their_ids_states_and_dependencies(table: Table):
    await table.add_project("shop")
    told = await take(table, make_original(table.tmp_path / "old.db", *ROWS, after=AFTER))
    assert (told["new"], told["there_already"], told["dependencies"], told["decisions"]) == (5, 0, 3, 1)
    assert told["states"] == {"done": 1, "failed": 1, "open": 3}
    assert told["projects"] == {"Shop": "shop"}
    views = {view["task"]["id"]: view for view in (await table.call("task.list", is_all=True))["tasks"]}
    assert {id: view["shown"] for id, view in views.items()} == {
        "bd-0": "done",
        "bd-1": "ready",
        "bd-2": "blocked",
        "bd-3": "waiting",
        "bd-4": "failed",
    }
    assert views["bd-0"]["task"]["done_by"] == "import"
    stored = await table.sql("SELECT task_id, blocker_id, is_open FROM dependencies ORDER BY 1, 2")
    assert stored == [("bd-1", "bd-0", 0), ("bd-2", "bd-0", 0), ("bd-2", "bd-1", 1)]
    [decision] = (await table.call("decision.list"))["decisions"]
    assert (decision["task_id"], decision["question"]) == ("bd-3", "Which currency?")
    # An answer lets it run, as for any question.
    await table.call("decision.answer", id=decision["id"], answer="EUR")
    assert (await table.call("task.show", id="bd-3"))["view"]["shown"] == "ready"


async def test_an_imported_task_is_worked_on_like_any_other(table: Table):
    await table.add_project("shop")
    await take(table, make_original(table.tmp_path / "old.db", make_row("bd-a6ff1909")))
    claim = await table.claim()
    assert claim.attempt.id == "bd-a6ff1909/1"


async def test_a_second_import_changes_nothing(table: Table):
    await table.add_project("shop")
    path = make_original(table.tmp_path / "old.db", *ROWS, after=AFTER)
    await take(table, path)
    await table.call("task.edit", id="bd-1", title="Mine now")
    await table.call("task.dep", id="bd-2", remove=["bd-1"])
    before = await cursor(table)
    told = await take(table, path)
    assert (told["new"], told["there_already"], told["states"]) == (0, 5, {})
    assert await cursor(table) == before
    assert (await table.call("task.show", id="bd-1"))["view"]["task"]["title"] == "Mine now"


async def test_a_task_that_is_another_here_is_named_and_not_just_counted(table: Table):
    await table.add_project("shop")
    task_id = await table.add_task("Mine")
    told = await take(table, make_original(table.tmp_path / "old.db", make_row(task_id, title="Theirs")))
    assert (told["new"], told["there_already"]) == (0, 1)
    assert told["notes"] == [f"not taken: {task_id} is there already, as 'Mine'"]


async def test_only_what_is_new_since_then_comes_later(table: Table):
    await table.add_project("shop")
    await take(table, make_original(table.tmp_path / "old.db", *ROWS, after=AFTER))
    later = (*ROWS, make_row("bd-5", status="draft"))
    told = await take(table, make_original(table.tmp_path / "new.db", *later, after=(*AFTER, ("bd-5", "bd-2"))))
    assert (told["new"], told["there_already"], told["dependencies"]) == (1, 5, 1)
    assert (await table.call("task.show", id="bd-5"))["view"]["shown"] == "blocked"


async def test_a_dry_run_says_the_same_and_changes_nothing(table: Table):
    await table.add_project("shop")
    path = make_original(table.tmp_path / "old.db", *ROWS, after=AFTER)
    before = await cursor(table)
    tried = await take(table, path, is_dry_run=True)
    assert await cursor(table) == before
    assert tried == {**await take(table, path), "is_dry_run": True}


async def test_a_circle_is_named_and_nothing_is_taken(table: Table):
    await table.add_project("shop")
    circle = (("bd-1", "bd-2"), ("bd-2", "bd-3"), ("bd-3", "bd-1"))
    path = make_original(table.tmp_path / "old.db", *(make_row(f"bd-{n}") for n in (1, 2, 3)), after=circle)
    before = await cursor(table)
    error = await table.refusal("task.import", kind="ringmaster", path=str(path))
    assert (error.kind, "bd-1 -> bd-2 -> bd-3 -> bd-1" in error.message) == (ErrorKind.CONFLICT, True)
    assert "--drop-circles" in error.hint
    assert await cursor(table) == before
    told = await take(table, path, is_dropping_circles=True)
    assert (told["new"], told["dependencies"]) == (3, 3)
    stored = await table.sql("SELECT task_id, kind, is_open FROM dependencies ORDER BY 1")
    assert stored == [("bd-1", "blocks", 1), ("bd-2", "blocks", 1), ("bd-3", "related", 0)]
    assert "bd-3 waits for bd-1" in told["notes"][0]


async def test_each_project_is_found_by_name_by_repository_or_by_word(table: Table):
    for name in ("shop", "till", "other"):
        await table.add_project(name)
    rows = (make_row("bd-1"), make_row("bd-2", project_id=OTHER))
    path = str(table.tmp_path / "till")
    old = make_original(
        table.tmp_path / "old.db", *rows, projects=((SHOP, "Shop", ""), (OTHER, "Cash Desk", f"file://{path}/"))
    )
    assert (await take(table, old, is_dry_run=True))["projects"] == {"Shop": "shop", "Cash Desk": "till"}
    named = await take(table, old, is_dry_run=True, projects={"Cash Desk": "other"})
    assert named["projects"] == {"Shop": "shop", "Cash Desk": "other"}
    all_in_one = await take(table, old, is_dry_run=True, project_id="other")
    assert all_in_one["projects"] == {"Shop": "other", "Cash Desk": "other"}
    left_out = await take(table, old, projects={"Cash Desk": "-"})
    assert (left_out["new"], left_out["notes"]) == (1, ["left out: 1 tasks of projects that were not wanted"])


async def test_a_project_that_is_not_here_is_named(table: Table):
    await table.add_project("one")
    await table.add_project("two")
    old = make_original(table.tmp_path / "old.db", make_row("bd-1"))
    error = await table.refusal("task.import", kind="ringmaster", path=str(old))
    assert (error.kind, error.message) == (ErrorKind.USAGE, "no project here is 'Shop' of the original")
    assert "--map 'Shop=PROJECT'" in error.hint
    error = await table.refusal("task.import", kind="ringmaster", path=str(old), project_id="three")
    assert (error.kind, error.message) == (ErrorKind.NOT_FOUND, "no project 'three'")


async def test_an_agent_may_not_import(table: Table):
    await table.add_project("shop")
    await table.add_task()
    claim = await table.claim()
    old = make_original(table.tmp_path / "old.db", make_row("bd-1"))
    caller = attempt_caller(claim.attempt.id)
    error = await table.refusal("task.import", caller=caller, kind="ringmaster", path=str(old))
    assert error.kind is ErrorKind.PERMISSION


async def test_bad_words_are_refused(table: Table):
    await table.add_project("shop")
    assert "no absolute path" in (await table.refusal("task.import", kind="ringmaster", path="old.db")).message
    assert (await table.refusal("task.import", kind="jira", path="/x")).kind is ErrorKind.USAGE
