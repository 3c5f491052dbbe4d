"""What a user may register, and in which words the rest is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.workspace.git import GitError, user_environment
from ringmaster.workspace.ownership import Owner, claim_ownership, read_owner, release_ownership
from ringmaster.workspace.repository import TipState, ensure_repository, fetch_target, tip_for
from ringmaster.workspace.user_repository import file_system_type, inspect_user_repository, refuse_network_file_system
from tests.unit.workspace.repositories import Repository, bytes_of, make_repository, make_setting


async def refusal(path: Path, target: str | None = None) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        await inspect_user_repository(path, target)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


async def test_a_plain_repository_lands_on_the_branch_it_is_on(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    before = bytes_of(user.path)
    found = await inspect_user_repository(user.path / "src")
    assert (found.path, found.target, found.head, found.is_bare) == (user.path, "main", "main", False)
    assert found.target_commit == user.at("main")
    assert bytes_of(user.path) == before


async def test_a_repository_of_another_user_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_repository(tmp_path / "user")
    # Git's own switch for this: a test may not be allowed to give a file away.
    environment = user_environment() | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    monkeypatch.setattr("ringmaster.workspace.git.user_environment", lambda: environment)
    refused = await refusal(user.path)
    assert (refused.kind, refused.message) == (
        ErrorKind.PERMISSION,
        f"{user.path} belongs to another user, and git does not work in it",
    )


async def test_a_bare_repository_works(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    user.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    found = await inspect_user_repository(tmp_path / "bare.git")
    assert found.is_bare
    assert found.target == "main"


async def test_a_linked_work_tree_shares_the_main_ones_directory(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    user.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    found = await inspect_user_repository(tmp_path / "side")
    assert (found.target, found.common_dir) == ("side", user.path / ".git")


async def test_a_detached_head_falls_back_to_main_or_asks(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    user.git("checkout", "-q", "--detach")
    assert (await inspect_user_repository(user.path)).target == "main"
    user.git("branch", "-m", "main", "trunk")
    assert "detached" in (await refusal(user.path)).message
    assert (await inspect_user_repository(user.path, "trunk")).head is None


async def test_what_is_no_repository_with_commits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert "not a git repository" in (await refusal(tmp_path / "plain")).message
    assert (await refusal(tmp_path / "nowhere")).kind is ErrorKind.NOT_FOUND
    Repository(tmp_path).git("init", "-q", "empty")
    assert "has no commits" in (await refusal(tmp_path / "empty")).message


async def test_a_missing_target_is_named(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    assert "no branch 'nope'" in (await refusal(user.path, "nope")).message


async def test_what_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    source = f"file://{user.path}"
    user.git("config", "uploadpack.allowFilter", "true")
    user.git("clone", "-q", "--filter=blob:none", source, str(tmp_path / "partial"))
    assert "partial clone" in (await refusal(tmp_path / "partial")).message
    modules = make_repository(tmp_path / "modules")
    modules.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(user.path), "sub")
    modules.commit({})
    assert "submodules" in (await refusal(modules.path)).message
    lfs = make_repository(tmp_path / "lfs")
    lfs.commit({"deep/er/.gitattributes": "*.bin filter=lfs diff=lfs\n"})
    assert "LFS" in (await refusal(lfs.path)).message


def test_the_longest_mount_point_names_the_file_system() -> None:
    mounts = "a / ext4 rw 0 0\nb /home nfs4 rw 0 0\nc /home/me/my\\040disk btrfs rw 0 0\n"
    assert file_system_type(Path("/home/me/x"), mounts) == "nfs4"
    assert file_system_type(Path("/home/me/my disk/x"), mounts) == "btrfs"
    assert file_system_type(Path("/homes"), mounts) == "ext4"
    with pytest.raises(RingmasterError, match="network file system"):
        refuse_network_file_system(Path("/home/nobody-at-all"), mounts)
    refuse_network_file_system(Path("/srv"), mounts)


def test_one_instance_owns_a_repository(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    common = user.path / ".git"
    one = Owner("id-1", "default", str(tmp_path / "one"))
    two = Owner("id-2", "selfhost", str(tmp_path / "two"))
    (tmp_path / "one").mkdir()
    claim_ownership(common, one)
    claim_ownership(common, one)
    with pytest.raises(RingmasterError, match="instance 'default'"):
        claim_ownership(common, two)
    assert not release_ownership(common, "id-2")
    shutil.rmtree(tmp_path / "one")
    claim_ownership(common, two)
    assert read_owner(common) == two
    assert release_ownership(common, "id-2")
    assert read_owner(common) is None
    (common / "ringmaster-owner").write_bytes(b"\xff torn")
    claim_ownership(common, one)
    assert read_owner(common) == one


def test_a_state_that_began_anew_takes_on_the_repositories_it_had(tmp_path: Path) -> None:
    """After its database was lost: one daemon alone can hold a state, so nobody else can be at work on them."""
    common = make_repository(tmp_path / "repo").path / ".git"
    state = tmp_path / "state"
    state.mkdir()
    claim_ownership(common, Owner("before", "default", str(state)))
    now = Owner("since", "default", str(state))
    claim_ownership(common, now)
    assert read_owner(common) == now


async def test_the_daemons_repository_shares_nothing_and_survives_a_kill_while_cloning(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    assert not (setting.bare / "objects" / "info" / "alternates").exists()
    links = [path for path in (setting.bare / "objects").rglob("*") if path.is_file() and path.stat().st_nlink > 1]
    assert links == []
    assert setting.own.git("config", "gc.auto") == "0"
    # What a kill in the middle leaves.
    setting.bare.rename(setting.bare.with_name("p.git.cloning"))
    (setting.bare.with_name("p.git.cloning") / "HEAD").unlink()
    await ensure_repository(setting.bare, setting.inspected)
    await ensure_repository(setting.bare, setting.inspected)
    assert setting.own.at("refs/ringmaster/target/main") == setting.base
    assert not setting.bare.with_name("p.git.cloning").exists()


async def test_a_damaged_copy_is_named_and_made_anew_once_it_is_moved_away(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    (setting.bare / "objects").rename(tmp_path / "objects")
    with pytest.raises(GitError) as told:
        await ensure_repository(setting.bare, setting.inspected)
    assert f"the daemon's copy {setting.bare} is damaged: move it away" in told.value.message
    setting.bare.rename(tmp_path / "away.git")
    await ensure_repository(setting.bare, setting.inspected)
    assert setting.own.at("refs/ringmaster/target/main") == setting.base


async def test_a_shallow_repository_works(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "user")
    for number in range(3):
        user.commit({"n": str(number)})
    user.git("clone", "-q", "--depth=1", f"file://{user.path}", str(tmp_path / "shallow"))
    found = await inspect_user_repository(tmp_path / "shallow")
    assert found.is_shallow
    await ensure_repository(tmp_path / "bare.git", found)
    assert await fetch_target(tmp_path / "bare.git", found, "main") == user.at("main")


async def test_the_target_is_followed_wherever_it_goes(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    bare, user, inspected = setting.bare, setting.user, setting.inspected
    forward = user.commit({"new": "1"})
    assert await fetch_target(bare, inspected, "main") == forward
    user.git("checkout", "-q", "--detach")
    user.git("commit", "-q", "--amend", "-m", "rewritten")
    user.git("branch", "-f", "main", "HEAD")
    assert await fetch_target(bare, inspected, "main") == user.at("main") != forward
    user.git("checkout", "-q", "--orphan", "other")
    user.commit({"alone": "1"})
    user.git("branch", "-f", "main", "HEAD")
    assert await fetch_target(bare, inspected, "main") == user.at("main")
    user.git("branch", "-D", "main")
    with pytest.raises(RingmasterError, match="no branch 'main'"):
        await fetch_target(bare, inspected, "main")


async def test_the_parked_branch_is_the_tip_while_it_contains_the_target(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    bare, user, inspected = setting.bare, setting.user, setting.inspected
    assert (await tip_for(bare, inspected, "main")).state is TipState.TARGET
    user.git("checkout", "-q", "-b", "ringmaster/landed/main")
    parked = user.commit({"parked": "1"})
    user.git("checkout", "-q", "main")
    tip = await tip_for(bare, inspected, "main")
    assert (tip.commit, tip.state) == (parked, TipState.PARKED)
    moved = user.commit({"mine": "1"})
    tip = await tip_for(bare, inspected, "main")
    assert (tip.commit, tip.parked, tip.state) == (moved, parked, TipState.DIVERGED)
    user.git("merge", "-q", "--no-edit", "ringmaster/landed/main")
    tip = await tip_for(bare, inspected, "main")
    assert (tip.commit, tip.state) == (user.at("main"), TipState.TARGET)
    user.git("branch", "-D", "ringmaster/landed/main")
    assert (await tip_for(bare, inspected, "main")).parked is None


async def test_many_attempts_may_look_at_the_target_at_once(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    found = []

    async def look() -> None:
        found.append(await fetch_target(setting.bare, setting.inspected, "main"))

    for number in range(3):
        moved = setting.user.commit({"n": str(number)})
        setting.user.git("branch", "-f", "ringmaster/landed/main", moved)
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(look)
        assert found[-8:] == [moved] * 8
