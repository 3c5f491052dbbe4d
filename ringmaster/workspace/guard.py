"""Noticing that the user's checkout or refs changed while an agent was at work.

The daemon cannot tell the user's hand from the agent's; it can only name the change, with the times
between which it happened, instead of letting it pass unseen.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import trio

from ringmaster.workspace.git import run_git, shown
from ringmaster.workspace.obstacles import WorkTreeOf, list_work_trees
from ringmaster.workspace.user_repository import UserRepository

_OWN_PREFIX = "refs/heads/ringmaster/"
MAX_NAMED = 20


class Fingerprint(msgspec.Struct, frozen=True):
    """What the user's repository looked like. refs: name to object. heads: per work tree, what HEAD
    says. files: per work tree, what differs from the index or is untracked, each with size and time.
    indexes: per work tree, a hash of what is staged. config: a hash of the repository's configuration
    and hooks."""

    refs: dict[str, str]
    heads: dict[str, str]
    files: dict[str, dict[str, str]]
    indexes: dict[str, str]
    config: str


async def take_fingerprint(user: UserRepository) -> Fingerprint:
    """Look at the user's repository, taking no lock and changing nothing. Raises `GitError`."""
    listing = await run_git("for-each-ref", "--format=%(refname) %(objectname)", git_dir=user.common_dir, is_user=True)
    refs = dict(line.split(" ", 1) for line in listing.text.splitlines())
    heads: dict[str, str] = {}
    files: dict[str, dict[str, str]] = {}
    indexes: dict[str, str] = {}
    for tree in list_work_trees(user):
        name = str(tree.path or tree.git_dir)
        heads[name] = tree.head_ref or _short(tree.git_dir / "HEAD")
        if tree.path is not None and tree.path.is_dir():
            indexes[name] = await _staged(tree)
            files[name] = await _changed(tree, tree.path)
    return Fingerprint(refs, heads, files, indexes, _config_hash(user.common_dir))


def describe_changes(before: Fingerprint, after: Fingerprint) -> list[str]:
    """What changed between two looks, a line each; the daemon's own branches do not count. Pure."""
    found = []
    for ref in sorted(before.refs.keys() | after.refs.keys()):
        was, now = before.refs.get(ref), after.refs.get(ref)
        if was != now and not ref.startswith(_OWN_PREFIX):
            found.append(f"{ref}: {(was or 'absent')[:12]} -> {(now or 'absent')[:12]}")
    for tree, head in sorted(after.heads.items()):
        if before.heads.get(tree, head) != head:
            found.append(f"HEAD of {tree}: {before.heads[tree]} -> {head}")
    for tree, staged in sorted(after.indexes.items()):
        if before.indexes.get(tree, staged) != staged:
            found.append(f"the index of {tree} changed")
    for tree, files in sorted(after.files.items()):
        was_files = before.files.get(tree, files)
        changed = sorted(path for path in was_files.keys() | files.keys() if was_files.get(path) != files.get(path))
        found += [f"{path} in {tree} changed" for path in changed[:MAX_NAMED]]
        if len(changed) > MAX_NAMED:
            found.append(f"and {len(changed) - MAX_NAMED} more files in {tree}")
    if before.config != after.config:
        found.append("the repository's configuration or hooks changed")
    return found


async def _staged(tree: WorkTreeOf) -> str:
    listing = await run_git("ls-files", "-z", "--stage", git_dir=tree.git_dir, work_tree=tree.path, is_user=True)
    return hashlib.sha256(listing.stdout).hexdigest()


async def _changed(tree: WorkTreeOf, path: Path) -> dict[str, str]:
    status = await run_git(
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--untracked-files=all",
        "--ignore-submodules=all",
        git_dir=tree.git_dir,
        work_tree=path,
        is_user=True,
    )
    # In a thread: there may be a hundred thousand untracked files.
    return await trio.to_thread.run_sync(_look_at_all, path, status.records)


def _look_at_all(path: Path, records: list[str]) -> dict[str, str]:
    return {shown(record[3:]): f"{record[:2]} {_look(path / record[3:])}" for record in records}


def _look(path: Path) -> str:
    try:
        found = os.lstat(path)
    except OSError:
        return "absent"
    return f"{found.st_mode:o} {found.st_size} {found.st_mtime_ns}"


def _config_hash(common_dir: Path) -> str:
    digest = hashlib.sha256()
    hooks = sorted((common_dir / "hooks").glob("*")) if (common_dir / "hooks").is_dir() else []
    for path in (common_dir / "config", common_dir / "info" / "exclude", common_dir / "info" / "attributes", *hooks):
        digest.update(f"{path.name} {_look(path)}\n".encode(errors="backslashreplace"))
    return digest.hexdigest()


def _short(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()[:12]
    except OSError:
        return "unreadable"
