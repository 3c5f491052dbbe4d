"""What judging candidates left on disk: given up when nobody looks at it any more."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.model.generation import UNSETTLED_STATES
from ringmaster.reload.snapshot import CANDIDATES, prune_trees
from ringmaster.store import Store, generations
from ringmaster.store.connection import Connection
from ringmaster.workspace.git_directory import remove_tree

log = logging.getLogger("ringmaster.reload")

KEPT = 20
"""Generations whose logs and snapshots stay, besides what boots and what is not settled."""
LOOKED_THROUGH = 1_000


class _Kept(NamedTuple):
    ids: frozenset[str]
    trees: frozenset[str]


async def prune_leftovers(store: Store, state: Path, booting: Collection[int]) -> None:
    """Remove directories of candidates, and snapshots, that are older. What cannot be removed is left, with a line.

    booting: numbers of generations that the boot record names.
    """
    kept = await store.read(_kept, booting)
    try:
        await trio.to_thread.run_sync(_remove_directories, state / CANDIDATES, kept.ids)
        await prune_trees(state, kept.trees)
    except (RingmasterError, OSError) as error:
        log.warning("what candidates left is not cleared away: %s", error)


def _kept(conn: Connection, booting: Collection[int]) -> _Kept:
    newest = generations.newest(conn, LOOKED_THROUGH)
    found = newest[:KEPT] + [one for one in newest[KEPT:] if one.id in booting or one.state in UNSETTLED_STATES]
    return _Kept(frozenset(str(one.id) for one in found), frozenset(one.tree for one in found if one.tree))


def _remove_directories(candidates: Path, kept: Collection[str]) -> None:
    for path in candidates.glob("[0-9]*"):
        if path.name.isdecimal() and path.name not in kept:
            remove_tree(path)
