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
    head = commit if branch is None else f"ref: refs/heads/{branch}"
    write_git_directory(fresh, bare, [bare], head=head, is_bare=False)
    lines = "".join(f"create {name} {value}\n" for name, value in refs.items())
    if branch is not None:
        lines += f"create refs/heads/{branch} {commit}\n"
    if lines:
        await run_git("update-ref", "--stdin", git_dir=fresh, input=lines.encode())
    await _make_files_match(fresh, work_tree, commit, kept_paths, is_ignored_removed)
    await trio.to_thread.run_sync(_swap, fresh, work_tree)


def write_git_directory(path: Path, bare: Path, object_sources: Sequence[Path], *, head: str, is_bare: bool) -> None:
    """Write a git directory with no objects of its own. Blocking, a few small files.

    bare: the daemon's repository, whose object format, ignore patterns and shallow roots it shares.
    object_sources: git directories whose objects it borrows. head: the text of HEAD.
    """
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (path / folder).mkdir(parents=True)
    sources = "".join(f"{source.absolute() / 'objects'}\n" for source in object_sources)
    (path / "objects" / "info" / "alternates").write_text(sources)
    for name in ("info/exclude", "shallow"):
        if (bare / name).is_file():
            shutil.copyfile(bare / name, path / name)
    is_sha256 = "objectformat = sha256" in (bare / "config").read_text().casefold()
    version, extension = (1, "[extensions]\n\tobjectformat = sha256\n") if is_sha256 else (0, "")
    identity = "" if is_bare else "[user]\n\tname = Ringmaster agent\n\temail = agent@ringmaster.localhost\n"
    (path / "config").write_text(
        f"[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = {str(is_bare).lower()}\n"
        f"\tlogAllRefUpdates = true\n{extension}{identity}"
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n"
    )
    (path / "HEAD").write_text(f"{head}\n")


async def _make_files_match(
    git_dir: Path, work_tree: Path, commit: str, kept_paths: Sequence[str], is_ignored_removed: bool
) -> None:
    if os.listdir(work_tree):
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
