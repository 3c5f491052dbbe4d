"""Trees of a self project: a place in the state where they are kept and read, and what is on disk as one of them.

`<state>/candidates/trees.git` is a repository without refs or objects of its own but snapshots; what the user's
repositories hold is borrowed from there. So a snapshot writes nothing to the user's repository, and no command that
reads a tree runs with its configuration or its hooks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.reload.release import SourceFile
from ringmaster.store.disk import free_bytes, is_disk_full
from ringmaster.workspace.git import GitError, run_git, shown
from ringmaster.workspace.git_directory import remove_tree, write_git_directory

CANDIDATES = "candidates"
RELEASE_PATHS = ("ringmaster", "sql", "bin/ringmasterd", "requirements.lock")
"""What of a tree becomes a release."""
KEPT_REFS = "refs/ringmaster/trees"
_FULL_WORDS = ("No space left on device", "Disk quota exceeded")
_FULL_BYTES = 1 << 20
_LEFT_OVER = ("~", ".pyc", ".orig", ".rej")
_EXECUTABLE, _PLAIN = "100755", "100644"


class TreeChanging(RingmasterError):
    """The files changed while they were read: look again when they rest."""


async def open_trees(state: Path, common_dir: Path) -> Path:
    """The git directory in the state in which the trees of the repository at `common_dir` can be read.

    Made where it is not there yet; repositories that are gone are no longer borrowed from.
    Raises OSError, and RingmasterError DISK_FULL.
    """
    with disk_full_in_words(state):
        return await trio.to_thread.run_sync(_open_trees, state, common_dir)


def _open_trees(state: Path, common_dir: Path) -> Path:
    trees = state / CANDIDATES / "trees.git"
    if not (trees / "HEAD").is_file():
        trees.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="trees-", dir=trees.parent) as scratch:
            fresh = Path(scratch, "trees.git")
            write_git_directory(fresh, common_dir, [common_dir], head="ref: refs/heads/none", is_bare=True)
            # What the user's repository is cut off at, and leaves out, is its affair.
            for name in ("info/exclude", "shallow"):
                (fresh / name).unlink(missing_ok=True)
            fresh.rename(trees)
    alternates = trees / "objects" / "info" / "alternates"
    wanted = str(common_dir.absolute() / "objects")
    known = alternates.read_text(errors="surrogateescape").splitlines() if alternates.exists() else []
    lines = [line for line in dict.fromkeys([*known, wanted]) if os.path.isdir(line)]
    if lines != known:
        fresh_lines = alternates.with_name(f"alternates.{os.getpid()}")
        fresh_lines.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape")
        fresh_lines.replace(alternates)
    return trees


async def snapshot_tree(trees: Path, git_dir: Path, common_dir: Path, work_tree: Path, head: str) -> str:
    """The tree of what is on disk: tracked in `head`, or untracked and not ignored. The user's files are only read.

    It is taken twice, with an index and an object directory in the state.
    Raises TreeChanging when the two differ, DISK_FULL without room, GitError for what cannot be read.
    """
    with disk_full_in_words(trees.parent):
        with tempfile.TemporaryDirectory(prefix="index-", dir=trees.parent, ignore_cleanup_errors=True) as scratch:
            index = Path(scratch, "index")
            env = {
                "GIT_OBJECT_DIRECTORY": str(trees / "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(common_dir.absolute() / "objects"),
            }

            async def run(*args: str) -> str:
                # A split index would be written beside the user's own.
                config = {"core.splitIndex": "false", "advice.addEmbeddedRepo": "false", "core.untrackedCache": "false"}
                done = await run_git(
                    *args, git_dir=git_dir, work_tree=work_tree, index=index, env=env, is_user=True, config=config
                )
                return done.text

            await run("read-tree", head)
            await run("add", "--all", "--", ".")
            first = await run("write-tree")
            await run("add", "--all", "--", ".")
            if await run("write-tree") != first:
                raise TreeChanging(ErrorKind.TIMED_OUT, f"the tree is changing: {work_tree}", "it is looked at again")
            return first


def _quoted(path: Path) -> str:
    """A path as git reads it in a list that colons separate."""
    text = str(path)
    if ":" not in text and not text.startswith('"'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@contextlib.contextmanager
def disk_full_in_words(place: Path) -> Iterator[None]:
    """Tell a full disk at `place`, which git does not always name, from everything else. Raises DISK_FULL for it."""
    try:
        yield
    except (GitError, OSError) as error:
        # A limit on the size of files, which the kernel tells by a signal, is no different from one on all of them.
        is_limited = isinstance(error, GitError) and error.status == -signal.SIGXFSZ
        is_named = is_disk_full(error) or any(words in str(error) for words in _FULL_WORDS)
        if is_limited or is_named or free_bytes(place) < _FULL_BYTES:
            raise RingmasterError(
                ErrorKind.DISK_FULL, "the disk is full: the tree cannot be copied", "make room; it is tried again"
            ) from error
        raise


async def commit_of_tree(trees: Path, tree: str) -> str:
    """A commit of `tree` without parents, always the same, for what takes a commit to check out. Raises GitError."""
    date = {"GIT_AUTHOR_DATE": "@0 +0000", "GIT_COMMITTER_DATE": "@0 +0000"}
    return (await run_git("commit-tree", tree, git_dir=trees, input=b"A candidate\n", env=date)).text


async def release_files(trees: Path, tree: str) -> tuple[SourceFile, ...]:
    """The files of a tree that become a release: those that a package with this source has. Raises GitError."""
    files = await read_files(trees, tree, RELEASE_PATHS)
    return tuple(file for file in files if not _is_left_out(file.path))


def _is_left_out(path: str) -> bool:
    # As where a release is made of the running package: the same source must have the same hash.
    parts = path.split("/")
    return any(part.startswith(".") or part == "__pycache__" for part in parts) or path.endswith(_LEFT_OVER)


async def read_files(trees: Path, tree: str, paths: Sequence[str]) -> tuple[SourceFile, ...]:
    """The regular files of a tree below `paths`; links and nested repositories are left out. Raises GitError."""
    listing = await run_git("ls-tree", "-r", "-z", "--full-tree", tree, "--", *paths, git_dir=trees)
    found = []
    for record in listing.records:
        meta, path = record.split("\t", 1)
        mode, _, object_id = meta.split(" ")
        if mode in (_EXECUTABLE, _PLAIN):
            found.append((path, mode == _EXECUTABLE, object_id))
    contents = await read_blobs(trees, [object_id for _, _, object_id in found])
    return tuple(
        SourceFile(path, is_executable, content)
        for (path, is_executable, _), content in zip(found, contents, strict=True)
    )


async def read_blobs(trees: Path, object_ids: Sequence[str]) -> list[bytes]:
    """The contents of blobs, in their order. Raises GitError, also (NOT_FOUND) for one that is not there."""
    if not object_ids:
        return []
    lines = "".join(f"{object_id}\n" for object_id in object_ids).encode()
    output = (await run_git("cat-file", "--batch", git_dir=trees, input=lines)).stdout
    contents, at = [], 0
    for object_id in object_ids:
        end = output.index(b"\n", at)
        words = output[at:end].split(b" ")
        if len(words) != 3:
            raise GitError(f"object {object_id[:12]} is gone", kind=ErrorKind.NOT_FOUND)
        size = int(words[2])
        contents.append(output[end + 1 : end + 1 + size])
        at = end + 1 + size + 1
    return contents


class ChangedBlob:
    """One path that differs between two trees; None where it is not there. Made by `changed_blobs`."""

    __slots__ = ("new", "old", "path", "status")

    def __init__(self, path: str, status: str, old: bytes | None, new: bytes | None) -> None:
        self.path = path
        self.status = status
        self.old = old
        self.new = new


async def changed_blobs(trees: Path, old: str, new: str, paths: Sequence[str] = ()) -> list[ChangedBlob]:
    """What differs between two trees, with the texts. A rename is a removal and an addition. Raises GitError."""
    listing = await run_git(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index", old, new, "--", *paths, git_dir=trees
    )
    rows = []
    for meta, path in zip(listing.records[::2], listing.records[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, status = meta.lstrip(":").split(" ")
        is_file = (old_mode in (_EXECUTABLE, _PLAIN), new_mode in (_EXECUTABLE, _PLAIN))
        rows.append((path, status[0], old_id if is_file[0] else "", new_id if is_file[1] else ""))
    wanted = [object_id for row in rows for object_id in row[2:] if object_id]
    texts = dict(zip(wanted, await read_blobs(trees, wanted), strict=True))
    return [ChangedBlob(shown(path), status, texts.get(a), texts.get(b)) for path, status, a, b in rows]


async def has_tree(trees: Path, tree: str) -> bool:
    """Whether a tree can be read: a person's repository may have given it up."""
    if not tree:
        return False
    return (await run_git("cat-file", "-e", f"{tree}^{{tree}}", git_dir=trees, ok=(0, 1, 128))).status == 0


async def prune_trees(state: Path, kept: Collection[str], *, older_s: int = 3600) -> None:
    """Give up snapshots that are none of `kept` and older than `older_s`: what was edited once is not kept for ever.

    What a killed daemon left of an unfinished one goes too. Raises GitError, OSError.
    """
    trees = state / CANDIDATES / "trees.git"
    await trio.to_thread.run_sync(_remove_scratch, trees.parent, time.time() - older_s)
    if not (trees / "HEAD").is_file():
        return
    known = (await run_git("for-each-ref", "--format=%(refname:lstrip=3)", KEPT_REFS, git_dir=trees)).text.split()
    lines = [f"delete {KEPT_REFS}/{tree}" for tree in known if tree not in kept]
    lines += [f"update {KEPT_REFS}/{tree} {tree}" for tree in kept if tree not in known and await has_tree(trees, tree)]
    if lines:
        await run_git("update-ref", "--stdin", git_dir=trees, input=("\n".join(lines) + "\n").encode())
    await run_git("prune", f"--expire={older_s}.seconds.ago", git_dir=trees)


def _remove_scratch(directory: Path, before: float) -> None:
    for path in (*directory.glob("index-*"), *directory.glob("trees-*")):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime < before:
                remove_tree(path)
