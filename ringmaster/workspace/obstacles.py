"""What is in the way of moving a branch of the user's repository. Everything here only looks."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from ringmaster.workspace.git import run_git, shown
from ringmaster.workspace.user_repository import UserRepository

_MERGING = {"MERGE_HEAD": "merge", "CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert"}


class UpdateCheckout(StrEnum):
    """Whether a checkout of the target may be fast-forwarded along with it."""

    CLEAN = "clean"
    NEVER = "never"


class WorkTreeOf(msgspec.Struct, frozen=True):
    """One work tree of the user's: its git directory, its files (None for a bare repository), HEAD's ref."""

    git_dir: Path
    path: Path | None
    head_ref: str | None


def list_work_trees(user: UserRepository) -> list[WorkTreeOf]:
    """The main work tree (or bare repository) and every linked one, by their directories. Blocking."""
    main = None if user.is_bare else user.path
    if main is not None and user.git_dir != user.common_dir:
        main = user.common_dir.parent if user.common_dir.name == ".git" else None
    trees = [WorkTreeOf(user.common_dir, main, _head_ref(user.common_dir))]
    for directory in sorted((user.common_dir / "worktrees").glob("*/")):
        pointer = _text(directory / "gitdir")
        path = Path(pointer).parent if pointer else None
        trees.append(WorkTreeOf(directory, path, _head_ref(directory)))
    return trees


async def find_obstacle(
    bare: Path, user: UserRepository, branch: str, old: str | None, new: str, update_checkout: UpdateCheckout
) -> str | None:
    """The first thing in the way of moving `branch` from `old` to `new`, in words; None where the way is free.

    Git's own refusal comes later and is the last word; what git would get wrong is caught here: a
    rebase or bisect that will move the branch back, an ignored file that the checkout would overwrite.
    """
    ref = f"refs/heads/{branch}"
    for tree in list_work_trees(user):
        named = tree.path or tree.git_dir
        if under_way := _claims(tree.git_dir, branch):
            return f"a {under_way} of '{branch}' is under way in {named}"
        if tree.head_ref != ref or tree.path is None:
            continue
        for mark, word in _MERGING.items():
            if (tree.git_dir / mark).exists():
                return f"a {word} is under way in {named}"
        # Git updates the files first and finds the ref locked afterwards: the checkout would stay changed.
        for lock in (tree.git_dir / "index.lock", tree.git_dir / "HEAD.lock", user.common_dir / f"{ref}.lock"):
            if lock.exists():
                return f"git is at work in {named} ({lock.name})"
        if update_checkout is UpdateCheckout.NEVER:
            return f"'{branch}' is checked out in {named}, and the project says never to update a checkout"
        if not tree.path.is_dir():
            return f"'{branch}' is checked out in {named}, which is gone"
        if changed := await _changed_in(tree):
            return f"{named} has uncommitted changes ({changed})"
        if old is not None and (taken := await _taken_path(bare, tree.path, old, new)):
            return f"{taken} in {named} would be overwritten"
    return None


def _claims(git_dir: Path, branch: str) -> str | None:
    for mark in ("rebase-merge/head-name", "rebase-apply/head-name"):
        if _text(git_dir / mark) == f"refs/heads/{branch}":
            return "rebase"
    if _text(git_dir / "BISECT_START") in (branch, f"refs/heads/{branch}"):
        return "bisect"
    return None


async def _changed_in(tree: WorkTreeOf) -> str | None:
    """One changed tracked file of a work tree. Asked without taking locks: the index stays as it is."""
    status = await run_git(
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=no",
        "--no-renames",
        "--ignore-submodules=all",
        git_dir=tree.git_dir,
        work_tree=tree.path,
        is_user=True,
    )
    return shown(status.records[0][3:]) if status.records else None


async def _taken_path(bare: Path, path: Path, old: str, new: str) -> str | None:
    """A path the move would add that is there already, ignored files included: git would overwrite those."""
    added = await run_git(
        "diff-tree", "-r", "-z", "--name-only", "--diff-filter=A", "--no-renames", old, new, git_dir=bare
    )
    return next((shown(name) for name in added.records if _is_taken(path, name)), None)


def _is_taken(top: Path, name: str) -> bool:
    if os.path.lexists(top / name):
        return True
    # A link among the parents would let the checkout write, or replace, what is not the repository's.
    return any((top / parent).is_symlink() for parent in Path(name).parents if parent != Path("."))


def _head_ref(git_dir: Path) -> str | None:
    text = _text(git_dir / "HEAD")
    return text[5:].strip() if text.startswith("ref: ") else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""
