"""Room on the disk: nothing is started without it, and who ended for want of it did not fail."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ringmaster.agents.verdict import Verdict
from ringmaster.model.outcomes import Outcome
from ringmaster.queue.obstacles import House
from ringmaster.settings import Paths
from ringmaster.store.disk import has_room, make_disk_full_error
from ringmaster.workers.jobs import set_aside
from ringmaster.workers.surroundings import Surroundings

# How an agent ends that could not write: with an error, or unaware, with nothing changed.
FOR_WANT_OF_ROOM = (Outcome.FAILED, Outcome.NO_CHANGES)


def is_room_left(paths: Paths) -> bool:
    """Whether the disks of the state and of its workspaces have room for new work. Blocking: two looks."""
    return has_room(paths.state, paths.workspaces)


def look_at_house(sur: Surroundings, *, is_ending: bool = False) -> House:
    """What holds for every task now, apart from the rows. Blocking: three looks at the file system."""
    return House(
        has_estop=sur.paths.estop.exists(),
        is_ending=is_ending,
        starts_left=sur.starts_left,
        is_degraded=sur.store.is_degraded,
        has_room=is_room_left(sur.paths),
        max_running=sur.settings.daemon.max_running,
    )


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
