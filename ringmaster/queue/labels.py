"""Labels of which settings let only so many run: tasks that carry one make a demand of it, and seats offer it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ringmaster.model.task import Task
from ringmaster.store import labels, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.labels import PREFIX

PIECE = 2_000
"""Places that are looked through in one transaction: some ten milliseconds."""


def renew_demand(conn: Connection, task: Task, seq: int, limited: Collection[str]) -> bool:
    """Give a task that was picked the demand that its labels make; False when it has that.

    Older code knows no limited labels, and a task may come back from an end.
    """
    wanted = {PREFIX + label for label in task.labels if label in limited}
    if not wanted or wanted <= set(labels.demand_of_seq(conn, seq)):
        return False
    capabilities = tuple(sorted({*task.capabilities, *wanted}))
    known = labels.limited_labels(conn)
    for label in (word.removeprefix(PREFIX) for word in wanted):
        if label not in known or not known[label].is_limited:
            labels.note_label(conn, label, 0, is_limited=True)
    labels.set_demand(conn, task.id, tasks.find_demand(conn, task.project_id, task.agent, capabilities))
    return True


def follow_limits(conn: Connection, limits: Mapping[str, int]) -> bool:
    """Give tasks the demands that limited labels make, one piece of them; False when all have theirs.

    A label that is limited no longer keeps its row until no demand has it, so that seats go on to offer it.
    """
    known = labels.limited_labels(conn)
    for label in limits:
        if label not in known or not known[label].is_limited:
            labels.note_label(conn, label, 0, is_limited=True)
    for label, row in known.items():
        if row.is_limited and label not in limits:
            labels.note_label(conn, label, 0, is_limited=False)
    waiting = {row.label: row.seq for row in labels.limited_labels(conn).values() if row.seq is not None}
    if not waiting:
        return False
    end = min(waiting.values()) + PIECE
    for carrier in labels.carriers_between(conn, end - PIECE, end):
        if waiting.keys() & set(carrier.labels):
            asked = {*carrier.capabilities, *(PREFIX + label for label in carrier.labels if label in limits)}
            demand_id = tasks.find_demand(conn, carrier.project_id, carrier.agent, tuple(sorted(asked)))
            labels.set_demand(conn, carrier.id, demand_id)
    is_over = end >= labels.last_seq(conn)
    for label in [label for label, seq in waiting.items() if seq <= end]:
        if is_over and label not in limits:
            labels.forget_label(conn, label)
        else:
            labels.note_label(conn, label, None if is_over else end, is_limited=label in limits)
    return not is_over
