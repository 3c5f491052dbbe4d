"""Keeping everything of a workspace before anything of it is destroyed, and removing it afterwards."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.workspace.agent_git import fetch_objects, read_agent_git
from ringmaster.workspace.collect import Author
from ringmaster.workspace.git import run_git
from ringmaster.workspace.git_directory import remove_tree, unfinished_paths
from ringmaster.workspace.refs import keep_prefix, read_ref
from ringmaster.workspace.work_tree import write_work_tree

MAX_KEPT_FILE_BYTES = 2_000_000_000


class Snapshot(msgspec.Struct, frozen=True):
    """A workspace as kept. commit: its tree is the files on disk (a nested repository's `.git` as
    `dot-git`), its message lists every ref and object kept. unkept: in words, what could not be."""

    ref: str
    commit: str
    kept_objects: int
    unkept: tuple[str, ...]


async def take_snapshot(
    bare: Path, workspace: Path, attempt_id: str, now: float, *, max_file_bytes: int = MAX_KEPT_FILE_BYTES
) -> Snapshot:
    """Keep a workspace in the daemon's repository under `refs/ringmaster/keep/<attempt>/snapshot-…`.

    Tracked files, untracked ones not ignored, every ref, stash and reflog entry, nested repositories
    with their `.git`. now: unix seconds, the kept commit's date, from which `keep_days` counts. An
    unchanged workspace gives the snapshot it has. The workspace is only read. Raises `GitError`.
    """
    agent = await trio.to_thread.run_sync(read_agent_git, workspace)
    wanted = {*agent.refs.values(), *agent.reflog, *([agent.head] if agent.head else [])}
    missing = await fetch_objects(bare, workspace, attempt_id, wanted, is_checked=False)
    named = {value: name for name, value in agent.refs.items()}
    # A reflog may name what the agent's own gc has removed: it was lost before, and not by us.
    unkept = [f"{named[id]} ({id[:12]}) cannot be read" for id in missing if id in named]
    start = agent.head if agent.head in wanted.difference(missing) else None
    start = start or await read_ref(bare, f"{keep_prefix(attempt_id)}/base")
    work = await write_work_tree(bare, workspace, start, max_file_bytes=max_file_bytes, is_nested_git_kept=True)
    unkept += [f"{path} is too large" for path in work.too_large]
    unkept += [f"cannot be read: {path}" for path in work.unreadable]
    kept = wanted.difference(missing)
    lines = sorted(f"{value} {name}" for name, value in agent.refs.items())
    lines += sorted(f"{value} (reflog)" for value in kept.difference(named))
    message = f"Snapshot of {attempt_id}\n\nHEAD {agent.branch or agent.head}\n" + "\n".join(lines) + "\n"
    return await _record(bare, attempt_id, work.tree, message, now, len(kept), tuple(unkept))


async def _record(
    bare: Path, attempt_id: str, tree: str, message: str, now: float, kept: int, unkept: tuple[str, ...]
) -> Snapshot:
    # The name comes from the content alone, so that repeating changes nothing, not even the date.
    identity = await run_git("hash-object", "--stdin", git_dir=bare, input=f"{tree}\n{message}".encode())
    ref = f"{keep_prefix(attempt_id)}/snapshot-{identity.text[:16]}"
    existing = await run_git("for-each-ref", "--format=%(objectname)", ref, git_dir=bare)
    commit = existing.text
    if not commit:
        made = await run_git(
            "commit-tree",
            tree,
            git_dir=bare,
            input=message.encode(errors="backslashreplace"),
            env=Author().environment(now),
        )
        commit = made.text
        await run_git("update-ref", ref, commit, git_dir=bare)
    return Snapshot(ref=ref, commit=commit, kept_objects=kept, unkept=unkept)


async def remove_workspace(bare: Path, workspace: Path, snapshot: Snapshot) -> None:
    """Remove a workspace that `snapshot` has kept whole. May be repeated after a kill.

    Raises `RingmasterError` (refused) when something could not be kept, or the snapshot is not in the
    repository: nothing is removed then.
    """
    if snapshot.unkept:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{workspace} is not removed: {snapshot.unkept[0]}",
            "save what is wanted by hand, remove the rest, and try again",
        )
    held = await run_git("for-each-ref", "--format=%(objectname)", snapshot.ref, git_dir=bare)
    if held.text != snapshot.commit:
        raise RingmasterError(ErrorKind.REFUSED, f"{workspace} is not removed: its snapshot is gone", "take a new one")
    going = workspace.with_name(f"{workspace.name}.removing")
    await trio.to_thread.run_sync(remove_tree, going)
    if workspace.exists():
        workspace.rename(going)
    for remnant in (going, *unfinished_paths(workspace)):
        await trio.to_thread.run_sync(remove_tree, remnant)
