"""An attempt's work comes out of its workspace whole, whatever the agent did to the workspace's git."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ringmaster.model.errors import RingmasterError
from ringmaster.workspace.collect import Collected, ProblemKind, collect
from ringmaster.workspace.diff import diff_text, is_same_tree, read_files
from ringmaster.workspace.gc import collect_garbage
from ringmaster.workspace.repository import ensure_repository, fetch_target
from ringmaster.workspace.workspaces import copy_files, create_workspace, is_on_branch, next_branch
from tests.unit.workspace.repositories import Repository, Setting, make_repository, make_setting

BRANCH = "ringmaster/t/1"


async def collect_first(setting: Setting, **options: object) -> Collected:
    return await collect(
        setting.bare,
        setting.workspace.path,
        "t/1",
        setting.base,
        BRANCH,
        "leftovers",
        at=1e9,
        **options,  # type: ignore[arg-type]
    )


def kinds(collected: Collected) -> list[ProblemKind]:
    return [problem.kind for problem in collected.problems]


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    setting = await make_setting(tmp_path)
    await setting.start_attempt()
    return setting


async def test_a_workspace_has_no_way_to_the_users_repository(setting: Setting) -> None:
    agent = setting.workspace
    assert agent.git("remote") == ""
    assert is_on_branch(agent.path, BRANCH)
    assert agent.git("status", "--porcelain") == ""
    assert str(setting.user.path) not in (agent.path / ".git" / "config").read_text()
    agent.write({"work": "1"})
    await setting.start_attempt()
    assert (agent.path / "work").exists(), "a second call destroyed work"


async def test_commits_and_leftovers_come_over(setting: Setting) -> None:
    agent = setting.workspace
    first = agent.commit({"a.py": "a = 1\n"}, "mine")
    agent.write({"README": "hello\nmore\n", "new file": "x", "noise.log": "ignored"})
    (agent.path / "src" / "app.py").unlink()
    collected = await collect_first(setting)
    assert collected.is_commit_made
    assert collected.problems == ()
    assert setting.own.at(f"{collected.head}^") == first
    assert {file.path: file.status for file in collected.files} == {
        "README": "M",
        "a.py": "A",
        "new file": "A",
        "src/app.py": "D",
    }
    assert collected.diffstat == "4 files, +3 -1"
    assert "+a = 1" in await diff_text(setting.bare, setting.base, collected.head)
    assert len(await diff_text(setting.bare, setting.base, collected.head, max_bytes=10)) == 10
    assert (await read_files(setting.bare, collected.head, ["a.py", "gone"])) == {"a.py": b"a = 1\n", "gone": None}
    assert await collect_first(setting) == collected, "a repeated call gave another commit"
    assert agent.at("HEAD") == first, "the workspace was written to"


async def test_an_untouched_workspace_is_empty(setting: Setting) -> None:
    collected = await collect_first(setting)
    assert collected.is_empty
    assert collected.head == setting.base


async def test_work_survives_gc_in_the_workspace_after_the_target_was_rewritten(setting: Setting) -> None:
    agent, user = setting.workspace, setting.user
    user.git("commit", "-q", "--amend", "-m", "rewritten")
    user.git("reflog", "expire", "--expire=now", "--all")
    user.git("gc", "-q", "--prune=now")
    await fetch_target(setting.bare, setting.inspected, "main")
    await collect_garbage(setting.bare, {"t/1"}, True, 0, 4e9)
    agent.commit({"a": "1"})
    agent.git("gc", "-q", "--prune=now")
    assert agent.git("fsck", "--connectivity-only", "--no-dangling") == ""
    assert (await collect_first(setting)).diffstat == "1 file, +1 -0"


async def test_filters_hooks_and_config_of_the_agent_are_not_run(setting: Setting, tmp_path: Path) -> None:
    agent = setting.workspace
    mark = tmp_path / "ran"
    evil = f"sh -c 'echo x >> {mark}; cat'"
    agent.commit({"plain": "1"})
    for name in ("filter.evil.clean", "filter.evil.smudge", "core.fsmonitor", "uploadpack.packObjectsHook"):
        agent.git("config", name, evil)
    for name in ("core.pager", "core.sshCommand", "diff.external", "core.alternateRefsCommand", "gpg.program"):
        agent.git("config", name, evil)
    agent.git("config", "transfer.hideRefs", "refs/heads")
    for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
        hook = agent.path / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho x >> {mark}\n")
        hook.chmod(0o755)
    agent.write({".gitattributes": "* filter=evil diff=evil\n", "x": "data"})
    collected = await collect_first(setting)
    assert {file.path for file in collected.files} == {"plain", ".gitattributes", "x"}
    await next_branch(setting.bare, agent.path, "t/2", setting.base, "ringmaster/t/2", start=collected.head)
    assert not mark.exists()
    assert agent.git("config", "--get-regexp", "filter", is_checked=False) == ""
    assert agent.git("status", "--porcelain") == ""


async def test_an_index_that_hides_changes_hides_nothing(setting: Setting) -> None:
    agent = setting.workspace
    agent.git("update-index", "--assume-unchanged", "README")
    agent.git("update-index", "--skip-worktree", "src/app.py")
    agent.write({"README": "hidden\n", "src/app.py": "hidden\n", "secret": "s", "dist.log": "forced"})
    (agent.path / ".git" / "info" / "exclude").write_text("secret\n")
    agent.git("add", "-f", "dist.log")
    (agent.path / ".git" / "index.lock").write_text("")
    collected = await collect_first(setting)
    assert {file.path for file in collected.files} == {"README", "src/app.py", "secret", "dist.log"}


async def test_a_damaged_index_costs_nothing(setting: Setting) -> None:
    setting.workspace.write({".git/index": b"rubbish", "kept": "1"})
    assert [file.path for file in (await collect_first(setting)).files] == ["kept"]


async def test_git_deleted_or_turned_into_a_link_leaves_the_files(setting: Setting, tmp_path: Path) -> None:
    agent = setting.workspace
    agent.commit({"a": "1"})
    shutil.move(agent.path / ".git", tmp_path / "elsewhere")
    (agent.path / ".git").symlink_to(tmp_path / "elsewhere")
    collected = await collect_first(setting)
    assert kinds(collected) == [ProblemKind.GIT_GONE]
    assert [file.path for file in collected.files] == ["a"]
    (agent.path / ".git").unlink()
    assert kinds(await collect_first(setting)) == [ProblemKind.GIT_GONE]


async def test_rewritten_history_becomes_one_commit_on_the_base(setting: Setting) -> None:
    agent = setting.workspace
    agent.git("commit", "-q", "--amend", "-m", "not the base")
    agent.commit({"a": "1"})
    collected = await collect_first(setting)
    assert kinds(collected) == [ProblemKind.HISTORY_REWRITTEN]
    assert setting.own.at(f"{collected.head}^") == setting.base
    assert [file.path for file in collected.files] == ["a"]


async def test_work_on_another_branch_or_detached_is_taken_and_named(setting: Setting) -> None:
    agent = setting.workspace
    agent.commit({"a": "1"})
    agent.git("checkout", "-q", "-b", "mine")
    agent.commit({"b": "1"})
    collected = await collect_first(setting)
    assert kinds(collected) == [ProblemKind.HEAD_ELSEWHERE]
    assert not collected.problems[0].is_blocking
    assert {file.path for file in collected.files} == {"a", "b"}
    agent.git("checkout", "-q", "--detach", setting.base)
    collected = await collect_first(setting)
    assert [(problem.kind, problem.is_blocking) for problem in collected.problems] == [
        (ProblemKind.HEAD_ELSEWHERE, True)
    ]
    assert "behind the branch" in collected.problems[0].detail


async def test_a_merge_left_half_way_is_blocking(setting: Setting) -> None:
    agent = setting.workspace
    agent.git("checkout", "-q", "-b", "side")
    agent.commit({"README": "one\n"})
    agent.git("checkout", "-q", BRANCH)
    agent.commit({"README": "two\n"})
    agent.git("merge", "-q", "side", is_checked=False)
    collected = await collect_first(setting)
    assert [problem.kind for problem in collected.problems if problem.is_blocking] == [ProblemKind.UNDER_WAY]


async def test_nested_repositories_become_plain_files(setting: Setting) -> None:
    agent = setting.workspace
    inner = make_repository(agent.path / "vendor" / "inner")
    inner.write({"skip.log": "ignored", "deep/file": "d"})
    make_repository(agent.path / "linked")
    agent.git("-c", "advice.addEmbeddedRepo=false", "add", "linked")
    agent.git("commit", "-q", "-m", "a link")
    (agent.path / "unborn").mkdir()
    Repository(agent.path / "unborn").git("init", "-q")
    (agent.path / "unborn" / "f").write_text("f")
    collected = await collect_first(setting)
    assert set(kinds(collected)) == {ProblemKind.NESTED_REPOSITORY}
    paths = {file.path for file in collected.files}
    assert {"vendor/inner/README", "vendor/inner/deep/file", "linked/README", "unborn/f"} <= paths
    assert "vendor/inner/skip.log" not in paths
    assert not any(".git/" in path or path == "linked" for path in paths)


async def test_odd_names_and_kinds_of_files(setting: Setting) -> None:
    agent = setting.workspace
    odd = os.fsencode(agent.path) + b"/caf\xe9\n:(glob)*"
    Path(os.fsdecode(odd)).write_text("x")
    agent.write({"-rf": "x", "tab\tname": "x", "#comment": "x", '"quoted"': "x"})
    (agent.path / "out").symlink_to("/etc/passwd")
    (agent.path / "up").symlink_to("../../x")
    (agent.path / "in").symlink_to("README")
    os.mkfifo(agent.path / "fifo")
    shutil.rmtree(agent.path / "src")
    (agent.path / "src").symlink_to("/usr")
    collected = await collect_first(setting)
    paths = {file.path for file in collected.files}
    assert {"caf\\xe9\n:(glob)*", "-rf", "tab\tname", "#comment", '"quoted"', "out", "up", "in", "src"} <= paths
    assert not any(path.startswith("src/") and path != "src/app.py" for path in paths)
    links = sorted(problem.detail for problem in collected.problems if problem.kind is ProblemKind.LINK_OUTSIDE)
    assert [detail.split(" ")[0] for detail in links] == ["out", "src", "up"]
    assert setting.own.show(collected.head, "out") == "/etc/passwd"


async def test_a_huge_file_is_left_out_and_named(setting: Setting) -> None:
    setting.workspace.write({"huge": b"0" * 2000, "README": b"1" * 2000, "small": "s"})
    collected = await collect_first(setting, max_file_bytes=1000)
    assert [file.path for file in collected.files] == ["small"]
    assert [(problem.kind, problem.is_blocking) for problem in collected.problems] == [
        (ProblemKind.TOO_LARGE, True),
        (ProblemKind.TOO_LARGE, True),
    ]


async def test_broken_objects_are_named_and_the_files_taken(setting: Setting) -> None:
    agent = setting.workspace
    agent.commit({"a": "1"})
    blob = agent.git("rev-parse", "HEAD:a")
    broken = agent.path / ".git" / "objects" / blob[:2] / blob[2:]
    broken.chmod(0o644)
    broken.write_bytes(b"rubbish")
    collected = await collect_first(setting)
    assert kinds(collected) == [ProblemKind.BROKEN_OBJECTS]
    assert [file.path for file in collected.files] == ["a"]


async def test_a_further_attempt_starts_clean_in_the_same_place(setting: Setting) -> None:
    agent = setting.workspace
    agent.commit({"a": "1"})
    agent.write({"left": "over", "README": "changed\n", ".venv/bin/tool": "kept"})
    first = await collect_first(setting)
    unchanged = (agent.path / ".gitignore").stat().st_mtime_ns
    await next_branch(setting.bare, agent.path, "t/2", setting.base, "ringmaster/t/2")
    assert agent.at("HEAD") == setting.base
    assert agent.git("status", "--porcelain") == ""
    assert (agent.path / ".venv/bin/tool").read_text() == "kept"
    assert not (agent.path / "left").exists()
    assert (agent.path / ".gitignore").stat().st_mtime_ns == unchanged, "unchanged files were written anew"
    assert await is_same_tree(setting.bare, "refs/ringmaster/keep/t/1/head", first.head)
    await next_branch(setting.bare, agent.path, "t/3", setting.base, "ringmaster/t/3", start=first.head)
    assert (agent.path / "left").read_text() == "over"
    assert is_on_branch(agent.path, "ringmaster/t/3")
    shutil.rmtree(agent.path / ".git")  # as a kill between the two renames leaves it
    await next_branch(setting.bare, agent.path, "t/3", setting.base, "ringmaster/t/3", start=first.head)
    assert agent.at("HEAD") == first.head


async def test_files_the_project_names_are_copied_and_never_committed(setting: Setting, tmp_path: Path) -> None:
    user, agent = setting.user, setting.workspace
    user.write({".env": "KEY=1", "local/a.cfg": "a", "local/b.cfg": "b", "README": "the user's own change\n"})
    copied = await copy_files(user.path, agent.path, [".env", "local/*.cfg", "README", "absent"])
    assert copied == [".env", "local/a.cfg", "local/b.cfg"]
    assert (agent.path / "README").read_text() == "hello\n"
    collected = await collect_first(setting, ignore_patterns=("/.env", "/local/"))
    assert collected.is_empty
    for pattern in ("/etc/passwd", "../user/README", ".git/config"):
        with pytest.raises(RingmasterError, match="leaves the checkout"):
            await copy_files(user.path, agent.path, [pattern])
    (agent.path / "away").symlink_to(tmp_path)
    user.write({"away/x": "x"})
    assert await copy_files(user.path, agent.path, ["away/x"]) == []


async def test_what_the_user_ignores_privately_stays_out(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    setting.user.write({".git/info/exclude": "private\n"})
    await ensure_repository(setting.bare, setting.inspected)
    agent = await setting.start_attempt()
    agent.write({"private": "p"})
    assert agent.git("status", "--porcelain") == ""
    assert (await collect_first(setting)).is_empty


async def test_tags_are_there_for_tools_that_ask_for_the_version(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    setting.user.git("tag", "-a", "v1", "-m", "one")
    shutil.rmtree(setting.bare)
    await ensure_repository(setting.bare, setting.inspected)
    await create_workspace(setting.bare, setting.workspace.path, "t/1", setting.base, BRANCH)
    assert setting.workspace.git("describe") == "v1"


async def test_a_workspace_half_made_before_a_kill_is_made_whole(tmp_path: Path) -> None:
    setting = await make_setting(tmp_path)
    half = Repository(setting.workspace.path.with_name("t.creating"))
    half.path.mkdir(parents=True)
    half.write({"README": "half", "junk": "j"})
    fresh = half.path.with_name("t.creating.git.ringmaster-new")
    (fresh / "objects").mkdir(parents=True)
    agent = await setting.start_attempt()
    assert agent.git("status", "--porcelain") == ""
    assert not (agent.path / "junk").exists()
    assert [path.name for path in agent.path.parent.iterdir()] == ["t"]
