"""Room on the disk and in memory: nothing is started without, and who ended for want of disk did not fail."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec

from ringmaster.agents.verdict import Verdict
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.protocol.why import Obstacle, ObstacleKind
from ringmaster.queue.obstacles import House, of_house
from ringmaster.settings import Paths
from ringmaster.store.disk import free_bytes, has_room, make_disk_full_error
from ringmaster.workers.jobs import set_aside
from ringmaster.workers.surroundings import Surroundings

MEMINFO = Path("/proc/meminfo")
AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB", re.MULTILINE)
SHORT = frozenset({ObstacleKind.DISK, ObstacleKind.MEMORY})

# How an agent ends that could not write: with an error, or unaware, with nothing changed.
FOR_WANT_OF_ROOM = (Outcome.FAILED, Outcome.NO_CHANGES)


def is_room_left(paths: Paths) -> bool:
    """Whether the disks of the state and of its workspaces have room for new work. Blocking: two looks."""
    return has_room(paths.state, paths.workspaces)


def look_at_house(sur: Surroundings, *, is_ending: bool = False) -> House:
    """What holds for every task now, apart from the rows. Blocking: some looks at the file system."""
    return House(
        has_estop=sur.paths.estop.exists(),
        is_ending=is_ending,
        starts_left=sur.starts_left,
        is_degraded=sur.store.is_degraded,
        has_room=is_room_left(sur.paths),
        max_running=sur.settings.daemon.max_running,
        disk_bytes=min(free_bytes(sur.paths.state), free_bytes(sur.paths.workspaces)),
        memory_bytes=available_memory() if sur.settings.room.memory_bytes else math.inf,
        disk_needed=sur.settings.room.disk_bytes,
        memory_needed=sur.settings.room.memory_bytes,
    )


def available_memory() -> float:
    """Bytes that programs can have without swapping, as the kernel estimates it; infinite where it says nothing.

    Blocking: one small file that is no file.
    """
    try:
        found = AVAILABLE.search(MEMINFO.read_text())
    except OSError:
        return math.inf
    return float(found[1]) * 1024 if found else math.inf


def shortages(house: House) -> tuple[Obstacle, ...]:
    """What the machine lacks. Nothing says when other programs give some of it back."""
    return tuple(found for found in of_house(house) if found.kind in SHORT)


def refuse_without_means(sur: Surroundings) -> None:
    """Raises REFUSED while the machine lacks what settings want to be free before something is given out."""
    for found in shortages(look_at_house(sur)):
        raise RingmasterError(ErrorKind.REFUSED, found.words, found.command)


def refuse_without_room(paths: Paths, failed: Path | None = None) -> None:
    """Raises DISK_FULL while the disk is full; a job that `failed` for it is set aside first, to be run again."""
    if not is_room_left(paths):
        if failed is not None:
            set_aside(failed)
        raise make_disk_full_error()


def excuse_for_room(verdict: Verdict, paths: Paths) -> Verdict:
    """What a verdict is worth while the disk is full: a failure then is nobody's, and is not counted."""
    if verdict.outcome not in FOR_WANT_OF_ROOM or is_room_left(paths):
        return verdict
    reason = f"the disk was full as its agent ended ({verdict.reason}): it waits for room"
    return msgspec.structs.replace(verdict, outcome=Outcome.INTERRUPTED, reason=reason, is_counted=False)
