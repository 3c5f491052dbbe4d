"""`daemon.gc` and the workspaces of attempts that were pulled: each has its own, and goes with its task."""

from __future__ import annotations

from tests.fakes.house import git
from tests.integration.rpc.harness import Table
from tests.integration.rpc.test_gc import DAY_S, gc, work


async def test_the_place_of_a_pulled_attempt_goes_with_its_task_and_not_before(table: Table):
    await table.take_on()
    task_id, workspace = await work(table, is_cancelled=False)
    place = workspace.rename(workspace.with_name(f"{task_id}-1"))
    table.clock.ahead_s = 31 * DAY_S
    done = await gc(table)
    assert (done["removed"], done["kept"], place.is_dir()) == ([], [], True), "its task has not ended"
    await table.sql("UPDATE attempts SET state = 'ended', outcome = 'interrupted', ended_at = ?", table.clock())
    await table.sql("UPDATE workers SET attempt_id = ''")
    await table.sql("UPDATE tasks SET state = 'cancelled' WHERE id = ?", task_id)
    table.clock.ahead_s = 63 * DAY_S
    done = await gc(table)
    assert not place.exists()
    ref = next(words.rpartition(" ")[2] for words in done["removed"] if "kept as" in words)
    assert ref.startswith(f"refs/ringmaster/keep/{task_id}/1/")
    assert git("show", f"{ref}:left.txt", cwd=table.paths.repository("toy")) == "not committed"


async def test_a_place_of_no_attempt_is_left_to_a_person(table: Table):
    await table.take_on()
    task_id, workspace = await work(table)
    (workspace.parent / f"{task_id}-9").mkdir()
    table.clock.ahead_s = 31 * DAY_S
    kept = (await gc(table))["kept"]
    assert len(kept) == 1
    assert f"{task_id}-9: it is no workspace of a task" in kept[0]
