"""Making the commit that will land, in the gate's own checkout, before any gate has run.

The merge happens in a checkout so that the tip's `.gitattributes` apply. The checkout has one fixed
path per project, because what set-up builds there (`.venv`, `node_modules`) works at no other.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from ringmaster.workspace.collect import Author
from ringmaster.workspace.git import GitError, run_git, shown, useful_line
from ringmaster.workspace.git_directory import install_git_directory
from ringmaster.workspace.refs import is_ancestor, keep_commit

_TRAILER = re.compile(r"[A-Za-z0-9-]+: \S.*")


class History(StrEnum):
    """How an attempt's commits become part of the target's history."""

    MERGE = "merge"
    SQUASH = "squash"


class LandingCommit(msgspec.Struct, frozen=True):
    """The commit that will land: the gate's checkout stands on exactly it, clean."""

    commit: str
    tree: str


class Conflict(msgspec.Struct, frozen=True):
    """The work does not merge onto the tip; `files` are those in conflict."""

    files: tuple[str, ...]


class NothingToLand(msgspec.Struct, frozen=True):
    """The tip has the work already, or its content."""

    tip: str


async def quick_conflicts(bare: Path, tip: str, head: str) -> tuple[str, ...]:
    """Files that would conflict, by a merge in memory: a hint, since `.gitattributes` do not apply."""
    result = await run_git(
        "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", tip, head, git_dir=bare, ok=(0, 1)
    )
    return () if result.status == 0 else tuple(shown(name) for name in result.records[1:])


async def prepare_gate_checkout(bare: Path, checkout: Path, commit: str, cache_paths: Sequence[str] = ()) -> None:
    """Make the gate's checkout stand on `commit`, detached and clean, with a `.git` nobody has touched.

    cache_paths: ignore patterns of directories that stay as earlier runs at this path left them; all
    else that is not tracked goes, ignored or not. May be repeated after a kill. Raises `GitError`.
    """
    await install_git_directory(
        bare, checkout, commit, branch=None, refs={}, kept_paths=cache_paths, is_ignored_removed=True
    )


async def make_landing_commit(
    bare: Path,
    checkout: Path,
    attempt_id: str,
    tip: str,
    head: str,
    *,
    history: History,
    message: str,
    trailers: Mapping[str, str],
    author: Author | None = None,
    at: float | None = None,
    cache_paths: Sequence[str] = (),
) -> LandingCommit | Conflict | NothingToLand:
    """Merge `head` onto `tip` in the gate's checkout and commit it, without hooks and unsigned.

    history: `merge` makes a commit with both parents even where git could fast-forward, `squash` one
    with the tip alone. at: unix seconds that fix the dates, so that a repeated call gives the same
    commit. The commit lies in `bare` under the attempt's keep refs as `gate`. After a conflict the
    checkout stands clean on the tip. Raises `GitError`.
    """
    if await is_ancestor(bare, head, tip):
        return NothingToLand(tip)
    await prepare_gate_checkout(bare, checkout, tip, cache_paths)
    merged = await _merged_tree(bare, checkout, head)
    if isinstance(merged, Conflict):
        await prepare_gate_checkout(bare, checkout, tip, cache_paths)
        return merged
    tip_tree = (await run_git("rev-parse", f"{tip}^{{tree}}", git_dir=bare)).text
    if merged == tip_tree:
        await prepare_gate_checkout(bare, checkout, tip, cache_paths)
        return NothingToLand(tip)
    parents = ["-p", tip, *(["-p", head] if history is History.MERGE else [])]
    made = await run_git(
        "commit-tree",
        merged,
        *parents,
        git_dir=bare,
        input=with_trailers(message, trailers).encode(errors="backslashreplace"),
        env=(author or Author()).environment(at),
    )
    await keep_commit(bare, attempt_id, made.text, "gate")
    # Nothing but git has run since the checkout was prepared, so its `.git` can still be trusted.
    await run_git("reset", "--quiet", "--hard", made.text, git_dir=checkout / ".git", work_tree=checkout)
    return LandingCommit(commit=made.text, tree=merged)


async def _merged_tree(bare: Path, checkout: Path, head: str) -> str | Conflict:
    # Objects go straight to the daemon's repository: the checkout's own are thrown away with its .git.
    objects = {"GIT_OBJECT_DIRECTORY": str(bare.absolute() / "objects")}
    git_dir = checkout / ".git"
    result = await run_git(
        "merge",
        "--no-ff",
        "--no-commit",
        "--no-verify",
        "--no-gpg-sign",
        "--no-rerere-autoupdate",
        "--strategy=ort",
        "--quiet",
        head,
        git_dir=git_dir,
        work_tree=checkout,
        env=objects,
        config={"rerere.enabled": "false", "merge.renames": "true"},
        ok=(0, 1, 2, 128),
    )
    if result.status == 0:
        return (await run_git("write-tree", git_dir=git_dir, work_tree=checkout, env=objects)).text
    unmerged = await run_git(
        "diff", "--name-only", "--diff-filter=U", "-z", git_dir=git_dir, work_tree=checkout, env=objects
    )
    if not unmerged.records:
        detail = useful_line(result.stderr)
        if "unrelated histories" in detail:
            return Conflict(files=())
        raise GitError(f"git merge: {detail}", status=result.status)
    return Conflict(files=tuple(dict.fromkeys(shown(path) for path in unmerged.records)))


async def changed_by_gate(bare: Path, checkout: Path, commit: str) -> tuple[str, ...]:
    """Tracked files of the gate's checkout that are not as in `commit`: what a gate has changed.

    Looked at with the daemon's own index, so nothing in the checkout's `.git` can hide a change.
    Empty means: the checkout still is that commit. Raises `GitError`.
    """
    with tempfile.TemporaryDirectory(prefix="index-", dir=bare, ignore_cleanup_errors=True) as scratch:
        index = Path(scratch, "index")
        await run_git("read-tree", commit, git_dir=bare, work_tree=checkout, index=index)
        await run_git("update-index", "-q", "--refresh", git_dir=bare, work_tree=checkout, index=index, ok=(0, 1))
        changed = await run_git("diff-files", "-z", "--name-only", git_dir=bare, work_tree=checkout, index=index)
        return tuple(shown(path) for path in changed.records)


def with_trailers(message: str, trailers: Mapping[str, str]) -> str:
    """The message with trailers in its last paragraph, those it has already kept together with them."""
    body = message.strip() or "Land an attempt"
    lines = [f"{name}: {' '.join(value.split())}" for name, value in trailers.items() if value.strip()]
    if not lines:
        return f"{body}\n"
    _, _, last = body.rpartition("\n\n")
    has_trailers = "\n\n" in body and all(_TRAILER.fullmatch(line) for line in last.splitlines())
    return body + ("\n" if has_trailers else "\n\n") + "\n".join(lines) + "\n"
