"""`daemon.*` and `rpc.discover` over the socket."""

from __future__ import annotations

import shutil
import subprocess

import msgspec

from ringmaster.model.attempt import LandingIntent
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind
from ringmaster.queue.decide import open_decision
from ringmaster.rpc.methods import METHODS
from ringmaster.store import accounts
from ringmaster.store.connection import Connection
from tests.fakes.house import git
from tests.integration.rpc.harness import NOBODY, Table, attempt_caller


async def test_status_counts_by_what_a_person_sees(table: Table):
    await table.add_project()
    running = await table.add_task("running", priority=0)
    await table.claim()
    first = await table.add_task("ready")
    await table.add_task("blocked", after=[first])
    await table.add_task("scheduled", not_before_at=table.clock() + 100)
    await table.add_task("due", not_before_at=table.clock() - 100)
    await table.add_task("draft", is_draft=True)
    asked = await table.add_task("waiting")
    await table.store.write(
        open_decision, DecisionKind.QUESTION, project_id="toy", task_id=asked, question="?", rng=table.sur.rng
    )
    gone = await table.add_task("gone")
    await table.call("task.cancel", id=gone)
    status = await table.call("daemon.status")
    counted = {name: count for name, count in status["queue"].items() if count}
    assert counted == {
        "running": 1,
        "ready": 2,
        "blocked": 1,
        "scheduled": 1,
        "waiting": 1,
        "draft": 1,
        "cancelled": 1,
    }
    assert status["workers"][0]["task_id"] == running
    assert [decision["task_id"] for decision in status["decisions"]] == [asked]
    assert (status["projects"], status["name"]) == (1, "test")
    # Nothing that comes after is missed by following from here.
    assert (await table.call("events.read", after=status["cursor"]))["events"] == []


async def test_accounts_that_rest_are_named_until_their_time_is_over(table: Table):
    soon = table.clock() + 60

    def limit(conn: Connection) -> None:
        for name, until_at in (("a", soon), ("b", None)):
            accounts.note_account(conn, id=name, agent="claude", label=f"key {name}")
            if until_at is not None:
                accounts.pause_account(conn, name, until_at=until_at, reason="the limit")

    await table.store.write(limit)
    (resting,) = (await table.call("daemon.status"))["resting"]
    assert resting == {"account": "a", "agent": "claude", "label": "key a", "until_at": soon, "reason": "the limit"}
    table.clock.ahead_s = 61
    assert (await table.call("daemon.status"))["resting"] == []


async def test_parked_work_comes_with_the_command_that_takes_it(table: Table):
    await table.add_project("my toy")
    await table.sql("UPDATE projects SET parked_commit = 'abc'")
    parked = (await table.call("daemon.status"))["parked"][0]
    path = table.tmp_path / "my toy"
    assert parked["command"] == f"git -C '{path}' merge --ff-only ringmaster/landed/main"


async def _park(table: Table) -> str:
    """A project on a real repository, whose one task has landed beside the target. Returns the task's id."""
    await table.take_on()
    repository = table.tmp_path / "toy"
    git("checkout", "-q", "-b", "ringmaster/landed/main", cwd=repository)
    git("commit", "-q", "--allow-empty", "-m", "Landed", cwd=repository)
    landed = git("rev-parse", "HEAD", cwd=repository)
    git("checkout", "-q", "main", cwd=repository)
    await table.sql("UPDATE projects SET parked_commit = ?", landed)
    task_id = await table.add_task()
    await table.claim()
    intent = LandingIntent(ref="refs/heads/ringmaster/landed/main", old=landed, new=landed, is_parked=True)
    await table.sql(
        "UPDATE attempts SET state = 'ended', outcome = 'succeeded', ended_at = 1.0, landing = ?",
        msgspec.json.encode(intent).decode(),
    )
    await table.sql("UPDATE tasks SET state = 'done', done_by = 'landed', landed_commit = ?", landed)
    return task_id


async def test_parked_work_waits_no_longer_once_the_user_has_run_the_command(table: Table):
    await _park(table)
    (parked,) = (await table.call("daemon.status"))["parked"]
    subprocess.run(parked["command"], shell=True, check=True, capture_output=True)
    assert (await table.call("daemon.status"))["parked"] == []
    assert git("branch", "--list", "ringmaster/*", cwd=table.tmp_path / "toy") == ""
    told = await table.call("events.read", after=0)
    assert [event["type"] for event in told["events"]][-1] == "project.unparked"


async def test_a_task_is_parked_no_longer_once_the_user_has_its_work(table: Table):
    task_id = await _park(table)
    assert (await table.call("task.show", id=task_id))["view"]["is_parked"]
    git("merge", "-q", "--ff-only", "ringmaster/landed/main", cwd=table.tmp_path / "toy")
    assert not (await table.call("task.show", id=task_id))["view"]["is_parked"]


async def test_a_list_says_that_work_is_parked_only_until_the_user_has_it(table: Table):
    task_id = await _park(table)
    (view,) = (await table.call("task.list", state=["done"]))["tasks"]
    assert (view["task"]["id"], view["is_parked"]) == (task_id, True)
    git("merge", "-q", "--ff-only", "ringmaster/landed/main", cwd=table.tmp_path / "toy")
    (view,) = (await table.call("task.list", is_all=True))["tasks"]
    assert (view["task"]["id"], view["is_parked"]) == (task_id, False)


async def test_a_parked_repository_that_is_gone_still_gets_an_answer(table: Table):
    await _park(table)
    shutil.rmtree(table.tmp_path / "toy")
    assert len((await table.call("daemon.status"))["parked"]) == 1


async def test_why_work_is_parked_names_the_setting_where_that_is_why(table: Table):
    await table.add_project("never")
    await table.add_project("clean", update_checkout="clean")
    await table.sql("UPDATE projects SET parked_commit = 'abc'")
    parked = (await table.call("daemon.status"))["parked"]
    reasons = {view["project_id"]: view["reason"] for view in parked}
    assert reasons["never"] == "main is checked out, and the project's update_checkout is never"
    assert reasons["clean"] == "main cannot be moved now: its checkout has changes or git is at work in it"


async def test_health_and_version_are_for_anyone_and_status_is_not(table: Table):
    assert (await table.call("daemon.health", caller=NOBODY))["state"] == "ok"
    version = await table.call("daemon.version", caller=NOBODY)
    assert version["schema"] >= 2
    assert version["git"][0].isdigit()
    assert version["sqlite"].startswith("3.")
    error = await table.refusal("daemon.status", caller=NOBODY)
    assert error.kind is ErrorKind.PERMISSION
    await table.add_project()
    await table.add_task()
    caller = attempt_caller((await table.claim()).attempt.id)
    assert (await table.refusal("daemon.status", caller=caller)).kind is ErrorKind.PERMISSION
    assert (await table.refusal("daemon.stop", caller=caller)).kind is ErrorKind.PERMISSION
    assert table.stops == []


async def test_stopping_is_noted_and_then_asked_for(table: Table):
    await table.add_project()
    await table.add_task()
    await table.claim()
    assert (await table.call("daemon.stop", mode="abort"))["live_attempts"] == 1
    assert table.stops == ["abort"]
    assert (await table.call("events.read"))["events"][-1]["type"] == "daemon.stop_requested"
    assert "Invalid enum value" in (await table.refusal("daemon.stop", mode="now")).message


async def test_keeping_twice_changes_nothing(table: Table):
    assert (await table.call("daemon.keep"))["was_kept"] is False
    assert (await table.call("daemon.keep"))["was_kept"] is True


async def test_the_settings_file_is_read_anew_and_judged(table: Table):
    assert "no file" in (await table.call("daemon.config_check"))["words"]
    table.paths.config.write_text("[limits]\nwall_s = -1\n")
    checked = await table.call("daemon.config_check")
    assert not checked["is_valid"]
    assert "wall_s" in checked["words"]
    table.paths.config.write_text("[limits]\nwall_s = 5\n")
    checked = await table.call("daemon.config_check")
    assert (checked["is_valid"], "SIGHUP" in checked["words"]) == (True, True)
    # What it does not take over while it runs: a signal would change nothing.
    table.paths.config.write_text("[limits]\nmax_attempts = 3\n[daemon]\nreserve_bytes = 4096\n")
    checked = await table.call("daemon.config_check")
    assert (checked["is_valid"], "restart it" in checked["words"]) == (True, True)


async def test_discover_describes_every_method(table: Table):
    document = await table.call("rpc.discover", caller=NOBODY)
    assert {method["name"] for method in document["methods"]} == {method.name for method in METHODS} | {"rpc.discover"}
