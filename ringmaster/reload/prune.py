"""Removing releases and environments that nothing uses any more."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from ringmaster.reload.boot_record import read_record
from ringmaster.reload.environment import ENVIRONMENTS
from ringmaster.reload.release import PARTIAL, RELEASES, remove_tree


def prune(state: Path, kept: Collection[str], live_roots: Collection[Path]) -> tuple[str, ...]:
    """Remove what is neither in the boot record, nor in `kept`, nor used by a live program. Blocking.

    The caller holds the instance's lock, so that the record stands still. Without a readable record nothing is removed.
    kept: ids of releases and of environments, such as those of a candidate under way. live_roots: where programs that
    still run were started from; any path at or below a release or environment keeps it.

    Returns:
        What was removed, as `releases/<id>` and `envs/<hash>`, in order.
    """
    record = read_record(state)
    if record is None:
        return ()
    images = [image for image in (record.good, record.before, record.trial) if image is not None]
    roots = {os.path.realpath(root) for root in live_roots} | {os.path.abspath(root) for root in live_roots}
    names = {*kept, *(image.release for image in images), *(Path(image.python).parent.parent.name for image in images)}
    removed = []
    for folder in (RELEASES, ENVIRONMENTS):
        for place in sorted(_directories(state / folder)):
            if place.name.startswith(PARTIAL):
                _remove_left_over(place)
            elif place.name not in names and not _is_in_use(place, roots):
                remove_tree(place)
                removed.append(f"{folder}/{place.name}")
    return tuple(removed)


def _directories(parent: Path) -> list[Path]:
    try:
        return [place for place in parent.iterdir() if place.is_dir() and not place.is_symlink()]
    except FileNotFoundError:
        return []


def _is_in_use(place: Path, roots: Collection[str]) -> bool:
    own = {os.path.abspath(place), os.path.realpath(place)}
    return any(root == each or root.startswith(f"{each}/") for each in own for root in roots)


def _remove_left_over(place: Path) -> None:
    """Of a maker that died; one that lives holds the directory's lock."""
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(fd)
    shutil.rmtree(place, ignore_errors=True)
