"""Workspaces: the directories agents work in, each a work tree over the daemon's repository."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.workspace.git import run_git
from ringmaster.workspace.git_directory import install_git_directory
from ringmaster.workspace.refs import keep_commit


async def create_workspace(bare: Path, workspace: Path, attempt_id: str, base: str, branch: str) -> None:
    """Make the workspace of a task's first attempt, on `branch` at `base`, and hold `base` for it.

    Made beside its place and renamed: it is there whole or not at all, and a call that finds it
    there changes nothing. It has no remote and the tags of the daemon's repository. Raises `GitError`.
    """
    await keep_commit(bare, attempt_id, base, "base")
    if workspace.exists():
        return
    half = workspace.with_name(f"{workspace.name}.creating")
    await install_git_directory(bare, half, base, branch=branch, refs=await _tags(bare))
    half.rename(workspace)


async def next_branch(
    bare: Path, workspace: Path, attempt_id: str, base: str, branch: str, *, start: str | None = None
) -> None:
    """Ready the same workspace for a further attempt, on `branch`.

    start: the commit its files become; `base` when None, a former head to go on from there. `base` is
    what the attempt's changes are counted from. Ignored files stay (caches, what was set up); every
    other untracked file goes, so the caller has taken a snapshot before. Earlier branches are in the
    daemon's keep refs. May be repeated after a kill. Raises `GitError`.
    """
    await keep_commit(bare, attempt_id, base, "base")
    chosen = start or base
    await keep_commit(bare, attempt_id, chosen)
    await install_git_directory(bare, workspace, chosen, branch=branch, refs=await _tags(bare))


def is_on_branch(workspace: Path, branch: str) -> bool:
    """Whether the workspace's HEAD names `branch`: read by hand, no git is run in it."""
    try:
        return (workspace / ".git" / "HEAD").read_text().strip() == f"ref: refs/heads/{branch}"
    except (OSError, UnicodeDecodeError):
        return False


async def copy_files(source: Path, workspace: Path, patterns: Sequence[str]) -> list[str]:
    """Copy what the project's `copy` setting names from the user's checkout; return the paths copied.

    patterns: globs relative to the checkout (`**` allowed). Links are copied as links. What exists in
    the workspace is left alone, so no tracked file is overwritten. Raises `RingmasterError` (usage)
    for a pattern that leaves the checkout. Cancelled between files.
    """
    copied: list[str] = []
    for pattern in patterns:
        if os.path.isabs(pattern) or ".." in Path(pattern).parts or ".git" in Path(pattern).parts:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"copy pattern '{pattern}' leaves the checkout",
                "name paths below the repository's top",
            )
        names = await trio.to_thread.run_sync(_matching, source, pattern)
        for name in names:
            if await trio.to_thread.run_sync(_copy_one, source, workspace, name):
                copied.append(name)
    return copied


def _matching(source: Path, pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, root_dir=source, recursive=True, include_hidden=True))


def _copy_one(source: Path, workspace: Path, name: str) -> bool:
    origin, copy = source / name, workspace / name
    inside = workspace.resolve()
    if os.path.lexists(copy) or not copy.parent.resolve().is_relative_to(inside):
        return False
    copy.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_symlink() or origin.is_file():
        shutil.copy2(origin, copy, follow_symlinks=False)
    elif origin.is_dir():
        shutil.copytree(origin, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    else:
        return False
    return True


async def _tags(bare: Path) -> dict[str, str]:
    listing = await run_git("for-each-ref", "--format=%(refname) %(objectname)", "refs/tags", git_dir=bare)
    return dict(line.split(" ", 1) for line in listing.text.splitlines())
