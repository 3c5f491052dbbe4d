"""What the self project says now: the commit of its target, or what is on disk. Only looked at, never written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project
from ringmaster.reload.snapshot import TreeChanging, open_trees, snapshot_tree
from ringmaster.workspace.git import run_git
from ringmaster.workspace.refs import is_ancestor, read_ref, target_ref

Follow = Literal["target", "worktree", "never"]
TRAILER = "Ringmaster-Task"
_MARKS = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "sequencer": "a cherry-pick or revert",
    "BISECT_LOG": "a bisect",
    "index.lock": "another git command",
    "HEAD.lock": "another git command",
}


class Source(msgspec.Struct, frozen=True):
    """What may become a release. commit: of the target, or what a work tree's edits are on; '' for a package.

    trees: the git directory in the state in which `tree` can be read, '' for a package. has_agent: some commit since
    the running one was landed by Ringmaster; is_landed: all of them were, so a person has been asked in the lane about
    what the project protects.
    """

    kind: Literal["target", "worktree", "package"]
    commit: str
    tree: str
    words: str
    trees: str = ""
    is_landed: bool = False
    has_agent: bool = False


async def find_source(project: Project, follow: Follow, running_commit: str, state: Path) -> Source | str:
    """What the self project says now, or why watching it is paused, in words.

    running_commit: which the running generation was made of; '' where it is known of none. With `worktree`, a tree
    without edits is the target's.
    Raises RingmasterError: retryable ones (TreeChanging while files change, DISK_FULL), NOT_FOUND without the target,
    GitError for what git cannot read. The repository, its index and its files stay byte for byte as they are.
    """
    common_dir = Path(project.common_dir)
    commit = await read_ref(common_dir, f"{target_ref(project.target)}^{{commit}}", is_user=True)
    if commit is None:
        raise RingmasterError(
            ErrorKind.NOT_FOUND, f"{project.path} has no branch '{project.target}'", f"git -C {project.path} branch"
        )
    trees = await open_trees(state, common_dir)
    committed = await _committed(trees, commit, running_commit)
    if follow != "worktree":
        return committed
    return await _find_edited(project, running_commit, trees, committed)


async def _committed(trees: Path, commit: str, running_commit: str) -> Source:
    tree, subject = (await run_git("show", "-s", "--format=%T%n%s", commit, git_dir=trees)).text.split("\n", 1)
    landed = await _are_landed(trees, running_commit, commit) if running_commit else []
    words = f"{commit[:9]} {subject}".strip()
    return Source("target", commit, tree, words, str(trees), bool(landed) and all(landed), any(landed))


async def _are_landed(trees: Path, running_commit: str, commit: str) -> list[bool]:
    """Of every commit on the first-parent way from the running one, whether the lane made it; none without a way."""
    if not await is_ancestor(trees, running_commit, commit):
        return []
    listing = await run_git(
        "log",
        "--first-parent",
        f"--format=%H %(trailers:key={TRAILER},valueonly,separator=%x2C)",
        f"{running_commit}..{commit}",
        git_dir=trees,
    )
    return [" " in line.strip() for line in listing.text.splitlines()]


async def _find_edited(project: Project, running_commit: str, trees: Path, committed: Source) -> Source | str:
    path = Path(project.path)
    git_dir = await _git_dir(path)
    if git_dir is None:
        return f"watching paused: {path} is a repository without a work tree"
    if reason := paused_by(git_dir, path, project.target):
        return reason
    if running_commit and not await is_ancestor(trees, running_commit, committed.commit):
        return f"watching paused: your tree lacks {running_commit[:9]}"
    tree = await snapshot_tree(trees, git_dir, Path(project.common_dir), path, committed.commit)
    if reason := paused_by(git_dir, path, project.target):
        # It began while the files were read: they are half of the one state and half of the other.
        return reason
    if await read_ref(Path(project.common_dir), target_ref(project.target), is_user=True) != committed.commit:
        raise TreeChanging(ErrorKind.TIMED_OUT, f"the tree is changing: {path}", "it is looked at again")
    if tree == committed.tree:
        return committed
    return Source("worktree", committed.commit, tree, f"uncommitted edits on {committed.words}", str(trees))


async def _git_dir(path: Path) -> Path | None:
    if (path / ".git" / "HEAD").is_file():
        # Not asked of git: each question costs some milliseconds between a change and its candidate.
        return path / ".git"
    words = ("rev-parse", "--is-bare-repository", "--path-format=absolute", "--git-dir")
    is_bare, git_dir = (await run_git(*words, cwd=path, is_user=True)).text.split("\n")
    return None if is_bare == "true" else Path(git_dir)


def paused_by(git_dir: Path, path: Path, target: str) -> str:
    """Why a work tree says nothing now, in words; '' when it may be read. Blocking: some looks."""
    for mark, words in _MARKS.items():
        if os.path.lexists(git_dir / mark):
            return f"watching paused: {words} is under way in {path}"
    try:
        head = (git_dir / "HEAD").read_text(errors="replace").strip()
    except OSError as error:
        return f"watching paused: the HEAD of {path} cannot be read: {error.strerror}"
    if head != f"ref: {target_ref(target)}":
        branch = head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else "no branch"
        return f"watching paused: {path} is on {branch}, not on {target}"
    return ""
