"""A tree object of the files on disk in a workspace, made with the daemon's own git directory and index.

The workspace's `.git` has no say: filters named by `.gitattributes` find no driver to run, an index
that hides changes is not read, and a repository inside the workspace is taken as plain files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import trio

from ringmaster.workspace.git import GitResult, run_git, shown, useful_line

# A path component `.git` cannot be in a tree; a kept nested repository has this in its place.
KEPT_GIT = "dot-git"
_UNREADABLE = (b"warning: could not open", b"error: open(", b"error: readlink", b"error: short read")


class WorkTree(msgspec.Struct):
    """A tree and what is to be said of it. nested: repositories taken as plain files. too_large,
    unreadable: paths left out. All paths relative to the workspace and fit for JSON."""

    tree: str = ""
    nested: list[str] = []
    too_large: list[str] = []
    unreadable: list[str] = []


async def write_work_tree(
    bare: Path,
    work_tree: Path,
    commit: str | None,
    *,
    max_file_bytes: int,
    is_nested_git_kept: bool,
    ignore_patterns: tuple[str, ...] = (),
) -> WorkTree:
    """Write the files of `work_tree` into `bare` as a tree: tracked in `commit`, or untracked and not ignored.

    max_file_bytes: larger untracked or changed files are left out and named. is_nested_git_kept: keep
    the `.git` of nested repositories too, as files under `dot-git`. ignore_patterns: further ignore
    patterns. Nothing is written to the workspace. Raises `GitError`.
    """
    found = WorkTree()
    with tempfile.TemporaryDirectory(prefix="index-", dir=bare, ignore_cleanup_errors=True) as scratch:
        builder = _Builder(bare, Path(scratch), max_file_bytes, is_nested_git_kept, found)
        if ignore_patterns:
            builder.ignore_file = Path(scratch, "ignore")
            builder.ignore_file.write_text("".join(f"{pattern}\n" for pattern in ignore_patterns))
        builder.staged = await _staged_paths(bare, work_tree, Path(scratch, "agent-index"))
        found.tree = await builder.build(work_tree, commit, "")
    return found


class _Builder(msgspec.Struct):
    bare: Path
    scratch: Path
    max_file_bytes: int
    is_nested_git_kept: bool
    found: WorkTree
    ignore_file: Path | None = None
    staged: list[str] = []
    count: int = 0

    async def build(self, work_tree: Path, commit: str | None, prefix: str, *, is_git_directory: bool = False) -> str:
        """The tree of one work tree; `prefix` is where it lies in the workspace, with a final slash."""
        self.count += 1
        index = self.scratch / f"index-{self.count}"
        links: set[str] = set()
        if commit is not None:
            await self._git(work_tree, index, "read-tree", commit)
            links |= await self._remove_links(work_tree, index)
            # -u stages what became of tracked files, deletions included, whatever is ignored now.
            large = await self._changed_and_too_large(work_tree, index, prefix)
            excluded = "".join(f"\0:(exclude,literal){path}" for path in large)
            await self._add(work_tree, index, prefix, "-u", f":/{excluded}", is_literal=False)
            # A tracked file that became a repository has just been staged as a link to it.
            links |= await self._remove_links(work_tree, index)
        standard = () if is_git_directory else ("--exclude-standard",)
        listing = await self._git(
            work_tree, index, "ls-files", "-z", "--others", *standard, config=self._ignore_config()
        )
        self._note_unreadable(listing.stderr, prefix)
        others = listing.records
        if not prefix and self.staged:
            tracked = set((await self._git(work_tree, index, "ls-files", "-z")).records)
            beyond = (path for path in self.staged if path not in tracked and path not in others)
            others += [path for path in beyond if _is_plain_file(work_tree, path)]
        nested = sorted({path.rstrip("/") for path in others if path.endswith("/")} | links)
        plain = [path for path in others if not path.endswith("/") and self._is_small(work_tree, path, prefix)]
        if plain:
            await self._add(work_tree, index, prefix, "--force", "\0".join(plain), is_literal=True)
        for path in nested:
            if (work_tree / path).is_dir() and not (work_tree / path).is_symlink():
                await self._graft(work_tree, index, path, prefix)
        return (await self._git(work_tree, index, "write-tree")).text

    async def _remove_links(self, work_tree: Path, index: Path) -> set[str]:
        listing = await self._git(work_tree, index, "ls-files", "-z", "--stage")
        links = {record.split("\t", 1)[1] for record in listing.records if record.startswith("160000 ")}
        if links:
            names = os.fsencode("".join(f"{path}\0" for path in sorted(links)))
            await self._git(work_tree, index, "update-index", "-z", "--force-remove", "--stdin", input=names)
        return links

    async def _graft(self, work_tree: Path, index: Path, path: str, prefix: str) -> None:
        """Put a nested repository into the index as plain files."""
        self.found.nested.append(shown(f"{prefix}{path}"))
        nested = work_tree / path
        tree = await self.build(nested, None, f"{prefix}{path}/")
        await self._git(work_tree, index, "read-tree", f"--prefix={path}/", tree)
        git = nested / ".git"
        if not self.is_nested_git_kept or not (git.is_symlink() or git.exists()):
            return
        if git.is_dir() and not git.is_symlink():
            tree = await self.build(git, None, f"{prefix}{path}/.git/", is_git_directory=True)
            await self._git(work_tree, index, "read-tree", f"--prefix={path}/{KEPT_GIT}/", tree)
        else:
            content = os.fsencode(os.readlink(git)) if git.is_symlink() else git.read_bytes()
            blob = await run_git("hash-object", "-w", "--stdin", git_dir=self.bare, input=content)
            entry = f"100644,{blob.text},{path}/{KEPT_GIT}"
            await self._git(work_tree, index, "update-index", "--add", "--cacheinfo", entry)

    async def _changed_and_too_large(self, work_tree: Path, index: Path, prefix: str) -> list[str]:
        tracked = (await self._git(work_tree, index, "ls-files", "-z")).records
        suspects = await trio.to_thread.run_sync(
            lambda: [path for path in tracked if _size(work_tree / path) > self.max_file_bytes]
        )
        if not suspects:
            return []
        await self._git(work_tree, index, "update-index", "-q", "--refresh", ok=(0, 1))
        changed = set((await self._git(work_tree, index, "diff-files", "-z", "--name-only")).records)
        large = [path for path in suspects if path in changed]
        self.found.too_large.extend(shown(f"{prefix}{path}") for path in large)
        return large

    def _is_small(self, work_tree: Path, path: str, prefix: str) -> bool:
        if _size(work_tree / path) <= self.max_file_bytes:
            return True
        self.found.too_large.append(shown(f"{prefix}{path}"))
        return False

    async def _add(self, work_tree: Path, index: Path, prefix: str, flag: str, names: str, *, is_literal: bool) -> None:
        result = await self._git(
            work_tree,
            index,
            "add",
            flag,
            "--ignore-errors",
            "--pathspec-from-file=-",
            "--pathspec-file-nul",
            input=os.fsencode(names),
            env={"GIT_LITERAL_PATHSPECS": "1"} if is_literal else {},
            ok=(0, 1, 128),
        )
        if result.status and not self._note_unreadable(result.stderr, prefix):
            self.found.unreadable.append(f"{shown(prefix)}{useful_line(result.stderr)}")

    def _note_unreadable(self, stderr: bytes, prefix: str) -> bool:
        lines = [line for line in stderr.splitlines() if line.startswith(_UNREADABLE)]
        for line in lines:
            detail = line.split(b": ", 1)[1].decode("utf-8", "backslashreplace")
            self.found.unreadable.append(f"{shown(prefix)}: {detail}" if prefix else detail)
        return bool(lines)

    def _ignore_config(self) -> dict[str, str]:
        return {} if self.ignore_file is None else {"core.excludesFile": str(self.ignore_file)}

    async def _git(
        self,
        work_tree: Path,
        index: Path,
        *args: str,
        config: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> GitResult:
        return await run_git(
            *args, git_dir=self.bare, work_tree=work_tree, index=index, config=config, env=env, input=input, ok=ok
        )


async def _staged_paths(bare: Path, work_tree: Path, copy: Path) -> list[str]:
    """What the agent's own index names: ignored files that were added by force are among it."""
    index = work_tree / ".git" / "index"
    if index.is_symlink() or not index.is_file() or index.parent.is_symlink():
        return []
    await trio.to_thread.run_sync(shutil.copyfile, index, copy)
    # An index that git cannot read names nothing; the files themselves are found without it.
    return (await run_git("ls-files", "-z", git_dir=bare, work_tree=work_tree, index=copy, ok=(0, 128))).records


def _is_plain_file(work_tree: Path, path: str) -> bool:
    """Whether a path is a file or link reached through real directories of the work tree alone."""
    place = work_tree
    for part in Path(path).parts[:-1]:
        place = place / part
        if place.is_symlink() or (place / ".git").exists():
            return False
    place = work_tree / path
    return place.is_symlink() or place.is_file()


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
