"""What changed between two commits of the daemon's repository."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ringmaster.workspace.git import run_git, run_git_capped, shown

EMPTY_MODE = "000000"
LINK_MODE = "120000"


class ChangedFile(msgspec.Struct, frozen=True):
    """One changed path. status: `A`, `M`, `D` or `T` (type). added, deleted: lines, None if binary.

    path is fit for JSON: bytes that are not UTF-8 are shown as `\\xNN`. A rename is a `D` and an `A`.
    """

    path: str
    status: str
    added: int | None
    deleted: int | None
    is_link: bool = False


async def changed_files(bare: Path, base: str, head: str) -> tuple[ChangedFile, ...]:
    """The files that differ between the trees of two commits, by path. Raises `GitError`."""
    raw = (await run_git("diff-tree", "-r", "-z", "--raw", "--no-renames", base, head, git_dir=bare)).records
    counts = await run_git(
        "diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", base, head, git_dir=bare
    )
    lines: dict[str, tuple[int | None, int | None]] = {}
    for record in counts.records:
        added, deleted, path = record.split("\t", 2)
        lines[path] = (None, None) if added == "-" else (int(added), int(deleted))
    found = []
    for meta, path in zip(raw[::2], raw[1::2], strict=True):
        _, new_mode, _, _, status = meta.split(" ")
        added_lines, deleted_lines = lines.get(path, (None, None))
        found.append(
            ChangedFile(
                path=shown(path),
                status=status[0],
                added=added_lines,
                deleted=deleted_lines,
                is_link=new_mode == LINK_MODE,
            )
        )
    return tuple(found)


def diffstat(files: Sequence[ChangedFile]) -> str:
    """One line, for example `3 files, +10 -2`."""
    added = sum(file.added or 0 for file in files)
    deleted = sum(file.deleted or 0 for file in files)
    return f"{len(files)} file{'' if len(files) == 1 else 's'}, +{added} -{deleted}"


async def diff_text(bare: Path, base: str, head: str, max_bytes: int = 1_000_000) -> str:
    """The patch from base to head, cut at `max_bytes`. Bytes that are not UTF-8 are shown as `\\xNN`."""
    patch = await run_git_capped(
        "diff", "--no-color", "--no-ext-diff", "--no-textconv", base, head, git_dir=bare, max_bytes=max_bytes
    )
    return patch.decode("utf-8", "backslashreplace")


async def patch_part(bare: Path, base: str, head: str, *, offset: int, max_bytes: int) -> bytes:
    """The bytes of the patch from `offset` on, at most `max_bytes`; git makes what lies before them too."""
    patch = await run_git_capped(
        "diff",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        base,
        head,
        git_dir=bare,
        max_bytes=offset + max_bytes,
    )
    return patch[offset:]


async def read_files(
    bare: Path, commit: str, paths: Sequence[str], max_bytes: int = 2_000_000
) -> dict[str, bytes | None]:
    """The contents of files at a commit; None for one that is absent, no file, or over `max_bytes`.

    Paths are as git has them, not as shown.
    """
    contents: dict[str, bytes | None] = dict.fromkeys(paths)
    asked = [path for path in paths if "\n" not in path]
    if not asked:
        return contents
    request = b"".join(os.fsencode(f"{commit}:{path}\n") for path in asked)
    sizes = await run_git("cat-file", "--batch-check=%(objecttype) %(objectsize)", git_dir=bare, input=request)
    small = []
    for path, line in zip(asked, sizes.stdout.splitlines(), strict=True):
        kind, _, size = line.rpartition(b" ")
        if kind == b"blob" and int(size) <= max_bytes:
            small.append(path)
    if not small:
        return contents
    request = b"".join(os.fsencode(f"{commit}:{path}\n") for path in small)
    stream = (await run_git("cat-file", "--batch=%(objectsize)", git_dir=bare, input=request)).stdout
    at = 0
    for path in small:
        end = stream.index(b"\n", at)
        size_b = int(stream[at:end])
        contents[path] = stream[end + 1 : end + 1 + size_b]
        at = end + 1 + size_b + 1
    return contents


async def is_same_tree(bare: Path, one: str, other: str) -> bool:
    """Whether two commits have the same content."""
    trees = await run_git("rev-parse", f"{one}^{{tree}}", f"{other}^{{tree}}", git_dir=bare)
    first, second = trees.text.split("\n")
    return first == second
