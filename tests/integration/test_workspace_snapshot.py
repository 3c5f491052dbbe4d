"""Nothing of a workspace is destroyed before it is kept; what was kept long enough goes, in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringmaster.model.errors import RingmasterError
from ringmaster.workspace.collect import collect
from ringmaster.workspace.gc import collect_garbage
from ringmaster.workspace.repository import fetch_target
from ringmaster.workspace.snapshot import remove_workspace, take_snapshot
from ringmaster.workspace.workspaces import next_branch
from tests.unit.workspace.repositories import Setting, make_repository, make_setting

NOW = 1_800_000_000.0
DAY_S = 86_400.0


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    setting = await make_setting(tmp_path)
    await setting.start_attempt()
    return setting


async def test_everything_an_agent_wrote_is_kept(setting: Setting) -> None:
    agent, own = setting.workspace, setting.own
    lost = agent.commit({"reset": "away"})
    agent.git("reset", "-q", "--hard", setting.base)
    agent.git("checkout", "-q", "-b", "side")
    side = agent.commit({"side": "1"})
    agent.git("tag", "-a", "mark", "-m", "tagged")
    tag = agent.git("rev-parse", "mark")
    agent.git("checkout", "-q", "ringmaster/t/1")
    stashes = []
    for word in ("one", "two"):
        agent.write({"README": f"{word}\n"})
        agent.git("stash")
        stashes.append(agent.at("stash@{0}"))
    agent.write({"README": "edited\n", "loose": "u", "noise.log": "ignored", "kept.log": "staged"})
    agent.git("add", "-f", "kept.log")
    inner = make_repository(agent.path / "inner")
    inner.write({"uncommitted": "i"})
    snapshot = await take_snapshot(setting.bare, agent.path, "t/1", NOW)
    assert snapshot.unkept == ()
    for id in (lost, side, tag, *stashes):
        assert own.has(f"refs/ringmaster/keep/t/1/commits/{id}"), id
    files = set(own.files(snapshot.commit))
    assert {"README", "loose", "kept.log", "src/app.py", "inner/README", "inner/uncommitted"} <= files
    assert {"inner/dot-git/HEAD", "inner/dot-git/refs/heads/main"} <= files
    assert "noise.log" not in files
    assert own.show(snapshot.commit, "README") == "edited"
    assert f"{side} refs/heads/side" in own.git("log", "-1", "--format=%B", snapshot.commit)
    assert (await take_snapshot(setting.bare, agent.path, "t/1", NOW + 5)) == snapshot
    agent.write({"later": "1"})
    assert (await take_snapshot(setting.bare, agent.path, "t/1", NOW)).ref != snapshot.ref


async def test_a_workspace_goes_only_after_its_snapshot(setting: Setting) -> None:
    agent = setting.workspace
    agent.write({"huge": b"0" * 2000, "sub/file": "s"})
    partial = await take_snapshot(setting.bare, agent.path, "t/1", NOW, max_file_bytes=1000)
    assert partial.unkept == ("huge is too large",)
    with pytest.raises(RingmasterError, match="huge is too large"):
        await remove_workspace(setting.bare, agent.path, partial)
    assert (agent.path / "huge").exists()
    whole = await take_snapshot(setting.bare, agent.path, "t/1", NOW)
    setting.own.git("update-ref", "-d", whole.ref)
    with pytest.raises(RingmasterError, match="snapshot is gone"):
        await remove_workspace(setting.bare, agent.path, whole)
    whole = await take_snapshot(setting.bare, agent.path, "t/1", NOW)
    (agent.path / "sub").chmod(0o500)
    await remove_workspace(setting.bare, agent.path, whole)
    await remove_workspace(setting.bare, agent.path, whole)
    assert os.listdir(agent.path.parent) == []
    assert len(setting.own.show(whole.commit, "huge")) == 2000


async def test_a_ref_that_cannot_be_read_stops_the_removal(setting: Setting) -> None:
    agent = setting.workspace
    agent.git("checkout", "-q", "-b", "side")
    side = agent.commit({"side": "1"})
    whole = agent.commit({"other": "1"}, "on top")
    agent.git("checkout", "-q", "ringmaster/t/1")
    good = agent.commit({"good": "1"})
    (agent.path / ".git" / "objects" / side[:2] / side[2:]).unlink()
    snapshot = await take_snapshot(setting.bare, agent.path, "t/1", NOW)
    assert snapshot.unkept == (f"refs/heads/side ({whole[:12]}) cannot be read",)
    assert setting.own.has(f"refs/ringmaster/keep/t/1/commits/{good}"), "one broken ref lost the others"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
async def test_unreadable_files_stop_the_removal(setting: Setting) -> None:
    agent = setting.workspace
    agent.write({"closed": "x", "shut/in": "x"})
    (agent.path / "closed").chmod(0)
    (agent.path / "shut").chmod(0)
    snapshot = await take_snapshot(setting.bare, agent.path, "t/1", NOW)
    (agent.path / "shut").chmod(0o700)
    assert any("closed" in line for line in snapshot.unkept)
    assert any("shut" in line for line in snapshot.unkept)


async def test_kept_refs_go_after_keep_days_and_objects_after_the_last_workspace(setting: Setting) -> None:
    agent, own, bare = setting.workspace, setting.own, setting.bare
    agent.write({"precious": "p"})
    collected = await collect(bare, agent.path, "t/1", setting.base, "ringmaster/t/1", "m", at=NOW)
    snapshot = await take_snapshot(bare, agent.path, "t/1", NOW)
    await next_branch(bare, agent.path, "t/2", setting.base, "ringmaster/t/2")
    late = NOW + 31 * DAY_S
    upkeep = await collect_garbage(bare, {"t/1", "t/2"}, True, 30, late)
    assert (upkeep.expired, upkeep.is_pruned) == ((), False)
    await remove_workspace(bare, agent.path, await take_snapshot(bare, agent.path, "t/2", late))
    assert (await collect_garbage(bare, set(), False, 30, NOW + 29 * DAY_S)).expired == ()
    assert own.has(snapshot.ref)
    planned = await collect_garbage(bare, set(), False, 30, late, is_dry_run=True)
    assert planned.expired == ("t/1",)
    assert own.has(snapshot.ref), "a dry run removed something"
    upkeep = await collect_garbage(bare, set(), False, 30, late)
    assert (upkeep.expired, upkeep.kept, upkeep.is_pruned) == (("t/1",), ("t/2",), True)
    assert not own.has(collected.head)
    assert own.has(setting.base)
    assert own.git("fsck", "--no-dangling") == ""


async def test_upkeep_takes_nothing_a_living_workspace_borrows(setting: Setting) -> None:
    agent, own, user = setting.workspace, setting.own, setting.user
    # A blob that only an unreachable commit of the daemon's repository has: the agent writes the same.
    stray = own.git("hash-object", "-w", str(user.path / ".git" / "config"))
    agent.write({"same": (user.path / ".git" / "config").read_bytes()})
    agent.git("add", "-A")
    assert not (agent.path / ".git" / "objects" / stray[:2] / stray[2:]).exists()
    user.git("commit", "-q", "--amend", "-m", "rewritten")
    await fetch_target(setting.bare, setting.inspected, "main")
    await collect_garbage(setting.bare, set(), True, 0, NOW * 2)
    agent.git("commit", "-q", "-m", "borrowing")
    agent.git("gc", "-q", "--prune=now")
    assert agent.git("fsck", "--no-dangling") == ""
