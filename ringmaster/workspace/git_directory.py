"""A fresh `.git` for a work tree over the daemon's repository.

Agents and gates can write anything into the `.git` they are given: filters, hooks, an index that hides
changes. The daemon therefore never runs git on one that others have used; it puts a new one in its
place, made here, with the daemon's repository as alternate and no remote.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from ringmaster.workspace.git import run_git

_FRESH = ".git.ringmaster-new"
_FORMER = ".git.ringmaster-old"


async def install_git_directory(
    bare: Path,
    work_tree: Path,
    commit: str,
    *,
    branch: str | None,
    refs: Mapping[str, str],
    kept_paths: Sequence[str] = (),
    is_ignored_removed: bool = False,
) -> None:
    """Put a fresh `.git` into `work_tree` and make its files exactly those of `commit`.

    branch: the branch HEAD is on, None for a detached HEAD. refs: further refs to set, whose objects
    are in `bare`. kept_paths: ignore patterns of untracked files that stay. is_ignored_removed:
    remove ignored files too. Untracked files go without further ado: keep what matters before.
    May be called again after a kill at any moment. Raises `GitError`.
    """
    work_tree.mkdir(parents=True, exist_ok=True)
    fresh = work_tree.with_name(f"{work_tree.name}{_FRESH}")
    await trio.to_thread.run_sync(remove_tree, fresh)
    object_format = (await run_git("rev-parse", "--show-object-format", git_dir=bare)).text
    await run_git(
        "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(fresh), cwd=work_tree
    )
    _fill(bare, fresh, commit, branch)
    if refs:
        lines = "".join(f"create {name} {value}\n" for name, value in refs.items())
        await run_git("update-ref", "--stdin", git_dir=fresh, input=lines.encode())
    await _make_files_match(fresh, work_tree, commit, kept_paths, is_ignored_removed)
    await trio.to_thread.run_sync(_swap, fresh, work_tree)


def _fill(bare: Path, fresh: Path, commit: str, branch: str | None) -> None:
    info = fresh / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{bare.absolute() / 'objects'}\n")
    (fresh / "info").mkdir(exist_ok=True)
    exclude = bare / "info" / "exclude"
    (fresh / "info" / "exclude").write_bytes(exclude.read_bytes() if exclude.is_file() else b"")
    if (bare / "shallow").is_file():
        shutil.copyfile(bare / "shallow", fresh / "shallow")
    config = (fresh / "config").read_text().replace("bare = true", "bare = false")
    (fresh / "config").write_text(
        f"{config}[user]\n\tname = Ringmaster agent\n\temail = agent@ringmaster.localhost\n"
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n"
        "[core]\n\tlogAllRefUpdates = true\n"
    )
    if branch is None:
        (fresh / "HEAD").write_text(f"{commit}\n")
    else:
        name = fresh / "refs" / "heads" / branch
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(f"{commit}\n")
        (fresh / "HEAD").write_text(f"ref: refs/heads/{branch}\n")


async def _make_files_match(
    git_dir: Path, work_tree: Path, commit: str, kept_paths: Sequence[str], is_ignored_removed: bool
) -> None:
    kept = [f"--exclude={pattern}" for pattern in kept_paths]
    await run_git("read-tree", commit, git_dir=git_dir, work_tree=work_tree)
    # Compared by content, so that unchanged files keep their times and what is built from them.
    await run_git("update-index", "-q", "--really-refresh", git_dir=git_dir, work_tree=work_tree, ok=(0, 1, 128))
    flags = "-ffdxq" if is_ignored_removed else "-ffdq"
    # A fresh index knows no `.git` below: nested repositories count as untracked, hence the double f.
    await run_git("clean", flags, *kept, git_dir=git_dir, work_tree=work_tree)
    await run_git("reset", "--quiet", "--hard", commit, git_dir=git_dir, work_tree=work_tree)


def _swap(fresh: Path, work_tree: Path) -> None:
    place = work_tree / ".git"
    former = work_tree.with_name(f"{work_tree.name}{_FORMER}")
    remove_tree(former)
    if place.is_symlink() or place.exists():
        place.rename(former)
    fresh.rename(place)
    remove_tree(former)


def unfinished_paths(work_tree: Path) -> tuple[Path, ...]:
    """Where a killed `install_git_directory` may have left half of its work, beside the work tree."""
    return tuple(work_tree.with_name(f"{work_tree.name}{suffix}") for suffix in (_FRESH, _FORMER))


def remove_tree(path: Path) -> None:
    """Remove a file, link or directory tree, read-only directories included. Links are not followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    _make_writable(str(path))
    for folder, names, _ in os.walk(path):
        for name in names:
            _make_writable(os.path.join(folder, name))
    shutil.rmtree(path)


def _make_writable(entry: str) -> None:
    mode = os.lstat(entry).st_mode
    if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
        os.chmod(entry, 0o700)
