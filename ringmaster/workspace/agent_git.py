"""Reading a workspace's `.git` that an agent has had in its hands, without running git on it.

Refs are read from their files. Objects come in through a *proxy*: a bare repository made here, with
the daemon's own configuration, whose alternate is the workspace's object directory. So no filter,
hook, include or hidden ref that an agent wrote into its configuration is ever looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from ringmaster.workspace.git import TRANSFER_TIMEOUT_S, run_git, shown
from ringmaster.workspace.git_directory import write_git_directory
from ringmaster.workspace.refs import keep_prefix

_OBJECT = re.compile(rb"(?:[0-9a-f]{64}|[0-9a-f]{40})")
_PSEUDO = ("ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD")
MAX_REFLOG_ENTRIES = 20_000
MAX_FILE_BYTES = 64_000_000


class AgentGit(msgspec.Struct, frozen=True):
    """What a workspace's `.git` says.

    head: the commit HEAD stands on, None where it cannot be told. branch: the ref HEAD names, None
    when detached. refs: every ref, pseudo ref and head of a linked work tree. reflog: objects only
    reflogs name (stashes below the top, commits reset away). under_way: `merge`, `rebase`, … begun
    and not ended. is_gone: there is no `.git` directory to read.
    """

    head: str | None
    branch: str | None
    refs: dict[str, str]
    reflog: tuple[str, ...]
    under_way: tuple[str, ...]
    is_gone: bool = False


def read_agent_git(workspace: Path) -> AgentGit:
    """Read the workspace's `.git` by hand. Blocking; a `.git` that is a file or link counts as gone."""
    directory = workspace / ".git"
    if directory.is_symlink() or not (directory / "objects").is_dir():
        return AgentGit(head=None, branch=None, refs={}, reflog=(), under_way=(), is_gone=True)
    refs = _packed_refs(directory / "packed-refs") | _loose_refs(directory)
    head, branch = _head(directory / "HEAD", refs)
    for name in _PSEUDO:
        if value := _object(directory / name):
            refs[name] = value
    for tree in sorted((directory / "worktrees").glob("*")):
        value, _ = _head(tree / "HEAD", refs)
        if value:
            refs[f"worktrees/{shown(tree.name)}/HEAD"] = value
    return AgentGit(
        head=head, branch=branch, refs=refs, reflog=_reflog(directory / "logs"), under_way=_under_way(directory)
    )


async def fetch_objects(
    bare: Path, workspace: Path, attempt_id: str, wanted: Iterable[str], *, is_checked: bool
) -> list[str]:
    """Bring objects of the workspace, with all they need, into `bare` under the attempt's keep refs.

    is_checked: refuse malformed objects (fsck), as for what may land; without it whatever can be read
    is kept. Returns the ids that are not whole in the workspace and could not be brought. May be
    repeated. Raises `GitError` when the transfer fails for another reason.
    """
    ids = sorted(set(wanted))
    if not ids:
        return []
    async with _open_proxy(bare, workspace) as proxy:
        listing = await run_git(
            "cat-file",
            "--batch-check=%(objectname) %(objecttype)",
            git_dir=proxy,
            input="\n".join(ids).encode() + b"\n",
        )
        kinds = dict(line.split(" ", 1) for line in listing.text.splitlines())
        present = [id for id in ids if kinds.get(id) in ("commit", "tag", "tree", "blob")]
        missing = [id for id in ids if id not in present]
        if present and await _fetch(bare, proxy, attempt_id, present, is_checked):
            return missing
        # One broken object fails a whole fetch; apart, only what is broken stays behind.
        for id in present:
            if not await _fetch(bare, proxy, attempt_id, [id], is_checked):
                missing.append(id)
        return missing


async def _fetch(bare: Path, proxy: Path, attempt_id: str, ids: list[str], is_checked: bool) -> bool:
    (proxy / "packed-refs").write_text("".join(f"{id} refs/keep/{id}\n" for id in ids))
    check = "true" if is_checked else "false"
    result = await run_git(
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--update-shallow",
        str(proxy),
        f"+refs/keep/*:{keep_prefix(attempt_id)}/commits/*",
        git_dir=bare,
        config={"fetch.fsckObjects": check, "transfer.fsckObjects": check, "fetch.fsck.zeroPaddedFilemode": "ignore"},
        ok=(0, 1, 128),
        timeout_s=TRANSFER_TIMEOUT_S,
    )
    return result.status == 0


@asynccontextmanager
async def _open_proxy(bare: Path, workspace: Path) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="proxy-", dir=bare, ignore_cleanup_errors=True) as holder:
        proxy = Path(holder) / "proxy.git"
        write_git_directory(proxy, bare, [workspace / ".git", bare], head="ref: refs/heads/none", is_bare=True)
        yield proxy
        await trio.to_thread.run_sync(lambda: shutil.rmtree(proxy, ignore_errors=True))


def _read(path: Path) -> bytes:
    """A regular file's bytes, or none: links, fifos and giants that an agent left are not opened."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return b""
        return path.read_bytes()
    except OSError:
        return b""


def _object(path: Path) -> str | None:
    found = _OBJECT.fullmatch(_read(path).strip())
    return found.group().decode() if found else None


def _head(path: Path, refs: dict[str, str]) -> tuple[str | None, str | None]:
    text = _read(path).strip()
    if text.startswith(b"ref: "):
        branch = os.fsdecode(text[5:].strip())
        return refs.get(shown(branch)), shown(branch)
    found = _OBJECT.fullmatch(text)
    return (found.group().decode(), None) if found else (None, None)


def _packed_refs(path: Path) -> dict[str, str]:
    refs = {}
    for line in _read(path).splitlines():
        value, _, name = line.partition(b" ")
        if name and _OBJECT.fullmatch(value):
            refs[shown(os.fsdecode(name))] = value.decode()
    return refs


def _loose_refs(directory: Path) -> dict[str, str]:
    refs = {}
    for folder, _, names in os.walk(directory / "refs"):
        for name in names:
            path = Path(folder, name)
            if value := _object(path):
                refs[shown(str(path.relative_to(directory)))] = value
    return refs


def _reflog(directory: Path) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            for line in _read(Path(folder, name)).splitlines():
                for part in line.split(b" ", 2)[:2]:
                    if _OBJECT.fullmatch(part) and part.strip(b"0"):
                        found[part.decode()] = None
                if len(found) >= MAX_REFLOG_ENTRIES:
                    return tuple(found)
    return tuple(found)


def _under_way(directory: Path) -> tuple[str, ...]:
    marks = {
        "MERGE_HEAD": "merge",
        "rebase-merge": "rebase",
        "rebase-apply": "rebase",
        "CHERRY_PICK_HEAD": "cherry-pick",
        "REVERT_HEAD": "revert",
        "BISECT_START": "bisect",
    }
    return tuple(dict.fromkeys(word for mark, word in marks.items() if os.path.lexists(directory / mark)))
