"""The target moves by compare-and-swap or the work is parked; the user's checkout is not disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.model.errors import RingmasterError
from ringmaster.workspace.collect import collect
from ringmaster.workspace.git import GitError
from ringmaster.workspace.landing import (
    Blocked,
    Diverged,
    Landed,
    Move,
    Parked,
    TargetMoved,
    describe_move,
    land,
    park,
    try_unpark,
    where_landed,
)
from ringmaster.workspace.obstacles import UpdateCheckout
from ringmaster.workspace.repository import TipState, ensure_repository, fetch_target, tip_for
from ringmaster.workspace.user_repository import inspect_user_repository
from tests.unit.workspace.repositories import Repository, Setting, bytes_of, make_setting

CLEAN, NEVER = UpdateCheckout.CLEAN, UpdateCheckout.NEVER
PARKED = "ringmaster/landed/main"


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    setting = await make_setting(tmp_path)
    await setting.start_attempt()
    return setting


async def work(setting: Setting, files: dict[str, str] | None = None) -> str:
    """A commit on top of the base in the daemon's repository."""
    setting.workspace.commit(files or {"work": "done\n"})
    collected = await collect(setting.bare, setting.workspace.path, "t/1", setting.base, "ringmaster/t/1", "m")
    return collected.head


async def land_it(
    setting: Setting, new: str, update: UpdateCheckout = CLEAN
) -> Landed | Parked | TargetMoved | Blocked:
    return await land(setting.bare, setting.inspected, "main", setting.base, new, update)


async def expect_parked(setting: Setting, update: UpdateCheckout = CLEAN) -> Parked:
    """Land, and hold that the user's checkout and branches are byte for byte as they were."""
    new = await work(setting)
    before = bytes_of(setting.user.path, is_with_refs=False)
    done = await land_it(setting, new, update)
    assert isinstance(done, Parked), done
    assert bytes_of(setting.user.path, is_with_refs=False) == before
    assert setting.user.at(PARKED) == new
    assert await where_landed(setting.bare, setting.inspected, "main", new) is not None
    return done


async def test_a_clean_checkout_of_the_target_is_fast_forwarded(setting: Setting) -> None:
    new = await work(setting)
    assert await land_it(setting, new) == Landed("refs/heads/main", new)
    assert setting.user.at("main") == new
    assert (setting.user.path / "work").read_text() == "done\n"
    assert setting.user.git("status", "--porcelain") == ""
    assert await land_it(setting, new) == Landed("refs/heads/main", new), "landing twice is not landing once"


async def test_untracked_files_of_the_user_are_no_obstacle(setting: Setting) -> None:
    setting.user.write({"notes": "mine", "x.log": "ignored"})
    assert isinstance(await land_it(setting, await work(setting)), Landed)
    assert (setting.user.path / "notes").read_text() == "mine"


async def test_on_another_branch_only_the_ref_moves(setting: Setting) -> None:
    user = setting.user
    user.git("checkout", "-q", "-b", "other")
    user.write({"README": "dirty\n"})
    new = await work(setting)
    before = bytes_of(user.path)
    assert await land_it(setting, new, NEVER) == Landed("refs/heads/main", new)
    changed = {name for name, value in bytes_of(user.path).items() if before.get(name) != value}
    assert changed <= {".git/refs/heads/main", ".git/logs/refs/heads/main"}


async def test_a_detached_head_leaves_the_target_free(setting: Setting) -> None:
    setting.user.git("checkout", "-q", "--detach")
    assert isinstance(await land_it(setting, await work(setting), NEVER), Landed)
    assert setting.user.at("HEAD") == setting.base


async def test_a_bare_repository_lands(setting: Setting, tmp_path: Path) -> None:
    setting.user.git("clone", "-q", "--bare", ".", str(tmp_path / "hub.git"))
    hub = await inspect_user_repository(tmp_path / "hub.git")
    new = await work(setting)
    assert await land(setting.bare, hub, "main", setting.base, new, NEVER) == Landed("refs/heads/main", new)


async def test_a_shallow_repository_lands(setting: Setting, tmp_path: Path) -> None:
    setting.user.commit({"second": "2"})
    setting.user.git("clone", "-q", "--depth=1", f"file://{setting.user.path}", str(tmp_path / "shallow"))
    shallow = await make_setting_from(tmp_path, tmp_path / "shallow")
    new = await work(shallow)
    assert isinstance(await land_it(shallow, new), Landed)
    assert shallow.user.git("status", "--porcelain") == ""


async def test_a_repository_of_sha256_objects_lands(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    user = Repository(tmp_path / "long")
    user.git("init", "-q", "-b", "main", "--object-format=sha256")
    user.commit({"README": "hello\n"})
    setting = await make_setting_from(tmp_path, user.path)
    new = await work(setting)
    assert len(new) == 64
    assert isinstance(await land_it(setting, new), Landed)


async def make_setting_from(root: Path, path: Path) -> Setting:
    inspected = await inspect_user_repository(path)
    setting = Setting(Repository(path), inspected, root / "again")
    await ensure_repository(setting.bare, inspected)
    await setting.start_attempt()
    return setting


async def test_a_linked_work_tree_on_the_target_is_fast_forwarded(setting: Setting, tmp_path: Path) -> None:
    setting.user.git("checkout", "-q", "-b", "other")
    setting.user.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    new = await work(setting)
    assert isinstance(await land_it(setting, new), Landed)
    assert (tmp_path / "linked" / "work").exists()
    assert Repository(tmp_path / "linked").git("status", "--porcelain") == ""


async def test_a_checkout_that_is_never_to_be_updated_parks(setting: Setting) -> None:
    done = await expect_parked(setting, NEVER)
    assert "never to update" in done.reason
    assert done.command == f"git -C {setting.user.path} merge --ff-only {PARKED}"
    setting.user.git(*done.command.split()[3:])
    assert setting.user.at("main") == done.commit


@pytest.mark.parametrize("is_staged", [False, True])
async def test_a_dirty_checkout_parks(setting: Setting, is_staged: bool) -> None:
    setting.user.write({"README": "mine\n"})
    if is_staged:
        setting.user.git("add", "README")
    assert "uncommitted changes (README)" in (await expect_parked(setting)).reason


async def test_an_untracked_or_ignored_file_in_the_way_parks(setting: Setting) -> None:
    setting.user.write({"taken.log": "precious, ignored"})
    new = await work(setting, {"other": "1", ".gitignore": "", "taken.log": "agent's"})
    before = bytes_of(setting.user.path, is_with_refs=False)
    done = await land_it(setting, new)
    assert isinstance(done, Parked)
    assert "taken.log" in done.reason
    assert bytes_of(setting.user.path, is_with_refs=False) == before


async def test_a_rebase_of_the_target_parks(setting: Setting) -> None:
    user = setting.user
    user.git("checkout", "-q", "-b", "upstream")
    user.commit({"README": "upstream\n"})
    user.git("checkout", "-q", "main")
    user.commit({"README": "mine\n"})
    setting.base = await fetch_target(setting.bare, setting.inspected, "main")
    setting.workspace.git("fetch", "-q", str(setting.bare), "refs/ringmaster/target/main")
    setting.workspace.git("reset", "-q", "--hard", setting.base)
    user.git("rebase", "upstream", is_checked=False)
    assert (user.path / ".git" / "rebase-merge").is_dir()
    assert "rebase of 'main'" in (await expect_parked(setting)).reason


async def test_a_bisect_from_the_target_parks(setting: Setting) -> None:
    setting.user.git("bisect", "start")
    setting.user.git("checkout", "-q", "--detach")
    assert "bisect of 'main'" in (await expect_parked(setting)).reason


async def test_a_merge_or_a_lock_in_the_checkout_parks(setting: Setting) -> None:
    user = setting.user
    lock = user.path / ".git" / "index.lock"
    lock.write_text("")
    assert "index.lock" in (await expect_parked(setting)).reason
    lock.unlink()
    user.git("branch", "-D", PARKED)
    (user.path / ".git" / "CHERRY_PICK_HEAD").write_text(f"{setting.base}\n")
    done = await land_it(setting, setting.workspace.at("HEAD"))
    assert isinstance(done, Parked)
    assert "cherry-pick" in done.reason


@pytest.mark.parametrize("name", ["HEAD.lock", "refs/heads/main.lock"])
async def test_a_locked_ref_parks_and_the_files_stay_as_they_are(setting: Setting, name: str) -> None:
    (setting.user.path / ".git" / name).write_text("")
    assert Path(name).name in (await expect_parked(setting)).reason
    assert setting.user.git("status", "--porcelain") == ""


async def test_hooks_of_the_user_are_not_run(setting: Setting, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for name in ("pre-receive", "update", "post-receive", "post-update", "push-to-checkout", "reference-transaction"):
        hook = setting.user.path / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {mark}\nexit 1\n")
        hook.chmod(0o755)
    assert isinstance(await land_it(setting, await work(setting)), Landed)
    assert not mark.exists()


async def test_a_target_that_moved_is_named_and_nothing_is_done(setting: Setting) -> None:
    new = await work(setting)
    moved = setting.user.commit({"mine": "1"})
    before = bytes_of(setting.user.path)
    assert await land_it(setting, new) == TargetMoved("refs/heads/main", moved)
    assert bytes_of(setting.user.path) == before
    assert await where_landed(setting.bare, setting.inspected, "main", new) is None


async def test_what_became_of_a_moved_target_is_named(setting: Setting) -> None:
    user, inspected = setting.user, setting.inspected

    async def move(actual: str | None) -> Move:
        return await describe_move(setting.bare, inspected, setting.base, actual)

    assert await move(setting.base) is Move.SAME
    forward = user.commit({"mine": "1"})
    assert await move(forward) is Move.FORWARD
    assert await describe_move(setting.bare, inspected, forward, setting.base) is Move.BACKWARD
    user.git("checkout", "-q", "-b", "side", setting.base)
    side = user.commit({"side": "1"})
    assert await describe_move(setting.bare, inspected, forward, side) is Move.REWRITTEN
    user.git("checkout", "-q", "--orphan", "alone")
    assert await move(user.commit({"alone": "1"})) is Move.UNRELATED
    assert await move(None) is Move.DELETED


async def test_a_deleted_target_is_named(setting: Setting) -> None:
    new = await work(setting)
    setting.user.git("checkout", "-q", "--detach")
    setting.user.git("branch", "-D", "main")
    assert await land_it(setting, new) == TargetMoved("refs/heads/main", None)
    with pytest.raises(RingmasterError, match="no branch 'main'"):
        await try_unpark(setting.bare, setting.inspected, "main", CLEAN)


async def test_a_landing_that_would_lose_commits_is_refused(setting: Setting) -> None:
    new = await work(setting)
    other = setting.user.commit({"mine": "1"})
    await fetch_target(setting.bare, setting.inspected, "main")
    with pytest.raises(GitError, match="does not contain"):
        await land(setting.bare, setting.inspected, "main", other, new, CLEAN)


async def test_landings_stack_on_the_parked_branch_until_the_target_can_take_them(setting: Setting) -> None:
    user, inspected, bare = setting.user, setting.inspected, setting.bare
    user.write({"README": "mine\n"})
    first = await work(setting, {"one": "1"})
    assert isinstance(await land_it(setting, first), Parked)
    tip = await tip_for(bare, inspected, "main")
    assert (tip.commit, tip.state) == (first, TipState.PARKED)
    second = await work(setting, {"two": "2"})
    done = await land(bare, inspected, "main", tip.target, second, CLEAN)
    assert isinstance(done, Parked)
    assert user.at(PARKED) == second
    still = await try_unpark(bare, inspected, "main", CLEAN)
    assert isinstance(still, Parked)
    user.git("checkout", "-q", "README")
    assert await try_unpark(bare, inspected, "main", CLEAN) == Landed("refs/heads/main", second)
    assert user.git("status", "--porcelain") == ""
    assert not user.has(PARKED)
    assert await try_unpark(bare, inspected, "main", CLEAN) is None


async def test_a_target_that_went_its_own_way_has_diverged(setting: Setting) -> None:
    user, inspected, bare = setting.user, setting.inspected, setting.bare
    parked = (await expect_parked(setting, NEVER)).commit
    mine = user.commit({"mine": "1"})
    assert await try_unpark(bare, inspected, "main", NEVER) == Diverged(mine, parked)
    user.git("merge", "-q", "--no-edit", PARKED)
    assert await try_unpark(bare, inspected, "main", NEVER) is None
    assert not user.has(PARKED)
    assert await where_landed(bare, inspected, "main", parked) == Landed("refs/heads/main", parked)


async def test_the_parked_branch_loses_nothing(setting: Setting) -> None:
    user, inspected, bare = setting.user, setting.inspected, setting.bare
    new = await work(setting)
    user.git("checkout", "-q", "-b", PARKED)
    other = user.commit({"other": "1"})
    user.git("checkout", "-q", "main")
    await tip_for(bare, inspected, "main")
    assert await park(bare, inspected, "main", new, "why", NEVER) == TargetMoved(f"refs/heads/{PARKED}", other)
    assert user.at(PARKED) == other


async def test_a_parked_branch_in_use_or_a_name_in_its_way_blocks(setting: Setting) -> None:
    user, inspected, bare = setting.user, setting.inspected, setting.bare
    new = await work(setting)
    user.git("checkout", "-q", "-b", PARKED)
    before = bytes_of(user.path)
    blocked = await park(bare, inspected, "main", new, "why", NEVER)
    assert isinstance(blocked, Blocked)
    assert PARKED in blocked.reason
    assert bytes_of(user.path) == before
    user.git("checkout", "-q", "main")
    user.git("branch", "-D", PARKED)
    user.git("branch", "ringmaster")
    blocked = await park(bare, inspected, "main", new, "why", NEVER)
    assert isinstance(blocked, Blocked)
    assert "rename" in blocked.hint


async def test_what_landed_is_found_after_the_user_went_on(setting: Setting) -> None:
    new = await work(setting)
    await land_it(setting, new)
    setting.user.commit({"on": "top"})
    assert await where_landed(setting.bare, setting.inspected, "main", new) == Landed("refs/heads/main", new)
