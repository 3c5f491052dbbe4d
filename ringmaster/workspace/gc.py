"""Upkeep of a daemon's repository: letting go of what was kept long enough, repacking, pruning.

The order is fixed: workspace, then its refs, then objects. A workspace borrows objects without the
daemon's git knowing, so as long as one exists nothing unreachable is pruned.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import msgspec

from ringmaster.workspace.git import TRANSFER_TIMEOUT_S, run_git
from ringmaster.workspace.refs import KEEP, keep_prefix

DAY_S = 86_400.0
_INSIDE = re.compile(r"/(?:commits/[0-9a-f]+|base|head|gate|snapshot-[0-9a-f]+)$")


class Upkeep(msgspec.Struct, frozen=True):
    """What gc did, or with `dry_run` would do. expired: attempts whose refs go. sizes in KiB."""

    expired: tuple[str, ...]
    kept: tuple[str, ...]
    is_pruned: bool
    size_before_kib: int
    size_after_kib: int


async def collect_garbage(
    bare: Path,
    live_attempts: Collection[str],
    is_workspace_left: bool,
    keep_days: float,
    now: float,
    *,
    is_dry_run: bool = False,
) -> Upkeep:
    """Drop refs of attempts past `keep_days`, repack, and prune when no workspace is left.

    live_attempts: attempts whose workspace exists or that are running: never touched. An attempt's
    age counts from its last snapshot, else from its newest kept commit. The caller sees to it that
    no workspace of this repository is made meanwhile. May be repeated after a kill. Raises `GitError`.
    """
    newest = await _kept_attempts(bare)
    expired = tuple(sorted(id for id, at in newest.items() if id not in live_attempts and at + keep_days * DAY_S < now))
    kept = tuple(sorted(set(newest) - set(expired)))
    before = await _size_kib(bare)
    is_pruned = not is_workspace_left and not live_attempts
    if is_dry_run:
        return Upkeep(expired, kept, is_pruned, before, before)
    for attempt_id in expired:
        await drop_keep_refs(bare, attempt_id)
    flags = "-adq" if is_pruned else "-adkq"
    await run_git("repack", flags, git_dir=bare, timeout_s=TRANSFER_TIMEOUT_S)
    if is_pruned:
        await run_git("prune", "--expire=now", git_dir=bare, timeout_s=TRANSFER_TIMEOUT_S)
    await run_git("pack-refs", "--all", git_dir=bare)
    return Upkeep(expired, kept, is_pruned, before, await _size_kib(bare))


async def drop_keep_refs(bare: Path, attempt_id: str) -> None:
    """Let go of everything kept for an attempt. Its workspace must be gone."""
    listing = await run_git("for-each-ref", "--format=delete %(refname)", f"{keep_prefix(attempt_id)}/", git_dir=bare)
    if listing.stdout:
        await run_git("update-ref", "--stdin", git_dir=bare, input=listing.stdout)


async def _kept_attempts(bare: Path) -> dict[str, float]:
    """Per attempt, the unix time its keeping counts from."""
    listing = await run_git(
        "for-each-ref", "--format=%(refname) %(committerdate:unix)%(taggerdate:unix)", f"{KEEP}/", git_dir=bare
    )
    snapshots: dict[str, float] = {}
    others: dict[str, float] = {}
    for line in listing.text.splitlines():
        name, _, date = line.partition(" ")
        inside = _INSIDE.search(name)
        if inside is None:
            continue
        attempt_id = name[len(KEEP) + 1 : inside.start()]
        times = snapshots if "/snapshot-" in inside.group() else others
        times[attempt_id] = max(times.get(attempt_id, 0.0), float(date or 0))
    return others | snapshots


async def _size_kib(bare: Path) -> int:
    counts = await run_git("count-objects", "-v", git_dir=bare)
    fields = dict(line.split(": ", 1) for line in counts.text.splitlines() if ": " in line)
    return int(fields.get("size", 0)) + int(fields.get("size-pack", 0))
