"""Names of the refs in the daemon's repository and in the user's."""

from __future__ import annotations

import re
from pathlib import Path

from ringmaster.workspace.git import GitError, run_git

_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

KEEP = "refs/ringmaster/keep"


def target_ref(target: str) -> str:
    """The target branch in the user's repository."""
    return f"refs/heads/{target}"


def parked_branch(target: str) -> str:
    """The branch in the user's repository that takes what cannot go to the target now."""
    return f"ringmaster/landed/{target}"


def parked_ref(target: str) -> str:
    """The ref of `parked_branch`."""
    return f"refs/heads/{parked_branch(target)}"


def seen_target_ref(target: str) -> str:
    """In the daemon's repository: the user's target as last seen."""
    return f"refs/ringmaster/target/{target}"


def seen_parked_ref(target: str) -> str:
    """In the daemon's repository: the parked branch as last seen."""
    return f"refs/ringmaster/landed/{target}"


def keep_prefix(attempt_id: str) -> str:
    """Where everything kept for an attempt lies. Raises `ValueError` for an id unfit for a ref."""
    parts = attempt_id.split("/")
    if not all(_COMPONENT.fullmatch(part) and ".." not in part and not part.endswith((".lock", ".")) for part in parts):
        raise ValueError(f"not fit for a ref name: {attempt_id!r}")
    return f"{KEEP}/{attempt_id}"


async def keep_commit(bare: Path, attempt_id: str, commit: str, name: str | None = None) -> None:
    """Hold `commit` for an attempt, so that no gc takes it; with `name`, under that name as well.

    Names may move; the ref by commit id never does, so nothing once kept is let go by keeping more.
    """
    prefix = keep_prefix(attempt_id)
    lines = [f"update {prefix}/commits/{commit} {commit}"]
    if name is not None:
        lines.append(f"update {prefix}/{name} {commit}")
    await run_git("update-ref", "--stdin", git_dir=bare, input=("\n".join(lines) + "\n").encode())


async def read_ref(git_dir: Path, ref: str, *, is_user: bool = False) -> str | None:
    """The object a ref names, or None where there is no such ref."""
    result = await run_git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", ref, git_dir=git_dir, is_user=is_user, ok=(0, 1, 128)
    )
    return result.text or None


async def is_ancestor(git_dir: Path, old: str, new: str) -> bool:
    """Whether `new` contains `old`. False where either commit is not in the repository."""
    try:
        result = await run_git("merge-base", "--is-ancestor", old, new, git_dir=git_dir, ok=(0, 1))
    except GitError as error:
        if error.status == 128:
            return False
        raise
    return result.status == 0
