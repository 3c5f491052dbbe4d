"""`daemon.gc` over the socket, with real workspaces: kept first, then removed, and never what is in use."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from ringmaster.queue.report import begin_work
from ringmaster.workspace.environment import agent_home
from ringmaster.workspace.git_directory import remove_tree
from ringmaster.workspace.workspaces import create_workspace
from tests.fakes.house import git
from tests.integration.rpc.harness import Table

DAY_S = 86_400.0


async def work(table: Table, *, is_cancelled: bool = True) -> tuple[str, Path]:
    """A task with a workspace in which something was left, and with files of its attempt."""
    task_id = await table.add_task(project_id="toy")
    claim = await table.claim()
    bare, workspace = table.paths.repository("toy"), table.paths.workspace("toy", task_id)
    base = git("rev-parse", "refs/ringmaster/target/main", cwd=bare)
    workspace.parent.mkdir(parents=True, exist_ok=True)
    await create_workspace(bare, workspace, claim.attempt.id, base, "b")
    (workspace / "left.txt").write_text("not committed\n")
    await table.store.write(begin_work, claim.attempt.id, claim.attempt.token, branch="b", base_commit=base)
    files = table.paths.attempt(claim.attempt.id) / "agent"
    files.mkdir(parents=True)
    (files / "stdout").write_text("output\n")
    if is_cancelled:
        await table.sql("UPDATE attempts SET state = 'ended', outcome = 'failed', ended_at = ?", table.clock())
        await table.sql("UPDATE workers SET attempt_id = ''")
        await table.sql("UPDATE tasks SET state = 'cancelled' WHERE id = ?", task_id)
    return task_id, workspace


def kept_refs(table: Table, task_id: str) -> str:
    return git("for-each-ref", f"refs/ringmaster/keep/{task_id}", cwd=table.paths.repository("toy"))


async def gc(table: Table, **params: Any) -> Any:
    return await table.call("daemon.gc", **params)


async def test_nothing_goes_before_its_time_and_a_dry_run_changes_nothing(table: Table):
    await table.take_on()
    task_id, workspace = await work(table)
    assert (await gc(table))["removed"] == []
    table.clock.ahead_s = 31 * DAY_S
    planned = await gc(table, is_dry_run=True)
    assert any(task_id in words for words in planned["removed"])
    assert planned["freed_bytes"] > 0
    assert workspace.exists()
    assert table.paths.attempt(f"{task_id}/1").exists()


async def test_it_gives_room_on_a_full_disk_and_says_so(table: Table):
    await table.take_on()
    task_id, _ = await work(table)
    table.clock.ahead_s = 31 * DAY_S
    assert table.store._writer is not None
    table.store._writer.is_degraded = True
    removed = (await gc(table, idempotency_key="k"))["removed"]
    assert f"the files of {task_id}/1" in removed
    assert (await gc(table, idempotency_key="k"))["removed"] == removed


async def test_a_workspace_is_kept_whole_before_it_goes_and_its_refs_go_last(table: Table):
    await table.take_on()
    task_id, workspace = await work(table)
    table.clock.ahead_s = 31 * DAY_S
    done = await gc(table)
    assert not workspace.exists()
    assert not table.paths.attempt(f"{task_id}/1").exists()
    ref = next(words.rpartition(" ")[2] for words in done["removed"] if "kept as" in words)
    assert git("show", f"{ref}:left.txt", cwd=table.paths.repository("toy")) == "not committed"
    # What was kept is kept as long again, from the day it was taken out of the workspace.
    table.clock.ahead_s = 50 * DAY_S
    await gc(table)
    assert kept_refs(table, task_id)
    table.clock.ahead_s = 62 * DAY_S
    assert f"the kept work of {task_id}/1" in (await gc(table))["removed"]
    assert not kept_refs(table, task_id)


async def test_the_home_of_an_agent_goes_with_its_workspace_and_no_other_does(table: Table):
    await table.take_on()
    caches = table.paths.caches
    ended, _ = await work(table)
    homes = [agent_home(caches, "toy", ended), agent_home(caches, "toy-two", "rm-aaaaa")]
    for home in homes:
        home.mkdir(parents=True)
        (home / "notes").write_text("x" * 10_000)
    await gc(table)
    assert [home.exists() for home in homes] == [True, True]
    table.clock.ahead_s = 31 * DAY_S
    planned = await gc(table, is_dry_run=True)
    assert f"the agents' home {homes[0].name}" in planned["removed"]
    assert [home.exists() for home in homes] == [True, True]
    await gc(table)
    assert [home.exists() for home in homes] == [False, True]


async def test_work_in_progress_is_never_touched(table: Table):
    await table.take_on()
    task_id, workspace = await work(table, is_cancelled=False)
    home = agent_home(table.paths.caches, "toy", task_id)
    home.mkdir(parents=True)
    table.clock.ahead_s = 400 * DAY_S
    done = await gc(table)
    assert done["removed"] == []
    assert home.exists()
    assert (workspace / "left.txt").exists()
    assert kept_refs(table, task_id)


async def test_what_cannot_be_kept_stays_and_a_person_is_asked_once(table: Table):
    await table.take_on()
    task_id, workspace = await work(table)
    # A ref to an object that is not there cannot be kept.
    (workspace / ".git" / "refs" / "heads" / "lost").write_text("1" * 40 + "\n")
    table.clock.ahead_s = 31 * DAY_S
    for _ in range(2):
        done = await gc(table)
        assert any("cannot be read" in words for words in done["kept"])
    assert workspace.exists()
    decisions = (await table.call("decision.list", task_id=task_id))["decisions"]
    assert [decision["kind"] for decision in decisions] == ["not_kept"]


async def test_a_file_in_place_of_a_workspace_is_named_and_keeps_none_of_the_others_from_being_cleaned(table: Table):
    await table.take_on()
    # The one that is looked at first.
    broken, other = sorted([(await work(table))[1], (await work(table))[1]])
    remove_tree(broken)
    broken.write_text("precious\n")
    table.clock.ahead_s = 31 * DAY_S
    done = await gc(table)
    assert any(str(broken) in words for words in done["kept"])
    assert broken.read_text() == "precious\n"
    assert not other.exists()


async def test_files_of_a_job_that_still_runs_stay(table: Table):
    await table.take_on()
    task_id, _ = await work(table)
    lock = table.paths.attempt(f"{task_id}/1") / "agent" / "lock"
    fd = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        table.clock.ahead_s = 31 * DAY_S
        assert any("still runs" in words for words in (await gc(table))["kept"])
        assert lock.exists()
    finally:
        os.close(fd)


async def test_what_a_kill_cut_short_is_cleared_and_what_is_unknown_is_named(table: Table):
    await table.take_on()
    place = table.paths.workspaces / "toy"
    (place / "rm-aaaaa.removing" / "x").mkdir(parents=True)
    (place / "rm-bbbbb").mkdir()
    done = await gc(table)
    assert not (place / "rm-aaaaa.removing").exists()
    assert (place / "rm-bbbbb").exists()
    assert any("rm-bbbbb" in words for words in done["kept"])


async def test_the_copy_of_a_removed_project_goes_after_its_time(table: Table):
    await table.take_on()
    await table.call("project.remove", id="toy")
    bare = table.paths.repository("toy")
    await gc(table)
    assert bare.exists()
    table.clock.ahead_s = 31 * DAY_S
    await gc(table)
    assert not bare.exists()
    assert (table.tmp_path / "toy" / "README").exists()


async def test_a_repository_in_trouble_keeps_no_other_from_being_cleaned(table: Table):
    await table.take_on("aaa")
    await table.take_on()
    _, workspace = await work(table)
    (table.paths.repository("aaa") / "config").write_text("[broken\n")
    table.clock.ahead_s = 31 * DAY_S
    done = await gc(table)
    assert any(words.startswith("project aaa:") for words in done["kept"])
    assert not workspace.exists()
