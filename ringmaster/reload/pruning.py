"""Which releases may go: none that boots, that a person may go back to, or from which something still runs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import trio

from ringmaster.model.generation import UNSETTLED_STATES, GenerationState
from ringmaster.reload.boot_record import read_record
from ringmaster.reload.environment import ENVIRONMENTS
from ringmaster.reload.leftovers import prune_leftovers
from ringmaster.reload.prune import prune
from ringmaster.reload.release import RELEASES
from ringmaster.settings import Paths
from ringmaster.store import Store, generations
from ringmaster.store.connection import Connection

log = logging.getLogger("ringmaster.reload")

SCANNED = 1_000


async def prune_releases(store: Store, paths: Paths, keep: int) -> None:
    """Remove the releases and environments that nothing needs, and what judging left.

    keep: good generations besides those that boot. What cannot be removed is left, with a line: a start must not end
    at it.
    """
    record = await trio.to_thread.run_sync(read_record, paths.state)
    booting = [image for image in (record.good, record.before) if image is not None] if record is not None else []
    kept = await store.read(_kept, keep, frozenset(image.release for image in booting))
    try:
        await trio.to_thread.run_sync(_prune, paths.state, kept)
    except OSError as error:
        log.warning("releases that nothing needs are not all removed: %s", error)
    await prune_leftovers(store, paths.state, [image.generation for image in booting])


def _kept(conn: Connection, keep: int, booting: frozenset[str]) -> frozenset[str]:
    newest = generations.newest(conn, SCANNED)
    # A release that was taken twice is one.
    others = {one.release: one for one in newest if one.state is GenerationState.GOOD and one.release not in booting}
    good = list(others.values())[:keep]
    unsettled = [one for one in newest if one.state in UNSETTLED_STATES]
    names = {one.release for one in (*good, *unsettled)}
    return frozenset(names | {Path(one.python).parent.parent.name for one in (*good, *unsettled) if one.python})


def _prune(state: Path, kept: frozenset[str]) -> None:
    prune(state, kept, _live_roots(state))


def _live_roots(state: Path) -> set[Path]:
    """What programs of this user that run were started from, by the words of their command lines. Blocking."""
    prefixes = (os.fsencode(state / RELEASES), os.fsencode(state / ENVIRONMENTS))
    found: set[Path] = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            # It ended meanwhile, or is another user's.
            continue
        found.update(Path(os.fsdecode(word)) for word in words if word.startswith(prefixes))
    return found
