"""What a person's change leaves in its event, so that it can be told and taken back.

An event with `versions` was one change of its task's row: of which version that was before and after. One with `since`
ends the change as a whole: all events from that `seq` up to its own came of it, in one transaction.
"""

from __future__ import annotations

from typing import Any

from ringmaster.model.task import Task
from ringmaster.store.connection import Connection
from ringmaster.store.controls import condition_of, version_of


def versions(conn: Connection, before: Task) -> dict[str, Any]:
    """One change of a row, which is of its new version now."""
    return {"versions": (before.version, version_of(conn, before.id))}


def moved(conn: Connection, before: Task) -> dict[str, Any]:
    """One change of how a task stands."""
    return {"before": condition_of(before), **versions(conn, before)}
