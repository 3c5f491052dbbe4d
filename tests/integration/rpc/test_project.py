"""`project.*` over the socket, with real repositories."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind
from ringmaster.workspace.ownership import Owner, claim_ownership, read_owner
from tests.fakes.house import git, make_repository
from tests.integration.rpc.harness import Table, attempt_caller


def state_of(table: Table, name: str = "toy") -> tuple[str, ...]:
    """What a person could see of the repository's state."""
    path = table.tmp_path / name
    return (git("status", "--porcelain", cwd=path), git("for-each-ref", cwd=path), (path / ".git/HEAD").read_text())


async def test_adding_marks_copies_and_stores(table: Table):
    make_repository(table.tmp_path / "Toy Box")
    project = await table.call("project.add", path=str(table.tmp_path / "Toy Box"))
    assert (project["id"], project["target"], project["state"]) == ("toy-box", "main", "active")
    assert project["config"]["update_checkout"] == "never"
    owner = read_owner(table.tmp_path / "Toy Box" / ".git")
    assert owner is not None
    assert owner.instance_id == "instance-1"
    bare = table.paths.repository("toy-box")
    assert git("cat-file", "-t", "refs/ringmaster/target/main", cwd=bare) == "commit"
    assert (await table.call("project.list"))["projects"] == [project]
    assert await table.call("project.show", id="toy") == project


async def test_a_bare_and_a_dirty_repository_are_taken_as_they_are(table: Table):
    make_repository(table.tmp_path / "toy")
    git("clone", "-q", "--bare", str(table.tmp_path / "toy"), str(table.tmp_path / "b.git"), cwd=table.tmp_path)
    assert (await table.call("project.add", path=str(table.tmp_path / "b.git")))["id"] == "b"
    (table.tmp_path / "toy" / "README").write_text("changed\n")
    (table.tmp_path / "toy" / "new").write_text("new\n")
    before = state_of(table)
    await table.call("project.add", path=str(table.tmp_path / "toy"))
    assert state_of(table) == before


@pytest.mark.parametrize("kind", ["missing", "no_git", "no_commits", "relative", "submodule", "lfs", "no_branch"])
async def test_what_cannot_be_worked_on_is_refused_in_words_and_left_alone(table: Table, kind: str):
    path = table.tmp_path / "toy"
    params: dict[str, Any] = {"path": str(path)}
    if kind == "no_git":
        path.mkdir()
    elif kind == "no_commits":
        path.mkdir()
        git("init", "-q", cwd=path)
    elif kind == "relative":
        params["path"] = "toy"
    elif kind != "missing":
        make_repository(path, {"README": "x\n", ".gitattributes": "*.bin filter=lfs\n" if kind == "lfs" else "\n"})
    if kind == "submodule":
        (path / ".gitmodules").write_text('[submodule "a"]\n\tpath = a\n\turl = b\n')
        git("add", "-A", cwd=path)
        git("commit", "-qm", "sub", cwd=path)
    if kind == "no_branch":
        params["target"] = "nowhere"
    words = {
        "missing": "is not a directory",
        "no_git": "is not a git repository",
        "no_commits": "has no commits",
        "relative": "is not an absolute path",
        "submodule": "has submodules",
        "lfs": "uses Git LFS",
        "no_branch": "has no branch 'nowhere'",
    }
    error = await table.refusal("project.add", **params)
    assert words[kind] in error.message
    assert "\n" not in error.message
    assert (await table.call("project.list"))["projects"] == []
    assert not list(table.tmp_path.glob("toy/.git/ringmaster-owner"))


async def test_another_daemons_repository_is_refused_by_name(table: Table):
    make_repository(table.tmp_path / "toy")
    other = table.tmp_path / "other-state"
    other.mkdir()
    owner = Owner("instance-2", "night", str(other))
    claim_ownership(table.tmp_path / "toy" / ".git", owner)
    error = await table.refusal("project.add", path=str(table.tmp_path / "toy"))
    assert error.kind is ErrorKind.REFUSED
    assert "'night'" in error.message
    assert read_owner(table.tmp_path / "toy" / ".git") == owner


async def test_the_same_repository_and_the_same_name_are_refused_by_name(table: Table):
    await table.take_on()
    error = await table.refusal("project.add", path=str(table.tmp_path / "toy"), id="again")
    assert error.kind is ErrorKind.CONFLICT
    assert "project toy is" in error.message
    # Still ours: the refusal took nothing away.
    assert read_owner(table.tmp_path / "toy" / ".git") is not None
    make_repository(table.tmp_path / "deep" / "toy")
    error = await table.refusal("project.add", path=str(table.tmp_path / "deep" / "toy"))
    assert "there is a project toy already" in error.message
    assert read_owner(table.tmp_path / "deep" / "toy" / ".git") is None


async def test_adding_again_under_its_key_is_answered_the_same(table: Table):
    make_repository(table.tmp_path / "toy")
    params: dict[str, Any] = {"path": str(table.tmp_path / "toy"), "idempotency_key": "k"}
    first = await table.call("project.add", **params)
    # Even when the repository has gone meanwhile: the answer is what was committed.
    shutil.rmtree(table.tmp_path / "toy")
    assert await table.call("project.add", **params) == first


async def test_a_failed_transaction_takes_the_mark_away(table: Table):
    make_repository(table.tmp_path / "toy")
    await table.sql("CREATE TRIGGER refuse BEFORE INSERT ON projects BEGIN SELECT RAISE(ABORT, 'no room for it'); END")
    await table.refusal("project.add", path=str(table.tmp_path / "toy"))
    assert read_owner(table.tmp_path / "toy" / ".git") is None


async def test_settings_are_checked_as_a_whole_and_by_name(table: Table):
    make_repository(table.tmp_path / "toy")
    path = str(table.tmp_path / "toy")
    error = await table.refusal("project.add", path=path, config={"gat": "x"})
    assert "no setting 'gat'" in error.message
    assert "gate, gate_limit_s" in error.hint
    error = await table.refusal("project.add", path=path, config={"gate_limit_s": "long"})
    assert error.message == "project setting: Expected `float`, got `str` - at `gate_limit_s`"
    assert "more than 0" in (await table.refusal("project.add", path=path, config={"gate_limit_s": 0})).message
    assert "inside the checkout" in (await table.refusal("project.add", path=path, config={"copy": ["../x"]})).message
    project = await table.call("project.add", path=path, config={"setup": ["make"], "approve": "ask"})
    assert (project["config"]["setup"], project["config"]["gate"]) == (["make"], "")


async def test_an_agent_that_is_none_is_refused(table: Table):
    await table.add_project()
    calls: tuple[tuple[str, dict[str, Any]], ...] = (("project.add", {"path": "/x"}), ("project.edit", {"id": "toy"}))
    for method, params in calls:
        error = await table.refusal(method, config={"agent": "nope"}, **params)
        assert (error.kind, "scripted, command, hand, claude, codex" in error.message) == (ErrorKind.NOT_FOUND, True)
    assert (await table.call("project.edit", id="toy", config={"agent": "codex"}))["config"]["agent"] == "codex"


async def test_editing_merges_and_tells_the_event(table: Table):
    await table.add_project(max_running=3)
    project = await table.call("project.edit", id="toy", config={"keep_days": 2})
    config = project["config"]
    assert (config["keep_days"], config["max_running"], config["gate"]) == (2, 3, "true")
    event = (await table.call("events.read"))["events"][-1]
    assert event["type"] == "project.edited"
    assert event["data"]["before"]["keep_days"] == 30
    assert (await table.refusal("project.edit", id="toy")).message == "nothing to change"


async def test_a_new_target_is_looked_up_and_refused_while_work_waits(table: Table):
    await table.take_on()
    error = await table.refusal("project.edit", id="toy", target="release")
    assert "has no branch 'release'" in error.message
    git("branch", "release", cwd=table.tmp_path / "toy")
    assert (await table.call("project.edit", id="toy", target="release"))["target"] == "release"
    bare = table.paths.repository("toy")
    assert git("cat-file", "-t", "refs/ringmaster/target/release", cwd=bare) == "commit"
    await table.sql("UPDATE projects SET parked_commit = 'abc'")
    error = await table.refusal("project.edit", id="toy", target="main")
    assert error.kind is ErrorKind.WRONG_STATE
    assert "merge --ff-only ringmaster/landed/release" in error.hint


async def test_pausing_and_resuming(table: Table):
    await table.add_project()
    await table.add_task()
    paused = await table.call("project.edit", id="toy", state="paused")
    assert (paused["state"], paused["paused_reason"]) == ("paused", "paused by a person")
    assert (await table.call("daemon.status"))["paused"][0]["project_id"] == "toy"
    assert (await table.call("project.edit", id="toy", state="active"))["state"] == "active"


async def test_removing_a_project_says_how_to_take_what_still_waits_beside_the_target(table: Table):
    await table.take_on()
    await table.sql("UPDATE projects SET parked_commit = 'abc'")
    removed = await table.call("project.remove", id="toy")
    command = f"git -C {table.tmp_path / 'toy'} merge --ff-only ringmaster/landed/main"
    assert removed["note"].endswith(f"; what landed beside main waits: {command}")


async def test_removing_keeps_history_and_frees_the_repository(table: Table):
    await table.take_on()
    id = await table.add_task()
    error = await table.refusal("project.remove", id="toy")
    assert error.kind is ErrorKind.WRONG_STATE
    assert "1 open" in error.message
    await table.call("task.cancel", id=id)
    before = state_of(table)
    removed = await table.call("project.remove", id="toy", idempotency_key="r")
    assert "kept for 30 days" in removed["note"]
    assert state_of(table) == before
    assert read_owner(table.tmp_path / "toy" / ".git") is None
    assert await table.call("project.remove", id="toy", idempotency_key="r") == removed
    assert (await table.call("project.list"))["projects"] == []
    assert (await table.call("task.list", is_all=True))["tasks"][0]["task"]["id"] == id
    assert (await table.refusal("task.add", title="x", project_id="toy")).kind is ErrorKind.NOT_FOUND
    # The name comes back with its history.
    await table.take_on()
    assert (await table.call("task.retry", id=id))["view"]["shown"] == "ready"


async def test_a_damaged_row_is_shown_paused_and_mended_by_an_edit(table: Table):
    await table.add_project("one")
    await table.add_project("two")
    await table.sql("UPDATE projects SET config = '{\"gate\": 5}' WHERE id = 'one'")
    shown = {project["id"]: project for project in (await table.call("project.list"))["projects"]}
    assert shown["one"]["paused_reason"] == "its row cannot be read (config)"
    assert shown["two"]["state"] == "active"
    mended = await table.call("project.edit", id="one", config={"gate": "make"})
    assert (mended["config"]["gate"], mended["state"]) == ("make", "active")


async def test_an_attempt_sees_its_own_project_and_changes_none(table: Table):
    await table.add_project("one")
    await table.add_project("two")
    await table.add_task(project_id="one")
    caller = attempt_caller((await table.claim()).attempt.id)
    assert [p["id"] for p in (await table.call("project.list", caller=caller))["projects"]] == ["one"]
    assert (await table.refusal("project.show", caller=caller, id="two")).kind is ErrorKind.PERMISSION
    changes: tuple[dict[str, Any], ...] = ({"gate": ""}, {"is_self": True})
    for config in changes:
        error = await table.refusal("project.edit", caller=caller, id="one", config=config)
        assert error.kind is ErrorKind.PERMISSION
