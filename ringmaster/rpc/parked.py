"""Looking whether landed work that waits was taken, before it is said that it waits."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from ringmaster.workers.landing import notice_taken
from ringmaster.workers.surroundings import Surroundings


async def look_for_taken(sur: Surroundings, project_ids: Iterable[str]) -> None:
    """Note for each project when its user has merged what was parked; see `notice_taken`. All side by side."""
    async with trio.open_nursery() as looking:
        for project_id in set(project_ids):
            looking.start_soon(notice_taken, sur, project_id)
