"""The daemon's own bare repository of a project, and what it knows of the user's branches."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path

import msgspec
import trio

from ringmaster.workspace.git import TRANSFER_TIMEOUT_S, GitError, run_git
from ringmaster.workspace.refs import (
    is_ancestor,
    parked_ref,
    read_ref,
    seen_parked_ref,
    seen_target_ref,
    target_ref,
)
from ringmaster.workspace.user_repository import UserRepository, target_missing

_OWN_CONFIG = {
    "gc.auto": "0",
    "maintenance.auto": "false",
    "receive.autogc": "false",
    "core.hooksPath": "/dev/null",
    "core.logAllRefUpdates": "false",
    "core.fsync": "committed",
}


FETCH_ATTEMPTS = 5


class TipState(StrEnum):
    """How the parked branch stands to the target."""

    TARGET = "target"
    PARKED = "parked"
    DIVERGED = "diverged"


class Tip(msgspec.Struct, frozen=True):
    """Where the next attempt starts and the next landing goes on top.

    commit: that place. target: the user's branch. parked: the parked branch where there is one.
    state: `target` (nothing parked that the target lacks), `parked` (the parked stack contains the
    target and is the tip) or `diverged` (each has commits the other lacks; `commit` is the target's,
    and the stack wants to be merged onto it and gated again).
    """

    commit: str
    target: str
    parked: str | None
    state: TipState


async def ensure_repository(bare: Path, user: UserRepository) -> None:
    """Make the daemon's repository at `bare` if it is not there, whole, with the target and all tags.

    It shares no object with the user's. Made beside its place and renamed, so after a kill at any
    moment it is there whole or not at all. Raises `GitError`, naming `bare` when that was damaged:
    what is left of it may hold work that nothing else has, so it is not replaced unasked.
    """
    if not (bare / "HEAD").is_file():
        half = bare.with_name(f"{bare.name}.cloning")
        await trio.to_thread.run_sync(lambda: shutil.rmtree(half, ignore_errors=True))
        bare.parent.mkdir(parents=True, exist_ok=True)
        object_format = await run_git("rev-parse", "--show-object-format", git_dir=user.common_dir, is_user=True)
        await run_git(
            "init",
            "--quiet",
            "--bare",
            "--template=",
            f"--object-format={object_format.text}",
            str(half),
            cwd=bare.parent,
        )
        await _configure(half, user)
        await _fetch(half, user, user.target, has_parked=False, has_tags=True)
        half.rename(bare)
        return
    try:
        await _configure(bare, user)
    except GitError as error:
        if (bare / "objects").is_dir() and (bare / "refs").is_dir():
            raise
        words = f"the daemon's copy {bare} is damaged: move it away, and a new one is made at the next attempt"
        raise GitError(words, error.message) from error


async def fetch_target(bare: Path, user: UserRepository, target: str) -> str:
    """Bring the user's target, wherever it has moved, into the daemon's repository; return its commit.

    The parked branch comes along. Works whatever HEAD of the user is on. Raises `RingmasterError`
    (not_found) where the branch was deleted, `GitError` otherwise. The user's repository is only read.
    """
    for attempts_left in reversed(range(FETCH_ATTEMPTS)):
        wanted = await read_ref(user.common_dir, f"{target_ref(target)}^{{commit}}", is_user=True)
        if wanted is None:
            raise target_missing(user.path, target)
        parked = await read_ref(user.common_dir, parked_ref(target), is_user=True)
        seen = await read_ref(bare, seen_target_ref(target))
        seen_parked = await read_ref(bare, seen_parked_ref(target))
        if wanted == seen and parked == seen_parked:
            return wanted
        try:
            if parked is None and seen_parked is not None:
                await run_git("update-ref", "-d", seen_parked_ref(target), git_dir=bare)
            await _fetch(bare, user, target, has_parked=parked is not None, has_tags=True)
        except GitError:
            # Several attempts of a project start at once: whoever lost the race for the ref looks again.
            if not attempts_left:
                raise
        else:
            break
    commit = await read_ref(bare, seen_target_ref(target))
    assert commit is not None
    return commit


async def tip_for(bare: Path, user: UserRepository, target: str) -> Tip:
    """Fetch, then say where new work starts. Raises as `fetch_target`."""
    commit = await fetch_target(bare, user, target)
    parked = await read_ref(bare, seen_parked_ref(target))
    if parked is None or parked == commit or await is_ancestor(bare, parked, commit):
        return Tip(commit=commit, target=commit, parked=parked, state=TipState.TARGET)
    if await is_ancestor(bare, commit, parked):
        return Tip(commit=parked, target=commit, parked=parked, state=TipState.PARKED)
    return Tip(commit=commit, target=commit, parked=parked, state=TipState.DIVERGED)


async def _configure(bare: Path, user: UserRepository) -> None:
    for name, value in _OWN_CONFIG.items():
        current = await run_git("config", "--local", "--get", name, git_dir=bare, ok=(0, 1))
        if current.text != value:
            await run_git("config", "--local", name, value, git_dir=bare)
    # What the user ignores without saying so in the tree must not become part of an agent's commit.
    ignored = user.common_dir / "info" / "exclude"
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "exclude").write_bytes(ignored.read_bytes() if ignored.is_file() else b"")


async def _fetch(bare: Path, user: UserRepository, target: str, *, has_parked: bool, has_tags: bool) -> None:
    specs = [f"+{target_ref(target)}:{seen_target_ref(target)}"]
    if has_parked:
        specs.append(f"+{parked_ref(target)}:{seen_parked_ref(target)}")
    if has_tags:
        specs.append("+refs/tags/*:refs/tags/*")
    await run_git(
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--update-shallow",
        str(user.common_dir),
        *specs,
        git_dir=bare,
        timeout_s=TRANSFER_TIMEOUT_S,
    )
